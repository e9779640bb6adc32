"""qlib folders: every value, label and name as stored, and damage explained."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.qlib_folder import qlib_spells
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.errors import UserError

from .conftest import CHECKS
from .qlib_files import feature_folder, write_qlib

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]

TICKERS = (
    "ON",
    "NO",
    "TRUE",
    "NA",
    "NULL",
    "NAN",
    "0700",
    "1E5",
    "BRK.B",
    "BF-B",
    "PRN",
)
FIELDS = ["open", "high", "low", "close", "volume"]
COLUMNS = ["symbol", "timestamp", *FIELDS]


def _plain(raw: pd.DataFrame) -> pd.DataFrame:
    """Rows by symbol and stamp, as text, stamps and float32."""
    plain = raw[COLUMNS].astype({"symbol": str, **dict.fromkeys(FIELDS, np.float32)})
    plain["timestamp"] = plain["timestamp"].astype("M8[ns]")
    return plain.sort_values(["symbol", "timestamp"]).reset_index(drop=True)


def test_every_bar_and_ticker_comes_back(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(6, TICKERS)[COLUMNS]
    late = (bars["symbol"] == "NA") & (bars["timestamp"] < "2024-01-10")
    ended = (bars["symbol"] == "1E5") & (bars["timestamp"] > "2024-01-11")
    halted = (bars["symbol"] == "ON") & (bars["timestamp"] == "2024-01-10")
    bars = bars[~(late | ended | halted)]
    write_qlib(tmp_path, bars)
    inspect_source(tmp_path, checks())
    raw, reading = read_bars(tmp_path, checks())
    pd.testing.assert_frame_equal(_plain(raw), _plain(bars), check_exact=True)
    assert reading.layout == "qlib"
    assert reading.unreadable_files == ()
    first = raw[raw["symbol"] == "NA"].iloc[0]
    assert (first["source_file"], first["source_row"]) == ("features/na", 2)
    assert raw[raw["symbol"] == "PRN"]["source_file"].iloc[0] == "features/_qlib_prn"
    assert list(raw.columns) == [*COLUMNS, "source_file", "source_row"]
    assert isinstance(raw["symbol"].dtype, pd.CategoricalDtype)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_pattern_of_missing_values_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cells = st.one_of(st.just(float("nan")), st.floats(1, 100, width=32))
    table = data.draw(
        st.lists(st.tuples(*[cells] * len(FIELDS)), min_size=1, max_size=6)
    )
    days = pd.date_range("2024-01-08", periods=len(table))
    bars = pd.DataFrame(table, columns=FIELDS)
    bars = bars.assign(symbol="AAA", timestamp=days)[COLUMNS]
    whole = bars.assign(symbol="BBB", **dict.fromkeys(FIELDS, 1.0))
    root = write_qlib(
        tmp_path_factory.mktemp("qlib"), pd.concat([bars, whole], ignore_index=True)
    )
    raw, _ = read_bars(root, ChecksConfig(**CHECKS))
    kept = [i for i, row in enumerate(table) if not np.isnan(row).all()]
    ours = raw[raw["symbol"] == "AAA"]
    assert ours["source_row"].tolist() == kept
    np.testing.assert_array_equal(
        ours[FIELDS].to_numpy(), np.array(table, np.float32)[kept].reshape(-1, 5)
    )


def test_a_halt_is_no_bar_and_a_half_bar_is_one(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5, ("AAA",))[COLUMNS]
    bars.loc[1, FIELDS] = [np.nan, np.nan, np.nan, np.nan, 0]
    bars.loc[2, FIELDS] = [np.nan, np.nan, np.nan, np.nan, 700]
    bars.loc[3, "low"] = np.nan
    never = bars.assign(symbol="BBB", **dict.fromkeys(FIELDS, np.nan))
    write_qlib(tmp_path, pd.concat([bars, never], ignore_index=True))
    raw, reading = read_bars(tmp_path, checks())
    assert raw["source_row"].tolist() == [0, 2, 3, 4]
    assert reading.empty_files == ("features/bbb",)


def test_fields_of_one_symbol_may_start_on_different_days(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4)[COLUMNS]
    write_qlib(tmp_path, bars)
    np.array([2, 10, 20], "<f4").tofile(tmp_path / "features/aaa/volume.day.bin")
    raw, _ = read_bars(tmp_path, checks(symbols=["AAA"]))
    np.testing.assert_array_equal(raw["volume"], [np.nan, np.nan, 10, 20])
    expected = bars[bars["symbol"] == "AAA"]["close"].to_numpy(np.float32)
    np.testing.assert_array_equal(raw["close"], expected)


def test_stored_prices_are_used_and_the_factor_is_told(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4, ("AAA", "BBB", "CCC"))[COLUMNS]
    split = (bars["symbol"] == "AAA") & (bars["timestamp"] < "2024-01-10")
    bars = bars.assign(factor=np.where(split, 0.5, 1.0), adjclose=3.0, vwap=2.0)
    write_qlib(tmp_path, bars)
    (tmp_path / "features/ccc/factor.day.bin").unlink()
    raw, reading = read_bars(tmp_path, checks())
    pd.testing.assert_frame_equal(_plain(raw), _plain(bars))
    assert "adj_close" not in raw
    assert reading.columns_ignored == ("adjclose", "vwap")
    (note,) = reading.notes
    assert "differs from 1 for 1 symbols, is 1 throughout for 1 and is not st" in note
    named, _ = read_bars(tmp_path, checks(column_map={"adj_close": "$adjclose"}))
    assert named["adj_close"].eq(3).all()


@pytest.mark.parametrize(("interval", "frequency"), [("5m", "5min"), ("1h", "60min")])
def test_the_interval_chooses_the_frequency(
    good: Frame, checks: Make, tmp_path: Path, interval: str, frequency: str
) -> None:
    daily = good(3)[COLUMNS]
    start = pd.Timestamp("2024-01-08 09:30")
    stamps = start + (daily.index % 3) * checks(interval=interval).bar_length
    intraday = daily.assign(timestamp=stamps, close=daily["high"])
    write_qlib(tmp_path, daily)
    write_qlib(tmp_path, intraday, frequency)
    (tmp_path / "calendars" / "day_future.txt").write_text("2030-01-01\n")
    raw, _ = read_bars(tmp_path, checks(interval=interval))
    pd.testing.assert_frame_equal(_plain(raw), _plain(intraday))
    raw, _ = read_bars(tmp_path, checks())
    pd.testing.assert_frame_equal(_plain(raw), _plain(daily))
    with pytest.raises(UserError, match=rf"is 15m.*are {frequency}, day\. Set"):
        inspect_source(tmp_path, checks(interval="15m"))


def test_only_the_symbols_asked_for_are_opened(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    write_qlib(tmp_path, good(3, ("0700", "ON", "NO"))[COLUMNS])
    for symbol in ("ON", "NO"):
        for path in feature_folder(tmp_path, symbol).iterdir():
            path.write_bytes(b"xyz")
    raw, reading = read_bars(tmp_path, checks(symbols=["0700"]))
    assert raw["symbol"].tolist() == ["0700"] * 3
    assert reading.unreadable_files == ()
    with pytest.raises(UserError, match=r"no bars for OFF.*3 symbols, as 0700, ON, NO"):
        read_bars(tmp_path, checks(symbols=["OFF", "ON"]))


def _without_calendar(root: Path) -> None:
    (root / "calendars" / "day.txt").unlink()


def _without_names(root: Path) -> None:
    (root / "instruments" / "all.txt").unlink()


def _disordered(root: Path) -> None:
    (root / "calendars" / "day.txt").write_text("2024-01-08\n2024-01-10\n2024-01-09\n")


def _no_dates(root: Path) -> None:
    (root / "calendars" / "day.txt").write_text("2024-01-08\nTuesday\n")


def _empty_calendar(root: Path) -> None:
    (root / "calendars" / "day.txt").write_text("\n")


def _latin(root: Path) -> None:
    (root / "instruments" / "all.txt").write_bytes(b"A\xc9\t2024-01-08\t2024-01-10\n")


def _no_spell(root: Path) -> None:
    (root / "instruments" / "all.txt").write_text("AAA 2024-01-08 2024-01-10\n")


def _cases(root: Path) -> None:
    with (root / "instruments" / "all.txt").open("a") as stream:
        stream.write("aaa\t2024-01-08\t2024-01-10\n")


def _all_torn(root: Path) -> None:
    for path in root.rglob("close.day.bin"):
        path.write_bytes(path.read_bytes()[:-1])


def _no_volume(root: Path) -> None:
    for path in root.rglob("volume.day.bin"):
        path.unlink()


def _outside(root: Path) -> None:
    text = "../../x\t2024-01-08\t2024-01-10\n"
    (root / "instruments" / "all.txt").write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_calendar, r"laid out as a qlib folder but has no calendar"),
        (_without_names, r"no market 'all' \(.*all\.txt is not there\)"),
        (_disordered, r"line 3: '2024-01-09' is no date later than the one before"),
        (_no_dates, r"line 2: 'Tuesday' is no date"),
        (_empty_calendar, r"day\.txt is empty"),
        (_latin, r"all\.txt is not UTF-8: byte 1 "),
        (_no_spell, r"line 1: .* is not a name, its first and its last date"),
        (_cases, r"AAA and aaa differ only by case"),
        (
            _all_torn,
            r"none of 2 file.*features/aaa: close\.day\.bin is truncated: 15 b",
        ),
        (_no_volume, r"features/aaa has no column volume\. Found: close, high, low"),
        (_outside, r"'\.\./\.\./x' leads out of the folder"),
    ],
)
def test_damage_of_the_whole_folder_is_explained(
    good: Frame,
    checks: Make,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    write_qlib(tmp_path, good(3)[COLUMNS])
    damage(tmp_path)
    for work in (inspect_source, read_bars):
        with pytest.raises(UserError, match=message):
            work(tmp_path, checks())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated: 0 bytes"),
        (b"\0\0\0\0\1", "truncated: 5 bytes"),
        (np.array([1, 5, 5, 5], "<f4").tobytes(), "to row 4 of a calendar of 3 rows"),
        (np.array([np.nan, 5], "<f4").tobytes(), "starts with nan"),
        (np.array([0.5, 5], "<f4").tobytes(), "starts with 0.5"),
        (np.array([-1, 5], "<f4").tobytes(), "starts with -1.0"),
    ],
)
def test_one_damaged_symbol_is_named_and_left_out(
    good: Frame, checks: Make, tmp_path: Path, content: bytes, reason: str
) -> None:
    write_qlib(tmp_path, good(3)[COLUMNS])
    (tmp_path / "features/bbb/low.day.bin").write_bytes(content)
    inspect_source(tmp_path, checks())
    raw, reading = read_bars(tmp_path, checks())
    assert raw["symbol"].unique().tolist() == ["AAA"]
    ((name, told),) = reading.unreadable_files
    assert name == "features/bbb"
    assert "low.day.bin" in told
    assert reason in told


def test_a_listed_symbol_without_a_folder_is_named(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    write_qlib(tmp_path, good(3)[COLUMNS])
    with (tmp_path / "instruments" / "all.txt").open("a") as stream:
        stream.write("GONE\t2024-01-08\t2024-01-10\n")
    _, reading = read_bars(tmp_path, checks())
    assert reading.unreadable_files == (
        ("features/gone", "there is no file *.day.bin"),
    )


def test_stamps_need_a_zone_and_days_are_labelled_by_their_date(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    write_qlib(tmp_path, good(3)[COLUMNS])
    with pytest.raises(UserError, match=r"--params=data\.timezone"):
        inspect_source(tmp_path, checks(timezone=None))
    with pytest.raises(UserError, match=r"Set data\.bar_stamp: start"):
        inspect_source(tmp_path, checks(bar_stamp="end"))


def test_layout_is_told_from_the_folders_or_said(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(3)[COLUMNS]
    write_qlib(tmp_path / "q", bars)
    (tmp_path / "q" / "extra").mkdir()
    bars.to_csv(tmp_path / "q" / "extra" / "bars.csv", index=False)
    assert read_bars(tmp_path / "q", checks())[1].layout == "qlib"
    assert read_bars(tmp_path / "q", checks(layout="long"))[1].layout == "long"
    with pytest.raises(UserError, match="but has no calendar"):
        read_bars(tmp_path / "q" / "extra", checks(layout="qlib"))
    with pytest.raises(UserError, match="is no folder"):
        read_bars(tmp_path / "q" / "extra" / "bars.csv", checks(layout="qlib"))


def test_the_digest_covers_names_and_bytes(good: Frame, tmp_path: Path) -> None:
    root = write_qlib(tmp_path, good(3)[COLUMNS])
    source = BarSource(str(root))
    assert len(source.files()) == 2 + 2 * len(FIELDS)
    seen = {source.digest()}
    for path in (
        root / "features/bbb/volume.day.bin",
        root / "calendars/day.txt",
        root / "instruments/all.txt",
    ):
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(source.digest())
    path.rename(path.with_name("other.txt"))
    seen.add(source.digest())
    assert len(seen) == 5


def test_spells_of_a_market(good: Frame, tmp_path: Path) -> None:
    spells = [
        ("NA", "2020-01-02", "2020-06-30"),
        ("TRUE", "2019-01-02 09:30:00", "2099-12-31"),
        ("NA", "2021-01-04", "2021-12-31"),
    ]
    write_qlib(tmp_path, good(3)[COLUMNS], markets={"csi300": spells})
    table = qlib_spells(tmp_path, "csi300")
    assert table["symbol"].tolist() == ["NA", "TRUE", "NA"]
    firsts = ["2020-01-02", "2019-01-02", "2021-01-04"]
    lasts = ["2020-06-30", "2099-12-31", "2021-12-31"]
    assert table["first"].tolist() == [pd.Timestamp(day) for day in firsts]
    assert table["last"].tolist() == [pd.Timestamp(day) for day in lasts]
    with pytest.raises(UserError, match="no market 'csi500'"):
        qlib_spells(tmp_path, "csi500")


_ASK_QLIB = """
import json, sys
import qlib
from qlib.data import D
folder, frequency, names, out = sys.argv[1:]
qlib.init(provider_uri=folder, region="us", kernels=1, expression_cache=None,
          dataset_cache=None, logging_level=40)
