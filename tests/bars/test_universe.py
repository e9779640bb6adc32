"""Membership of a universe: spells read, merged, refused, and laid over the bars."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars.spells import spread_spells
from ranking_pipeline.bars.universe import (
    apply_universe,
    coverage,
    membership,
    read_spells,
    survivorship,
    tidy_spells,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import OHLCV, Panel


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="M8[D]")


def spells_of(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "spells.csv"
    path.write_text(text)
    return read_spells(path)


def shown(spells: pd.DataFrame) -> list[tuple[str, str, str]]:
    rows = spells.astype(str).fillna("NaT").itertuples(index=False, name=None)
    return [tuple(row) for row in rows]  # type: ignore[misc]


def make_panel(symbols: tuple[str, ...], dates: np.ndarray, present: object) -> Panel:
    here = np.asarray(present, dtype=bool)
    values = np.where(here[:, :, None], np.float32(1), np.float32(np.nan))
    return Panel(
        symbols=symbols,
        timestamps=dates.astype("M8[ns]") + np.timedelta64(21, "h"),
        fields=OHLCV,
        values=np.repeat(values, 5, axis=2),
        tradable=here,
        trading_dates=dates,
    )


def test_spells_are_read_sorted_and_merged(tmp_path: Path) -> None:
    spells = spells_of(
        tmp_path,
        "symbol,start_date,end_date\n"
        "NA,2015-01-01,\n"
        "B,2016-02-01,2016-12-31\n"
        "B,2015-01-01,2016-01-15\n"
        "C,2015-01-01,2015-06-30\n"
        "C,2015-07-01,2015-12-31\n"  # the day after
        "C,2015-12-31,\n",  # the same day
    )
    assert shown(spells) == [
        ("B", "2015-01-01", "2016-01-15"),
        ("B", "2016-02-01", "2016-12-31"),
        ("C", "2015-01-01", "NaT"),
        ("NA", "2015-01-01", "NaT"),
    ]


def test_other_names_of_columns(tmp_path: Path) -> None:
    spells = spells_of(tmp_path, "Ticker,first,Last\nTRUE,2015-01-01,9999-12-31\n")
    assert shown(spells) == [("TRUE", "2015-01-01", "9999-12-31")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "A,2016-01-01,2015-01-01",
            "end before they begin: A, 2016-01-01 to 2015-01-01",
        ),
        (
            "A,2015-01-01,2015-06-30\nA,2015-06-29,",
            "overlap: A, 2015-01-01 to 2015-06-30; A, from 2015-06-29",
        ),
        ("A,2015-01-01,\nA,2016-01-01,2017-01-01", "overlap"),
        ("A,2015-01-01,2016-01-01\nA,2015-01-01,2016-01-01", "overlap"),
        ("A,,2016-01-01", "lack a symbol or a start_date: A, to 2016-01-01"),
        (",2015-01-01,", "lack a symbol"),
        ("A,2015-01-01,\nB,30.06.2015,", "start_date '30.06.2015' in row 3 is no date"),
    ],
)
def test_wrong_spells_are_listed(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        spells_of(tmp_path, f"symbol,start_date,end_date\n{rows}\n")
    assert "spells.csv" in str(raised.value)


def test_many_wrong_spells_are_counted(tmp_path: Path) -> None:
    rows = "\n".join(f"S{i},2016-01-01,2015-01-01" for i in range(9))
    with pytest.raises(UserError, match="S4, 2016-01-01 to 2015-01-01 and 4 more"):
        spells_of(tmp_path, f"symbol,start_date,end_date\n{rows}\n")


def test_wrong_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        read_spells(tmp_path / "absent.csv")
    with pytest.raises(UserError, match=r"no column end_date\. Found: symbol, first"):
        spells_of(tmp_path, "symbol,first\nA,2015-01-01\n")


def test_both_dates_of_a_spell_belong_to_it(tmp_path: Path) -> None:
    spells = spells_of(
        tmp_path,
        "symbol,first,last\nA,2015-01-02,2015-01-04\nA,2015-01-06,\nZ,2015-01-01,\n",
    )
    dates = days(*(f"2015-01-{day:02}" for day in range(1, 8)))
    member = membership(spells, ("A", "B"), dates)
    assert member.tolist() == [
        [False, True, True, True, False, True, True],
        [False] * 7,
    ]


def test_intraday_bars_of_one_date_are_alike(tmp_path: Path) -> None:
    spells = spells_of(tmp_path, "symbol,first,last\nA,2015-01-02,2015-01-02\n")
    dates = np.repeat(days("2015-01-01", "2015-01-02", "2015-01-05"), 3)
    assert (
        membership(spells, ("A",), dates)[0].tolist()
        == [False] * 3 + [True] * 3 + [False] * 3
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_membership_equals_a_plain_search(data: st.DataObject) -> None:
    rows = []
    for symbol in ("A", "B", "C"):
        edges = sorted(data.draw(st.sets(st.integers(0, 60), max_size=8)))
        for first, last in zip(edges[::2], edges[1::2], strict=False):
            still = last == edges[-1] and data.draw(st.booleans())
            rows.append((symbol, first, None if still else last))
    base = np.datetime64("2015-01-01", "D")
    table = pd.DataFrame(
        {
            "symbol": [symbol for symbol, _, _ in rows],
            "first": [str(base + first) for _, first, _ in rows],
            "last": ["" if last is None else str(base + last) for *_, last in rows],
        },
        dtype=str,
    )
    numbers = sorted(data.draw(st.lists(st.integers(-5, 70), max_size=30)))
    dates = base + np.array(numbers, dtype="m8[D]")
    member = membership(tidy_spells(table), ("A", "C", "D"), dates)
    for i, symbol in enumerate(("A", "C", "D")):
        for t, day in enumerate(numbers):
            inside = any(
                symbol == name and first <= day and (last is None or day <= last)
                for name, first, last in rows
            )
            assert member[i, t] == inside


def test_later_spells_leave_earlier_cross_sections_alone(tmp_path: Path) -> None:
    dates = days(*(f"2015-01-{day:02}" for day in range(1, 21)))
    symbols = ("A", "B", "C")
    text = "symbol,first,last\nA,2015-01-01,\nB,2015-01-03,2015-01-18\n"
    before = membership(spells_of(tmp_path, text), symbols, dates)
    later = text.replace("2015-01-18", "2015-01-12") + "C,2015-01-11,\n"
    after = membership(spells_of(tmp_path, later), symbols, dates)
    np.testing.assert_array_equal(before[:, :10], after[:, :10])
    assert (before[:, 10:] != after[:, 10:]).any()


def test_only_members_stay_tradable(tmp_path: Path) -> None:
    dates = days("2015-01-01", "2015-01-02", "2015-01-05")
    panel = make_panel(("A", "B"), dates, [[1, 1, 1], [1, 0, 1]])
    spells = spells_of(tmp_path, "symbol,first,last\nB,2015-01-02,\n")
    kept = apply_universe(panel, membership(spells, panel.symbols, dates))
    assert kept.tradable.tolist() == [[False] * 3, [False, False, True]]
    np.testing.assert_array_equal(kept.present, panel.present)
    none = membership(spells, ("X", "Y"), dates)
    with pytest.raises(UserError, match="name symbols alike"):
        apply_universe(panel, none)


def test_coverage_by_hand(tmp_path: Path) -> None:
    dates = days("2015-06-30", "2015-12-31", "2016-12-30", "2017-03-01")
    panel = make_panel(("A", "B"), dates, [[1, 1, 1, 1], [0, 0, 1, 1]])
    spells = spells_of(
        tmp_path,
        "symbol,first,last\nA,2015-01-01,\nB,2015-01-01,\nC,2015-01-01,2016-01-15\n"
        "D,2016-06-01,\nE,2015-01-01,2015-12-31\n",
    )
    table = coverage(spells, panel, dates)
    assert table["members"].tolist() == [4, 4, 3, 3]
    assert table["held"].tolist() == [2, 2, 2, 2]
    assert table["with_bar"].tolist() == [1, 1, 2, 2]
    account = survivorship(spells, panel)
    assert [row["date"] for row in account["dates"]] == [
        "2015-06-30",
        "2015-12-31",
        "2016-12-30",
        "2017-03-01",
    ]
    assert account["share"] == 0.5
    assert "Of 4 members on 2015-06-30 the bars hold 2 (50.0%)" in account["warning"]


def test_a_complete_universe_raises_no_warning(tmp_path: Path) -> None:
    panel = make_panel(("A", "B"), days("2015-06-30"), [[1], [1]])
    spells = spells_of(tmp_path, "symbol,first,last\nA,2015-01-01,\n")
    assert survivorship(spells, panel)["warning"] == ""
    assert survivorship(spells, panel)["share"] == 1.0
    assert survivorship(spells, panel)["without_members"] == ""


def test_dates_without_members_are_told_and_have_no_share(tmp_path: Path) -> None:
    """NaN is no JSON: a share of nobody is null."""
    dates = days("2015-06-30", "2015-12-31", "2016-01-04", "2017-03-01")
    panel = make_panel(("A",), dates, [[1, 1, 1, 1]])
    text = "symbol,start_date,end_date\nA,2015-12-31,2016-01-04\n"
    account = survivorship(spells_of(tmp_path, text), panel)
    json.dumps(account, allow_nan=False)
    shares = [row["share"] for row in account["dates"]]
    assert shares == [None, 1.0, 1.0, None]
    assert (account["share"], account["warning"]) == (1.0, "")
    assert account["without_members"] == (
        "data.universe has no member on 2 of 4 trading dates (2015-06-30 to "
        "2015-06-30, 2017-03-01 to 2017-03-01): no name is ranked or traded on them."
    )
    never = survivorship(
        spells_of(tmp_path, "symbol,first,last\nA,2018-01-01,\n"), panel
    )
    json.dumps(never, allow_nan=False)
    assert (never["share"], never["warning"]) == (None, "")
    assert "on 4 of 4" in never["without_members"]


def test_nothing_to_spread() -> None:
    nothing = tidy_spells(pd.DataFrame({"symbol": [], "first": [], "last": []}))
    none = np.empty(0, dtype=np.int16)
    assert spread_spells(nothing, none, ("A",), days("2015-01-01")).tolist() == [[0]]


@pytest.mark.realdata
def test_the_real_membership(real_data: Path) -> None:
    spells = read_spells(real_data / "sp500_membership_spells.csv")
    assert spells["symbol"].nunique() == 1_181
    raw = pd.read_parquet(
        real_data / "sp500_daily_2015_2020.parquet", columns=["symbol", "timestamp"]
    )
    names, symbol = np.unique(raw["symbol"].to_numpy(str), return_inverse=True)
    axis = raw["timestamp"].to_numpy("M8[D]")
    dates, bar = np.unique(axis, return_inverse=True)
    present = np.zeros((len(names), len(dates)), dtype=bool)
    present[symbol, bar] = True
    panel = make_panel(tuple(names.tolist()), dates, present)
    table = coverage(spells, panel, days("2015-06-30", "2017-06-30", "2019-12-31"))
    assert table["members"].tolist() == [500, 506, 505]
    assert table["held"].tolist() == [416, 477, 503]
    account = survivorship(spells, panel)
    assert len(account["dates"]) == 7
    assert account["dates"][0]["date"] == "2015-01-12"
    assert (
        "Of 499 members on 2015-01-12 the bars hold 407 (81.6%)" in account["warning"]
    )
    member = membership(spells, panel.symbols, panel.trading_dates)
    kept = apply_universe(panel, member)
    at = np.searchsorted(dates, np.datetime64("2015-06-30"))
    assert kept.tradable[:, at].sum() == table["with_bar"][0] == 406
    np.testing.assert_array_equal(
        replace(kept, tradable=panel.tradable).values, panel.values
    )
