"""Dated sectors and the security master."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars.sectors import read_sectors, sector_codes, with_sectors
from ranking_pipeline.bars.security_master import security_master
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import OHLCV, Panel


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="M8[D]")


def sectors_of(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "sectors.csv"
    path.write_text(text)
    return read_sectors(path)


def names_of(
    table: pd.DataFrame, symbols: tuple[str, ...], dates: np.ndarray
) -> list[list[str]]:
    codes, names = sector_codes(table, symbols, dates)
    assert codes.dtype == np.int16
    return [[(*names, "?")[code] for code in row] for row in codes]


@pytest.fixture
def panel() -> Panel:
    """Two symbols over four dates of two bars; A leaves, B misses the last bar."""
    dates = np.repeat(days("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"), 2)
    close = np.ones((2, 8), dtype=np.float32)
    close[0, 6:] = np.nan
    close[1, [0, 7]] = np.nan
    clock = np.tile(np.array([15, 21], dtype="m8[h]"), 4)
    return Panel(
        symbols=("A", "B"),
        timestamps=dates.astype("M8[ns]") + clock,
        fields=OHLCV,
        values=np.repeat(close[:, :, None], 5, axis=2),
        tradable=~np.isnan(close),
        trading_dates=dates,
    )


def test_undated_sectors_hold_always(tmp_path: Path) -> None:
    table = sectors_of(tmp_path, "symbol,sector\nNA,Energy\nTRUE,\n0700,Utilities\n")
    assert table["symbol"].tolist() == ["0700", "NA"]
    assert table[["valid_from", "valid_to"]].isna().all(axis=None)
    got = names_of(table, ("0700", "NA", "TRUE"), days("1990-01-01", "2030-01-01"))
    assert got == [["Utilities"] * 2, ["Energy"] * 2, ["?"] * 2]


def test_a_sector_holds_until_the_next_one(tmp_path: Path) -> None:
    table = sectors_of(
        tmp_path,
        "symbol,sector,valid_from\n"
        "GOOG,Communication Services,2018-09-24\n"
        "GOOG,Information Technology,\n"
        "V,Financials,2023-03-20\n",
    )
    dates = days("2018-09-21", "2018-09-24", "2023-03-17", "2023-03-20")
    assert names_of(table, ("GOOG", "V"), dates) == [
        ["Information Technology"] + ["Communication Services"] * 3,
        ["?", "?", "?", "Financials"],
    ]


def test_a_sector_ends_where_it_is_told(tmp_path: Path) -> None:
    table = sectors_of(
        tmp_path,
        "symbol,sector,valid_from,valid_to\n"
        "A,Energy,,2015-06-30\n"
        "A,Utilities,2016-01-01,2016-12-31\n"
        "B,Energy,2015-01-01,\n"
        "B,,2016-01-01,\n",
    )
    dates = days("2015-06-30", "2015-07-01", "2016-01-01", "2016-12-31", "2017-01-02")
    assert names_of(table, ("A", "B"), dates) == [
        ["Energy", "?", "Utilities", "Utilities", "?"],
        ["Energy", "Energy", "?", "?", "?"],
    ]


def test_common_names_of_columns(tmp_path: Path) -> None:
    table = sectors_of(
        tmp_path,
        "Symbol,Security,GICS Sector,date_added\nMMM,3M,Industrials,1957-03-04\n",
    )
    assert table["sector"].tolist() == ["Industrials"]
    assert table["valid_from"].isna().all()
    both = sectors_of(tmp_path, "gics_sector,sector,symbol\nx,y,A\n")
    assert both["sector"].tolist() == ["y"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("A,x y,,\nA,z,,", r"one date \(keep .*: A, x y, without dates; A, z"),
        ("A,x,2015-01-01,\nA,y,2015-01-01,", "more than one sector on one date"),
        ("A,x,2015-01-01,2016-01-01\nA,y,2016-01-01,", "more than one sector"),
        ("A,x,2016-01-01,2015-01-01", "end before they begin"),
        (",x,,", "lack a symbol"),
        ("A,x,1.1.2015,", "valid_from '1.1.2015' in row 2 is no date"),
    ],
)
def test_wrong_sectors_are_listed(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sectors_of(tmp_path, f"symbol,sector,valid_from,valid_to\n{rows}\n")


def test_wrong_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        read_sectors(tmp_path / "absent.csv")
    with pytest.raises(UserError, match=r"table of sectors: no column sector"):
        read_sectors(pd.DataFrame({"symbol": ["A"], "gics": ["x"]}))


def test_the_same_row_twice_is_one_fact(tmp_path: Path) -> None:
    table = sectors_of(tmp_path, "symbol,sector\nA,Energy\nA,Energy\n")
    assert len(table) == 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_codes_equal_a_plain_search(data: st.DataObject) -> None:
    base = np.datetime64("2015-01-01", "D")
    rows = []
    for symbol in ("A", "B", "C"):
        starts = sorted(data.draw(st.sets(st.integers(0, 60), max_size=4)))
        ends = [*starts[1:], 90][: len(starts)]
        for start, following in zip(starts, ends, strict=True):
            last = data.draw(st.none() | st.integers(start, following - 1))
            sector = data.draw(st.sampled_from(["x", "y", "z", ""]))
            rows.append((symbol, sector, start, last, following))
    table = pd.DataFrame(
        {
            "symbol": [row[0] for row in rows],
            "sector": [row[1] for row in rows],
            "valid_from": [str(base + row[2]) for row in rows],
            "valid_to": ["" if row[3] is None else str(base + row[3]) for row in rows],
        },
        dtype=str,
    )
    shuffled = table.sample(frac=1, random_state=data.draw(st.integers(0, 99)))
    numbers = sorted(data.draw(st.lists(st.integers(-5, 70), max_size=30)))
    dates = base + np.array(numbers, dtype="m8[D]")
    got = names_of(read_sectors(shuffled), ("A", "B", "D"), dates)
    for i, symbol in enumerate(("A", "B", "D")):
        for t, day in enumerate(numbers):
            held = [
                sector or "?"
                for name, sector, start, last, following in rows
                if name == symbol
                and start <= day < following
                and (last is None or day <= last)
            ]
            assert got[i][t] == (held[0] if held else "?")


def test_names_of_symbols_tell_nothing(panel: Panel) -> None:
    table = pd.DataFrame({"symbol": ["A", "B"], "sector": ["Energy", "Banks"]})
    one = with_sectors(panel, read_sectors(table))
    table["symbol"] = ["B", "A"]
    two = with_sectors(panel, read_sectors(table))
    assert one.sector_names == two.sector_names == ("Banks", "Energy")
    np.testing.assert_array_equal(one.sectors, two.sectors[::-1])
    assert one.sectors[:, 0].tolist() == [1, 0]
    foreign = pd.concat([table, pd.DataFrame({"symbol": ["Z"], "sector": ["Aero"]})])
    assert with_sectors(panel, read_sectors(foreign)).sector_names == one.sector_names


def test_a_later_sector_leaves_earlier_bars_alone(panel: Panel) -> None:
    table = pd.DataFrame(
        {"symbol": ["A"], "sector": ["Energy"], "valid_from": ["2000-01-01"]}
    )
    later = pd.concat(
        [table, table.assign(sector="Utilities", valid_from="2024-01-04")]
    )
    one, two = (with_sectors(panel, read_sectors(t)) for t in (table, later))
    np.testing.assert_array_equal(one.sectors[:, :4], two.sectors[:, :4])
    assert two.sectors[0].tolist() == [0] * 4 + [1] * 4


def test_the_master_by_hand(panel: Panel) -> None:
    table = pd.DataFrame(
        {
            "symbol": ["A", "A", "Z"],
            "sector": ["Energy", "Utilities", "Banks"],
            "valid_from": ["2000-01-01", "2024-01-04", ""],
        }
    )
    master = security_master(panel, read_sectors(table))
    assert master.columns.tolist() == [
        "symbol",
        "sector",
        "n_sectors",
        "first_timestamp",
        "last_timestamp",
        "n_bars",
        "delisted",
    ]
    assert master["symbol"].tolist() == ["A", "B"]
    assert master["sector"].tolist() == ["Utilities", "unknown"]
    assert master["n_sectors"].tolist() == [2, 0]
    assert master["n_bars"].tolist() == [6, 6]
    assert master["delisted"].tolist() == [True, False]
    assert master["first_timestamp"][1] == pd.Timestamp("2024-01-02 21:00", tz="UTC")
    assert master["last_timestamp"][0] == pd.Timestamp("2024-01-04 21:00", tz="UTC")
    carried = security_master(with_sectors(panel, read_sectors(table)), None)
    pd.testing.assert_frame_equal(carried, master)


def test_the_master_knows_no_sector_after_its_bars(panel: Panel) -> None:
    table = pd.DataFrame(
        {
            "symbol": ["A", "A", "B"],
            "sector": ["Energy", "Utilities", "Banks"],
            "valid_from": ["", "2024-01-06", ""],
            "valid_to": ["", "", "2024-01-03"],
        }
    )
    master = security_master(panel, read_sectors(table))
    assert master["sector"].tolist() == ["Energy", "Banks"]
    assert master["n_sectors"].tolist() == [1, 1]


def test_a_symbol_without_bars_has_no_span(panel: Panel) -> None:
    values = panel.values.copy()
    values[1] = np.nan
    master = security_master(replace(panel, values=values), None)
    assert master["n_bars"].tolist() == [6, 0]
    assert master["first_timestamp"].isna().tolist() == [False, True]
    assert master["sector"].tolist() == ["unknown", "unknown"]


@pytest.mark.realdata
def test_real_sectors(real_data: Path) -> None:
    old = read_sectors(real_data / "sp500_sectors_2020.csv")
    new = read_sectors(real_data / "sp500_constituents_gics_2026.csv")
    assert (len(old), old["sector"].nunique()) == (503, 11)
    assert (len(new), new["sector"].nunique()) == (503, 11)
    assert new["valid_from"].isna().all()
    both = old.merge(new, on="symbol")
    assert (both["sector_x"] != both["sector_y"]).sum() == 16
    joined = pd.concat([old, new.assign(valid_from=pd.Timestamp("2026-08-01"))])
    joined = joined[joined["symbol"].isin(both["symbol"])]
    symbols = tuple(sorted(set(both["symbol"])))
    table = read_sectors(joined[["symbol", "sector", "valid_from"]])
    codes, names = sector_codes(table, symbols, days("2019-12-31", "2026-08-03"))
    assert len(names) == 11
    assert (codes >= 0).all()
    assert (codes[:, 0] != codes[:, 1]).sum() == 16