fields = ["$open", "$high", "$low", "$close", "$volume"]
values = D.features(json.loads(names), fields, freq=frequency)
values.columns = [name[1:] for name in values.columns]
values.to_parquet(out)
"""


@pytest.mark.skipif(
    "QLIB_PYTHON" not in os.environ, reason="QLIB_PYTHON names no interpreter with qlib"
)
@pytest.mark.parametrize("frequency", ["day", "5min"])
def test_qlib_reads_the_same_values(
    good: Frame, checks: Make, tmp_path: Path, frequency: str
) -> None:
    symbols = TICKERS
    bars = good(30, symbols)[COLUMNS].drop(index=[3, 4, 40, 70])
    if frequency == "5min":
        start = pd.Timestamp("2024-01-08 09:30")
        bars["timestamp"] = start + (bars.index % 30) * pd.Timedelta(minutes=5)
    bars = bars[~((bars["symbol"] == "0700") & (bars.index % 30 < 7))]
    root = write_qlib(tmp_path / "q", bars, frequency)
    script, out = tmp_path / "ask.py", tmp_path / "values.parquet"
    script.write_text(_ASK_QLIB)
    subprocess.run(
        [os.environ["QLIB_PYTHON"], script, root, frequency, json.dumps(symbols), out],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        timeout=300,
    )
    theirs = pd.read_parquet(out).reset_index().dropna(subset=FIELDS, how="all")
    theirs = theirs.rename(columns={"instrument": "symbol", "datetime": "timestamp"})
    interval = "1d" if frequency == "day" else "5m"
    raw, _ = read_bars(root, checks(interval=interval))
    assert len(raw) == len(bars)
    pd.testing.assert_frame_equal(_plain(raw), _plain(theirs), check_exact=True)
