"""Ingest: equal to a plain one, whatever the order, the file and the calendar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars import fill, flags, quality
from ranking_pipeline.bars import ingest as ingest_module
from ranking_pipeline.bars import raw as raw_module
from ranking_pipeline.bars.calendar import Sessions
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.dense import bar_blocks, bar_table
from ranking_pipeline.bars.fill import take_numbers
from ranking_pipeline.bars.ingest import Ingested, ingest
from ranking_pipeline.bars.raw import FrameBars, ParquetBars, open_bars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.bars.rules import judge_numbers, plainly_sound, read_numbers
from ranking_pipeline.errors import UserError

from .checked import Checked, account, check, line, table
from .conftest import CHECKS, DEFECTS
from .plain_ingest import plain_ingest

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]
COLUMNS = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
LOOSE = {"max_quarantined_share": 1.0, "max_quarantined_share_of_symbol": 1.0}


def _messy(rows: int, seed: int, adjusted: bool = False) -> pd.DataFrame:
    """Bars in no order, every sixth of them damaged, many of them twice."""
    rng = np.random.default_rng(seed)
    cell = rng.permutation(4 * rows)[:rows]
    days = np.datetime64("2012-01-02") + cell // 4
    close = np.exp(rng.normal(3, 0.3, rows))
    frame = pd.DataFrame(
        {
            "symbol": np.array(["B", "A", "C", "ON"], dtype=object)[cell % 4],
            "timestamp": days.astype("M8[ns]"),
            "open": close * np.exp(rng.normal(0, 0.01, rows)),
            "high": close * 1.03,
            "low": close * 0.97,
            "close": close,
            "volume": rng.integers(0, 5, rows).astype(float),
        }
    )
    if adjusted:
        frame["adj_close"] = close * rng.choice([0.5, 1.0], rows)
    for name in [*COLUMNS[2:], *frame.columns[7:]]:
        hit = rng.random(rows) < 0.02
        frame.loc[hit, name] = rng.choice([np.nan, 0.0, -1.0, np.inf, 1e9], hit.sum())
    frame.loc[rng.random(rows) < 0.01, "timestamp"] = pd.NaT
    frame.loc[rng.random(rows) < 0.01, "symbol"] = None
    again = frame.iloc[rng.integers(0, rows, rows // 5)].copy()
    again.loc[rng.random(len(again)) < 0.4, "volume"] += 1
    frame = pd.concat([frame, again], ignore_index=True)
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    frame["source_file"], frame["source_row"] = "f", np.arange(len(frame))
    return frame


def _assert_as_plain(checked: Checked, raw: pd.DataFrame) -> None:
    plain = plain_ingest(raw, tolerance=1e-6, stale_run=5)
    account(checked, len(raw))
    found = checked.quarantine.set_index("source_row")["rule"].to_dict()
    assert found == plain.rules
    keys = [(str(s), t) for s, t in checked.bars[["symbol", "timestamp"]].to_numpy()]
    assert set(keys) == set(plain.bars)
    values = checked.bars[COLUMNS[2:]].to_numpy()
    np.testing.assert_array_equal(values, np.array([plain.bars[key] for key in keys]))
    assert checked.bars["tradable"].tolist() == [plain.tradable[key] for key in keys]


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_a_plain_ingest(
    checks: Make, monkeypatch: pytest.MonkeyPatch, seed: int, adjusted: bool
) -> None:
    # Small pieces and blocks, so that their edges are crossed.
    monkeypatch.setattr(raw_module, "PIECE_ROWS", 37)
    monkeypatch.setattr(flags, "_BLOCK_BARS", 64)
    raw = _messy(400, seed, adjusted)
    _assert_as_plain(check(raw, checks(**LOOSE)), raw)


CELLS = st.sampled_from([1.0, 1.0, 100.0, 101.0, 0.0, -3.0, np.nan, "7", "x", "", True])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "A", "B", "", None]),
            st.sampled_from(["2024-01-08", "2024-01-09", "2024-01-13", "?", None]),
            *[CELLS] * 5,
        ),
        max_size=25,
    )
)
def test_equal_to_a_plain_ingest_on_any_cells(rows: list[tuple[Any, ...]]) -> None:
    sound = ("Z", "2024-01-08", 100.0, 101.0, 99.0, 100.0, 5.0)
    raw = pd.DataFrame([sound, *rows], columns=COLUMNS).astype(object)
    raw["source_file"], raw["source_row"] = "f", np.arange(len(raw))
    _assert_as_plain(check(raw, ChecksConfig(**(CHECKS | LOOSE))), raw)


@pytest.mark.parametrize("rule", ["quarantine", "repair"])
@pytest.mark.parametrize("zero", ["keep", "quarantine"])
def test_the_quick_look_never_passes_what_a_rule_would_stop(
    checks: Make, rule: str, zero: str
) -> None:
    config = checks(price_range=rule, zero_volume=zero)
    raw = _messy(3000, 9, adjusted=True)
    numbers = read_numbers({name: raw[name] for name in [*COLUMNS[2:], "adj_close"]})
    sound = plainly_sound(numbers, *fill._extremes(numbers), config)
    verdict = judge_numbers(numbers, config)
    assert (verdict[sound] == 0).all()
    # It pays only when it passes nearly all of what is sound.
    assert (~sound & (verdict == 0)).mean() < 0.05
    assert 0.02 < (verdict != 0).mean() < 0.6
    part = np.flatnonzero(~sound)
    again = judge_numbers(take_numbers(numbers, part), config)
    np.testing.assert_array_equal(again, verdict[part])


def _same(one: Ingested, two: Ingested) -> None:
    np.testing.assert_array_equal(one.panel.values, two.panel.values)
    np.testing.assert_array_equal(one.panel.tradable, two.panel.tradable)
    np.testing.assert_array_equal(one.panel.timestamps, two.panel.timestamps)
    assert one.panel.symbols == two.panel.symbols
    pd.testing.assert_frame_equal(one.gaps, two.gaps)
    counts = ("rows_in", "rows_kept", "rows_quarantined", "missing_bars")
    assert [one.summary[name] for name in counts] == [
        two.summary[name] for name in counts
    ]


@pytest.mark.parametrize("width", ["float64", "float32"])
@pytest.mark.parametrize("group_rows", [50, 100_000])
def test_a_parquet_file_is_read_lazily_to_the_same_panel(
    checks: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: str,
    group_rows: int,
) -> None:
    monkeypatch.setattr(raw_module, "PIECE_ROWS", 41)
    frame = _messy(500, 3, adjusted=True)
    for name in [*COLUMNS[2:], "adj_close"]:
        frame[name] = frame[name].astype(width)
    path = tmp_path / "bars.parquet"
    stored = frame.drop(columns=["source_file", "source_row"]).assign(vwap=1.0)
    stored = stored.rename(columns={"symbol": "Ticker", "timestamp": "Date"})
    stored.to_parquet(path, index=False, row_group_size=group_rows)
    config = checks(**LOOSE)
    lazy = open_bars(path, config)
    assert isinstance(lazy, ParquetBars)
    assert lazy.reading.columns_ignored == ("vwap",)
    ours = ingest(lazy, config, now=None)
    theirs = ingest(FrameBars(frame, Reading("f")), config, now=None)
    _same(ours, theirs)
    columns = ["source_row", "rule", "action", "symbol", "timestamp", "close"]
    pd.testing.assert_frame_equal(ours.quarantine[columns], theirs.quarantine[columns])
    assert set(ours.quarantine["source_file"]) == {"bars.parquet"}
    pd.testing.assert_frame_equal(ours.quality.iloc[:, :4], theirs.quality.iloc[:, :4])


STORED: dict[str, Callable[[pd.DataFrame], pa.Table]] = {
    "dates": lambda f: pa.table(
        {**_arrays(f), "timestamp": pa.array(f["timestamp"].dt.date)}
    ),
    "aware stamps": lambda f: pa.table(
        {
            **_arrays(f),
            "timestamp": pa.array(f["timestamp"].dt.tz_localize("America/New_York")),
        }
    ),
    "text stamps": lambda f: pa.table(
        {**_arrays(f), "timestamp": pa.array(f["timestamp"].astype(str))}
    ),
    "seconds": lambda f: pa.table(
        {**_arrays(f), "timestamp": pa.array(f["timestamp"]).cast(pa.timestamp("s"))}
    ),
    "large strings": lambda f: pa.table(
        {**_arrays(f), "symbol": pa.array(f["symbol"]).cast(pa.large_string())}
    ),
    "dictionary": lambda f: pa.table(
        {**_arrays(f), "symbol": pa.array(f["symbol"]).dictionary_encode()}
    ),
    "decimals": lambda f: pa.table(
        {**_arrays(f), "volume": pa.array(f["volume"]).cast(pa.decimal128(12, 2))}
    ),
    "integers": lambda f: pa.table(
        {**_arrays(f), "volume": pa.array(f["volume"]).cast(pa.int64())}
    ),
    "text prices": lambda f: pa.table(
        {**_arrays(f), "close": pa.array(f["close"].map(repr))}
    ),
}


def _arrays(frame: pd.DataFrame) -> dict[str, pa.Array]:
    return {name: pa.array(frame[name]) for name in COLUMNS}


@pytest.mark.parametrize("kind", STORED)
def test_stored_types_of_a_lazy_file(
    good: Frame, checks: Make, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "bars.parquet"
    pq.write_table(STORED[kind](good()), path, row_group_size=7)
    lazy = open_bars(path, checks())
    assert isinstance(lazy, ParquetBars)
    done = ingest(lazy, checks(), now=None)
    expected = check(good(), checks())
    pd.testing.assert_frame_equal(table(done).bars, expected.bars)
    rows = lazy.rows(np.array([9, 2, 30]))
    assert rows["source_row"].tolist() == [9, 2, 30]
    assert rows["symbol"].tolist() == ["AAA", "AAA", "BBB"]


def test_other_sources_go_through_the_readers(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    (tmp_path / "folder").mkdir()
    bars.to_csv(tmp_path / "bars.csv", index=False)
    bars.iloc[:5].drop(columns="symbol").to_parquet(tmp_path / "folder" / "AAA.parquet")
    for name in ("bars.csv", "folder"):
        assert isinstance(open_bars(tmp_path / name, checks()), FrameBars)
    bars.assign(symbol=700).to_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(UserError, match="not text"):
        open_bars(tmp_path / "numbers.parquet", checks())
    with pytest.raises(UserError, match="does not exist"):
        open_bars(tmp_path / "absent.parquet", checks())


def test_damage_inside_a_lazy_file_is_explained(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    path = tmp_path / "bars.parquet"
    table_ = pa.Table.from_pandas(good(200)[COLUMNS])
    pq.write_table(table_, path, write_page_checksum=True, use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(0).column(5)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(content)
    lazy = open_bars(path, checks())
    with pytest.raises(UserError, match=r"bars\.parquet cannot be read.*Copy or"):
        ingest(lazy, checks(), now=None)


def test_the_order_of_rows_changes_nothing(good: Frame, checks: Make) -> None:
    raw = good(30, ("B", "C", "A")).drop(index=[4, 50])
    expected = check(raw, checks()).ingested
    for seed in range(3):
        shuffled = raw.sample(frac=1, random_state=seed)
        _same(check(shuffled, checks()).ingested, expected)


def test_dates_and_minutes_without_a_calendar(good: Frame, checks: Make) -> None:
    panel = check(good(5), checks()).panel
    # The bar of Monday ends at 05:00 UTC of Tuesday and is Monday's.
    assert panel.trading_dates[0] == np.datetime64("2024-01-08")
    assert (panel.session_minutes == 24 * 60).all()
    raw = good(4)
    starts = [
        "2024-01-08 15:50",
        "2024-01-08 15:55",
        "2024-01-09 09:30",
        "2024-01-09 09:45",
    ]
    raw["timestamp"] = pd.to_datetime(starts * 2)
    panel = check(raw, checks(interval="5m")).panel
    assert [str(date) for date in panel.trading_dates] == ["2024-01-08"] * 2 + [
        "2024-01-09"
    ] * 2
    assert panel.session_minutes.tolist() == [5, 10, 5, 20]
    assert (panel.sectors == -1).all()


def test_bars_and_symbols_without_sound_rows_leave_no_trace(
    good: Frame, checks: Make
) -> None:
    raw = good(5, ("AAA", "BBB", "CCC"))
    raw.loc[[2, 7, 12], "close"] = np.nan
    raw.loc[raw["symbol"] == "BBB", "close"] = -1.0
    done = check(raw, checks(**LOOSE))
    account(done, 15)
    assert done.panel.symbols == ("AAA", "CCC")
    assert done.panel.n_bars == 4
    assert done.gaps.empty


def test_gaps_are_told_with_their_spans(good: Frame, checks: Make) -> None:
    done = check(good().drop(index=[3, 4, 9, 19, 20]), checks())
    # AAA lacks its bars 3, 4 and 9; 19 is its last, and BBB begins one bar late.
    assert done.gaps["symbol"].tolist() == ["AAA", "AAA"]
    assert done.gaps["n_bars"].tolist() == [2, 1]
    first, last = done.gaps["first_missing"], done.gaps["last_missing"]
    # Bars 3 and 4 are Thursday the 11th and Friday the 12th; they end at midnight.
    assert first[0] == pd.Timestamp("2024-01-12 05:00", tz="UTC")
    assert last[0] == pd.Timestamp("2024-01-13 05:00", tz="UTC")
    assert first[1] == last[1] == pd.Timestamp("2024-01-20 05:00", tz="UTC")
    assert (done.summary["n_gaps"], done.summary["missing_bars"]) == (2, 3)
    assert check(good(), checks()).gaps.empty


def test_tables_of_slices_are_the_whole_table(good: Frame, checks: Make) -> None:
    panel = check(good().drop(index=[3, 25, 26]), checks()).panel
    whole = bar_table(panel, slice(None))
    assert list(whole.columns) == ["timestamp", *COLUMNS[:1], *COLUMNS[2:], "tradable"]
    assert len(whole) == 37
    assert (whole.dtypes[COLUMNS[2:]] == np.float32).all()
    parts = [bar_table(panel, slice(t, t + 6)) for t in range(0, panel.n_bars, 6)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    blocks = [*bar_blocks(panel, rows_per_block=7)]
    assert len(blocks) == 7  # three bars of two symbols each
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), whole)
    bars, symbols = np.nonzero(panel.present.T)
    np.testing.assert_array_equal(whole["symbol"].cat.codes, symbols)
    np.testing.assert_array_equal(whole["close"], panel.field("close")[symbols, bars])
    keys = whole[["timestamp", "symbol"]].astype({"symbol": str})
    assert keys.equals(keys.sort_values(["timestamp", "symbol"], ignore_index=True))


# Two New York sessions in winter: 14:30 to 21:00 UTC, and an early close at 18:00.
NEW_YORK = Sessions(
    "XTEST",
    np.array(["2024-01-08", "2024-01-09"], dtype="M8[D]"),
    np.array(["2024-01-08T14:30", "2024-01-09T14:30"], dtype="M8[ns]"),
    np.array(["2024-01-08T21:00", "2024-01-09T18:00"], dtype="M8[ns]"),
)


def _intraday(good: Frame, starts: list[str]) -> pd.DataFrame:
    raw = good(len(starts), ("AAA",))
    return raw.assign(timestamp=pd.to_datetime(starts))


def test_bars_outside_the_sessions(good: Frame, checks: Make) -> None:
    starts = [
        "2024-01-08 14:25",
        "2024-01-08 14:30",
        "2024-01-08 20:55",
        "2024-01-08 21:00",
        "2024-01-09 14:30",
        "2024-01-09 17:58",
        "2024-01-10 15:00",
    ]
    raw = _intraday(good, starts)
    config = checks(interval="5m", timezone="UTC", **LOOSE)
    done = check(raw, config, calendar=NEW_YORK)
    account(done, 7)
    found = done.quarantine.set_index("source_row")["rule"].to_dict()
    # 17:58-18:03 is cut at the close of 18:00, which ends it within the session.
    assert found == {0: "outside_session", 3: "outside_session", 6: "not_a_session"}
    assert done.panel.session_minutes.tolist() == [5, 390, 5, 210]
    assert str(done.panel.timestamps[-1])[:16] == "2024-01-09T18:00"
    assert line(done, "not_a_session")["rows"] == 1
    kept = check(
        raw,
        checks(interval="5m", timezone="UTC", session="all", weekends="keep", **LOOSE),
        calendar=NEW_YORK,
    )
    account(kept, 7)
    assert kept.quarantine.empty
    # Before the open minutes are negative; a date without a session counts from zero.
    assert kept.panel.session_minutes.tolist() == [0, 5, 390, 395, 5, 210, 0]


def test_daily_bars_of_dates_without_a_session(good: Frame, checks: Make) -> None:
    raw = good(4)
    done = check(raw, checks(**LOOSE), calendar=NEW_YORK)
    account(done, 8)
    assert line(done, "not_a_session")["rows"] == 4
    assert done.panel.session_minutes.tolist() == [390, 210]
    kept = check(raw, checks(weekends="keep"), calendar=NEW_YORK)
    assert kept.panel.n_bars == 4


@pytest.mark.parametrize("declared", ["start", "end"])
def test_stamps_that_contradict_the_sessions_are_refused(
    good: Frame, checks: Make, declared: str
) -> None:
    first = pd.date_range("2024-01-08 14:30", "2024-01-08 20:55", freq="5min")
    starts = first.append(
        pd.date_range("2024-01-09 14:30", "2024-01-09 17:55", freq="5min")
    )
    ends = starts + pd.Timedelta(minutes=5)
    config = checks(interval="5m", timezone="UTC", bar_stamp=declared)
    right, wrong = (starts, ends) if declared == "start" else (ends, starts)
    raw = good(len(starts), ("AAA",))
    done = check(raw.assign(timestamp=right), config, calendar=NEW_YORK)
    assert done.quarantine.empty
    np.testing.assert_array_equal(done.panel.timestamps, ends.to_numpy("M8[ns]"))
    other = "end" if declared == "start" else "start"
    with pytest.raises(UserError, match=rf"Set data\.bar_stamp={other}"):
        check(raw.assign(timestamp=wrong), config, calendar=NEW_YORK)


def test_the_calendar_by_its_name(good: Frame, checks: Make) -> None:
    raw = good(10, ("AAA",))  # Monday 2024-01-15 was Martin Luther King's day.
    done = check(raw, checks(calendar="XNYS"))
    assert done.quarantine["timestamp"].tolist() == ["2024-01-15"]
    assert done.summary["calendar"] == "XNYS"
    with pytest.raises(UserError, match="no calendar of exchange_calendars"):
        check(raw, checks(calendar="XNIS"))


def test_the_grid_is_that_of_the_session(good: Frame, checks: Make) -> None:
    starts = ["2024-01-08 14:30", "2024-01-08 15:30", "2024-01-08 20:30"]
    config = checks(interval="1h", timezone="UTC", **LOOSE)
    raw = _intraday(good, starts)
    # 14:30-15:30 is off the clock's hours, and on those of the session; the last bar
    # ends with the session at 21:00.
    assert line(check(raw, config), "off_grid_timestamp")["rows"] == 3
    done = check(raw, config, calendar=NEW_YORK)
    assert done.quality["rule"].tolist() == ["one_symbol"]
    assert done.panel.session_minutes.tolist() == [60, 120, 390]


def test_no_bar_is_judged_by_a_later_one(checks: Make) -> None:
    """Cutting the future changes neither values nor tradable marks of the past."""
    raw = _messy(600, 5)
    config = checks(**LOOSE)
    whole = check(raw, config).panel
    for day in ("2012-09-12", "2013-03-01"):
        past = raw[~(raw["timestamp"] > pd.Timestamp(day))]
        panel = check(past, config).panel
        n = panel.n_bars
        assert panel.symbols == whole.symbols
        np.testing.assert_array_equal(panel.values, whole.values[:, :n])
        np.testing.assert_array_equal(panel.tradable, whole.tradable[:, :n])


def test_a_calendar_against_the_zone_is_refused(good: Frame, checks: Make) -> None:
    late = replace(NEW_YORK, dates=np.array(["2024-01-10", "2024-01-11"], "M8[D]"))
    raw = _intraday(good, ["2024-01-09 14:30", "2024-01-10 05:00"])
    changes = {"interval": "5m", "timezone": "UTC", "session": "all"}
    with pytest.raises(UserError, match=r"go back in time.*data\.timezone"):
        check(raw, checks(**changes, weekends="keep"), calendar=late)


def test_a_row_that_is_lost_stops_the_run(
    good: Frame, checks: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = good()
    raw.loc[3, "close"] = 0.0
    whole = quality.quarantine_table

    def forgetful(*arguments: Any) -> pd.DataFrame:
        return whole(*arguments).iloc[:0]

    monkeypatch.setattr(ingest_module, "quarantine_table", forgetful)
    with pytest.raises(RuntimeError, match="does not balance"):
        check(raw, checks())


def test_rules_of_defects_have_one_fixture_each() -> None:
    assert set(DEFECTS) == set(ChecksConfig(**CHECKS).defects.model_dump())
