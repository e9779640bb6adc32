"""Every row rule and flag: what it finds, what becomes of it, and that rows add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.errors import UserError

from .checked import account, check, line
from .conftest import CHECKS

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]


def test_good_bars_pass_untouched(good: Frame, checks: Make) -> None:
    raw = good()
    clean = check(raw, checks())
    account(clean, 40)
    assert clean.quality.empty
    assert clean.quarantine.empty
    assert clean.bars["tradable"].all()
    first = clean.bars.iloc[0]
    # Monday in New York ends at the midnight after it: 05:00 UTC of Tuesday in winter.
    assert first["timestamp"] == pd.Timestamp("2024-01-09 05:00", tz="UTC")
    assert first["symbol"] == "AAA"
    assert first["close"] == raw["close"][0]
    assert str(clean.bars["timestamp"].dtype) == "datetime64[ns, UTC]"
    keys = clean.bars[["timestamp", "symbol"]].astype({"symbol": str})
    assert keys.equals(keys.sort_values(["timestamp", "symbol"], ignore_index=True))


ROW_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("missing_symbol", {"symbol": None}),
    ("missing_symbol", {"symbol": "  "}),
    ("unreadable_timestamp", {"timestamp": pd.NaT}),
    ("weekend_bar", {"timestamp": pd.Timestamp("2024-01-13")}),
    ("weekend_bar", {"timestamp": pd.Timestamp("2024-01-14")}),
    ("unreadable_number", {"close": "twelve"}),
    ("unreadable_number", {"volume": "1,000"}),
    ("unreadable_number", {"open": "TRUE"}),
    ("missing_price", {"open": np.nan}),
    ("missing_price", {"high": np.inf}),
    ("missing_price", {"low": -np.inf}),
    ("missing_price", {"close": ""}),
    ("non_positive_price", {"close": 0.0}),
    ("non_positive_price", {"low": -1.0}),
    ("invalid_volume", {"volume": -5.0}),
    ("invalid_volume", {"volume": np.inf}),
    ("price_outside_range", {"high": 1.0}),
    ("price_outside_range", {"close": 1e6}),
    ("price_outside_range", {"open": 1e-3}),
]


@pytest.mark.parametrize(("rule", "fault"), ROW_FAULTS)
def test_a_faulty_row_is_set_aside_as_it_was(
    good: Frame, checks: Make, rule: str, fault: dict[str, Any]
) -> None:
    raw = good()
    (column, value), row = next(iter(fault.items())), 7
    if isinstance(value, str) or value is None:
        raw[column] = raw[column].astype(object)
    raw.loc[row, column] = value
    clean = check(raw, checks())
    account(clean, 40)
    found = line(clean, rule)
    assert (found["action"], found["rows"]) == ("quarantined", 1)
    kept = clean.quarantine.iloc[0]
    assert (kept["source_file"], kept["source_row"]) == ("fixture", row)
    assert (kept["rule"], kept["action"]) == (rule, "quarantined")
    if isinstance(value, str) and column != "symbol":
        assert kept[column] == value
    elif isinstance(value, float):
        np.testing.assert_equal(kept[column], value)
    assert len(clean.bars) == 39


def test_a_range_slightly_off_is_repaired_on_request(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[3, "high"] = raw.loc[3, "close"] * 0.999
    clean = check(raw, checks(price_range="repair"))
    account(clean, 40)
    found = line(clean, "price_outside_range")
    assert (found["action"], found["rows"]) == ("repaired", 1)
    assert clean.summary["rows_repaired"] == 1
    bar = clean.bars[clean.bars["symbol"] == "AAA"].iloc[3]
    assert bar["high"] == max(raw.loc[3, "open"], raw.loc[3, "close"])


def test_rounding_within_the_tolerance_is_no_fault(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[3, "high"] = raw.loc[3, ["open", "close"]].max() * (1 - 1e-8)
    clean = check(raw, checks())
    assert clean.quality.empty
    assert (clean.bars["high"] >= clean.bars[["open", "close"]].max(axis=1)).all()


def test_equal_rows_are_merged(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[5, "volume"] = np.nan
    double = pd.concat([raw, raw.iloc[[5, 5, 30]]], ignore_index=True)
    double["source_row"] = np.arange(len(double))
    clean = check(double, checks(max_quarantined_share=0.0))
    account(clean, 43)
    assert clean.summary["duplicates_merged"] == 3
    assert line(clean, "exact_duplicate")["rows"] == 3
    assert set(clean.quarantine["source_row"]) == {40, 41, 42}
    assert set(clean.quarantine["action"]) == {"merged into an equal row"}


@pytest.mark.parametrize("copies", [1, 2])
def test_conflicting_rows_are_all_set_aside(
    good: Frame, checks: Make, copies: int
) -> None:
    raw = good()
    other = raw.iloc[[5] * copies].copy()
    other.loc[other.index[-1:], "volume"] += 1
    other.iloc[-1, other.columns.get_loc("volume")] = 9.0
    raw = pd.concat([other, raw], ignore_index=True)
    clean = check(raw, checks())
    account(clean, 40 + copies)
    assert line(clean, "conflicting_duplicate")["rows"] == 1 + copies
    assert len(clean.bars) == 39


def test_the_last_of_conflicting_rows_is_kept_on_request(
    good: Frame, checks: Make
) -> None:
    raw = good()
    other = raw.iloc[[5]].assign(volume=9.0)
    raw = pd.concat([raw, other], ignore_index=True)
    clean = check(raw, checks(conflicts="keep_last"))
    account(clean, 41)
    assert clean.bars[clean.bars["symbol"] == "AAA"]["volume"].iloc[5] == 9.0
    assert clean.quarantine["action"].tolist() == ["replaced by a later row"]


def test_a_faulty_copy_does_not_condemn_a_good_row(good: Frame, checks: Make) -> None:
    raw = good()
    raw = pd.concat([raw, raw.iloc[[5]].assign(close=0.0)], ignore_index=True)
    clean = check(raw, checks())
    account(clean, 41)
    assert clean.quarantine["rule"].tolist() == ["non_positive_price"]


def test_unsorted_rows_are_sorted_and_counted(good: Frame, checks: Make) -> None:
    raw = good()
    expected = check(raw, checks()).bars
    swapped = raw.iloc[[1, 0, *range(2, 40)]].reset_index(drop=True)
    clean = check(swapped, checks())
    account(clean, 40)
    found = line(clean, "unsorted")
    assert (found["action"], found["rows"]) == ("kept", 1)
    pd.testing.assert_frame_equal(clean.bars, expected)
    by_time = raw.sort_values(["timestamp", "symbol"], ignore_index=True)
    assert check(by_time, checks()).quality.empty


def test_volume_of_zero_or_none_is_kept_but_not_tradable(
    good: Frame, checks: Make
) -> None:
    raw = good()
    raw.loc[[3, 4], "volume"] = 0.0
    raw.loc[25, "volume"] = np.nan
    clean = check(raw, checks())
    account(clean, 40)
    assert line(clean, "zero_volume")["rows"] == 2
    assert line(clean, "missing_volume")["rows"] == 1
    out = clean.bars[~clean.bars["tradable"]]
    assert len(out) == 3
    assert clean.summary["rows_not_tradable"] == 3


def test_a_stale_run_is_out_only_once_it_is_known(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[range(4, 14), ["open", "high", "low", "close"]] = 50.0
    clean = check(raw, checks(stale_run_bars=4))
    account(clean, 40)
    assert line(clean, "stale_run")["rows"] == 6
    tradable = clean.bars[clean.bars["symbol"] == "AAA"]["tradable"].to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(~tradable), np.arange(8, 14))
    # No bar is judged by a later one: cutting the future changes nothing before.
    cut = check(raw[raw.index % 20 < 10], checks(stale_run_bars=4)).bars
    np.testing.assert_array_equal(
        cut[cut["symbol"] == "AAA"]["tradable"].to_numpy(), tradable[:10]
    )


def test_prices_are_adjusted_by_one_factor(good: Frame, checks: Make) -> None:
    raw = good()
    raw["adj_close"] = raw["close"] * 0.5
    clean = check(raw, checks())
    account(clean, 40)
    assert clean.summary["prices_adjusted"]
    ours = clean.bars[clean.bars["symbol"] == "BBB"]
    theirs = raw[raw["symbol"] == "BBB"]
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(ours[name], theirs[name] / 2)
    traded = ours["close"].to_numpy() * ours["volume"].to_numpy()
    own = theirs["close"].to_numpy() * theirs["volume"].to_numpy()
    np.testing.assert_allclose(traded, own, rtol=1e-7)
    plain = check(raw, checks(adjust_by_adj_close=False))
    assert plain.bars["close"].max() == raw["close"].max()
    assert not plain.summary["prices_adjusted"]


@pytest.mark.parametrize("junk", [0.0, -1.0, np.nan, np.inf])
def test_a_junk_adjustment_is_set_aside(good: Frame, checks: Make, junk: float) -> None:
    raw = good()
    raw["adj_close"] = raw["close"]
    raw.loc[2, "adj_close"] = junk
    clean = check(raw, checks())
    account(clean, 40)
    assert line(clean, "invalid_adj_close")["rows"] == 1
    np.testing.assert_equal(clean.quarantine["adj_close"][0], junk)


def test_bars_of_the_future_are_set_aside(good: Frame, checks: Make) -> None:
    raw = good()
    now = pd.Timestamp("2024-02-01 12:00", tz="America/New_York")
    clean = check(raw, checks(), now=now)
    account(clean, 40)
    # 2024-02-02 is the last business day of the fixture, and has not begun.
    assert line(clean, "future_timestamp")["rows"] == 2
    assert check(raw, checks()).quality.empty


def test_weekends_are_kept_on_request(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[4, "timestamp"] = pd.Timestamp("2024-01-13")
    assert check(raw, checks(weekends="keep")).quarantine.empty


def test_numbers_stored_as_text_are_read_and_counted(good: Frame, checks: Make) -> None:
    raw = good()
    expected = check(raw, checks()).bars
    raw["close"] = raw["close"].map(repr)
    clean = check(raw, checks())
    found = line(clean, "number_stored_as_text")
    assert (found["action"], found["rows"]) == ("kept", 40)
    pd.testing.assert_frame_equal(clean.bars, expected)


def test_a_number_that_would_lose_digits_is_set_aside(
    good: Frame, checks: Make
) -> None:
    raw = good()
    raw["volume"] = raw["volume"].astype("int64")
    raw.loc[1, "volume"] = 2**53 + 1
    assert line(check(raw, checks()), "unreadable_number")["rows"] == 1


def test_a_likely_split_is_flagged_and_kept(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[range(10, 20), ["open", "high", "low", "close"]] /= 4
    raw.loc[range(10, 20), "volume"] *= 4
    clean = check(raw, checks())
    account(clean, 40)
    found = line(clean, "likely_split")
    assert (found["action"], found["rows"], found["symbols"]) == ("flagged", 1, 1)
    assert found["example"].startswith("AAA 2024-01-22")
    assert clean.bars["tradable"].all()


def test_a_crash_without_volume_to_match_is_no_split(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[range(10, 20), ["open", "high", "low", "close"]] /= 2
    assert check(raw, checks()).quality.empty


def test_a_lone_spike_is_flagged_and_kept(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[10, ["open", "high", "low", "close"]] *= 3
    clean = check(raw, checks())
    account(clean, 40)
    assert line(clean, "reverting_outlier")["example"].startswith("AAA 2024-01-22")


def test_intraday_stamps_beside_the_grid_are_flagged(good: Frame, checks: Make) -> None:
    raw = good()
    start = pd.Timestamp("2024-01-08 14:30")
    five = pd.Timedelta(minutes=5)
    raw["timestamp"] = start + five * (np.arange(40) % 20)
    raw.loc[9, "timestamp"] += pd.Timedelta(seconds=30)
    clean = check(raw, checks(interval="5m", timezone="UTC"))
    account(clean, 40)
    assert line(clean, "off_grid_timestamp")["rows"] == 1
    assert clean.bars["timestamp"].iloc[0] == (start + five).tz_localize("UTC")


def test_survivors_alone_raise_a_warning(good: Frame, checks: Make) -> None:
    raw = good()
    told = check(raw, checks()).summary["survivorship"]
    assert told["symbols_ending_on_last_bar"] == 2
    assert "2 of 2 symbols (100.0%)" in told["warning"]
    quiet = check(raw.drop(index=19), checks()).summary["survivorship"]
    assert (quiet["share"], quiet["warning"]) == (0.5, "")


def test_gaps_stay_gaps_and_are_counted(good: Frame, checks: Make) -> None:
    clean = check(good().drop(index=[3, 4, 19]), checks())
    assert clean.summary["missing_bars"] == 2
    assert len(clean.bars) == 37


def test_files_and_cases_are_noted(good: Frame, checks: Make) -> None:
    raw = good(symbols=("AAA", "aaa"))
    reading = Reading("folder", ("vwap",), (("bad.parquet", "no footer"),))
    clean = check(raw, checks(), reading=reading)
    assert line(clean, "unreadable_file")["example"] == "bad.parquet: no footer"
    assert line(clean, "symbols_differ_by_case")["example"] == "AAA / aaa"
    assert clean.summary["columns_ignored"] == ["vwap"]
    assert clean.summary["unreadable_files"] == ["bad.parquet"]
    assert clean.summary["source"] == "folder"


def test_selection_by_symbol_and_date(good: Frame, checks: Make) -> None:
    config = checks(symbols=["BBB"], first_date="2024-01-09", last_date="2024-01-11")
    clean = check(good(), config)
    account(clean, 3)
    assert clean.summary["rows_not_selected"] == 37
    assert clean.summary["first"] == "2024-01-10T05:00:00+00:00"
    assert clean.bars["symbol"].cat.categories.tolist() == ["BBB"]


def test_too_many_faults_stop_the_run(good: Frame, checks: Make) -> None:
    raw = good()
    raw.loc[[0, 1, 2], "close"] = 0.0
    with pytest.raises(UserError, match=r"7\.50% of 40 rows .*non_positive_price 3"):
        check(raw, checks(max_quarantined_share=0.05))
    with pytest.raises(UserError, match="3 of 20 rows of AAA"):
        check(raw, checks(max_quarantined_share_of_symbol=0.1))
    raw["close"] = 0.0
    with pytest.raises(UserError, match="no valid row is left"):
        check(raw, checks(max_quarantined_share=1.0))


def test_wrong_selections_are_explained(good: Frame, checks: Make) -> None:
    with pytest.raises(UserError, match="no bars for ZZZ"):
        check(good(), checks(symbols=["AAA", "ZZZ"]))
    with pytest.raises(UserError, match="select nothing"):
        check(good(), checks(first_date="2030-01-01"))


CELLS = st.sampled_from(
    [1.0, 100.0, 101.0, 0.0, -3.0, np.nan, np.inf, "7", "x", "", None, True]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "", None]),
            st.sampled_from(["2024-01-08", "2024-01-09", "2024-01-13", "?", None]),
            *[CELLS] * 5,
        ),
        min_size=1,
        max_size=25,
    )
)
def test_whatever_comes_in_is_accounted_for(rows: list[tuple[Any, ...]]) -> None:
    names = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    sound = ("Z", "2024-01-08", 100.0, 101.0, 99.0, 100.0, 5.0)
    raw = pd.DataFrame([sound, *rows], columns=names).astype(object)
    raw["source_file"], raw["source_row"] = "f", np.arange(len(raw))
    limits = {"max_quarantined_share": 1.0, "max_quarantined_share_of_symbol": 1.0}
    clean = check(raw, ChecksConfig(**(CHECKS | limits)))
    account(clean, len(raw))
    bars = clean.bars
    assert not bars.duplicated(["timestamp", "symbol"]).any()
    assert (bars["high"] >= bars[["open", "close", "low"]].max(axis=1)).all()
    assert (bars["low"] > 0).all()
    back = clean.quarantine["source_row"].tolist()
    assert len(set(back)) == len(back)
    found = clean.quality[clean.quality["action"] == "quarantined"]
    assert found["rows"].sum() == len(back)
