"""Readers: odd tickers survive, files are read as they are, mistakes are explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.errors import UserError

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]

TICKERS = ("ON", "NO", "TRUE", "NA", "NULL", "NAN", "0700", "1E5", "BRK.B", "BF-B")
COLUMNS = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]


def _write(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("layout", ["file", "folder", "folder of names"])
def test_every_ticker_survives(
    good: Frame, checks: Make, tmp_path: Path, suffix: str, layout: str
) -> None:
    bars = good(5, TICKERS)[COLUMNS]
    source = tmp_path / ("bars" + suffix if layout == "file" else "bars")
    if layout == "file":
        _write(bars, source)
    else:
        for ticker, part in bars.groupby("symbol"):
            own = part if layout == "folder" else part.drop(columns="symbol")
            _write(own, source / f"{ticker}{suffix}")
    inspect_source(source, checks())
    raw, reading = read_bars(source, checks())
    assert reading.layout == "long"
    assert isinstance(raw["symbol"].dtype, pd.CategoricalDtype)
    assert _prices(raw) == _prices(bars)


def _prices(bars: pd.DataFrame) -> dict[tuple[str, str], tuple[float, ...]]:
    """(symbol, day) -> open ... volume of long bars."""
    days = pd.to_datetime(bars["timestamp"]).dt.strftime("%Y-%m-%d")
    rows = zip(*(bars[name] for name in COLUMNS[2:]), strict=True)
    keys = list(zip(bars["symbol"].astype(str), days, strict=True))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, rows, strict=True))


def test_columns_by_alias_case_and_map(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS].assign(vwap=1.0)
    names = {"symbol": "Ticker", "timestamp": "Date", "close": "Last", "volume": "VOL"}
    path = _write(bars.rename(columns=names | {"open": "OPEN"}), tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"no column close.*Last.*column_map"):
        read_bars(path, checks())
    raw, reading = read_bars(path, checks(column_map={"close": "Last"}))
    np.testing.assert_array_equal(raw["close"], bars["close"])
    assert list(raw.columns) == [*COLUMNS, "source_file", "source_row"]
    assert reading.columns_ignored == ("vwap",)
    with pytest.raises(UserError, match=r"close is 'Lst', but a\.csv has only"):
        read_bars(path, checks(column_map={"close": "Lst"}))


def test_two_candidates_for_one_column(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS].rename(columns={"timestamp": "date"}).assign(time="09:30")
    path = _write(bars, tmp_path / "a.csv")
    with pytest.raises(UserError, match="date and time could both be timestamp"):
        inspect_source(path, checks())


def test_values_are_read_as_they_are(checks: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "symbol,timestamp,open,high,low,close,volume\n"
        "NA,2024-01-08,0.1,0.30000000000000004,0.1,x,\n"
    )
    raw, _ = read_bars(path, checks())
    row = raw.iloc[0]
    assert (row["symbol"], row["timestamp"], row["close"]) == ("NA", "2024-01-08", "x")
    assert row["high"] == 0.30000000000000004
    assert np.isnan(row["volume"])


Writer = Callable[[pd.DataFrame, Path], Path]


def _nothing(bars: pd.DataFrame, folder: Path) -> Path:
    return folder / "absent.parquet"


def _text_file(bars: pd.DataFrame, folder: Path) -> Path:
    (folder / "bars.txt").write_text("x")
    return folder / "bars.txt"


def _empty_folder(bars: pd.DataFrame, folder: Path) -> Path:
    (folder / "bars").mkdir()
    return folder / "bars"


def _no_rows(bars: pd.DataFrame, folder: Path) -> Path:
    return _write(bars.iloc[:0], folder / "bars.parquet")


def _no_rows_csv(bars: pd.DataFrame, folder: Path) -> Path:
    return _write(bars.iloc[:0], folder / "bars.csv")


def _no_volume(bars: pd.DataFrame, folder: Path) -> Path:
    return _write(bars.drop(columns="volume"), folder / "bars.parquet")


def _no_symbol(bars: pd.DataFrame, folder: Path) -> Path:
    return _write(bars.drop(columns="symbol"), folder / "bars.csv")


def _number_symbols(bars: pd.DataFrame, folder: Path) -> Path:
    return _write(bars.assign(symbol=700), folder / "bars.parquet")


def _torn(bars: pd.DataFrame, folder: Path) -> Path:
    path = _write(bars, folder / "bars.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    return path


def _zero_bytes(bars: pd.DataFrame, folder: Path) -> Path:
    (folder / "bars.csv").touch()
    return folder / "bars.csv"


def _latin(bars: pd.DataFrame, folder: Path) -> Path:
    path = _write(bars, folder / "bars.csv")
    path.write_bytes(path.read_bytes().replace(b"AAA", b"\xc9AA"))
    return path


def _number_stamps(bars: pd.DataFrame, folder: Path) -> Path:
    return _write(bars.assign(timestamp=1704700800), folder / "bars.parquet")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nothing, r"absent\.parquet does not exist"),
        (_text_file, r"neither parquet nor CSV"),
        (_empty_folder, r"holds no parquet or CSV"),
        (_no_rows, r"zero rows"),
        (_no_rows_csv, r"zero rows"),
        (_no_volume, r"no column volume\. Found: symbol.*Wanted: .*data\.column_map"),
        (_no_symbol, r"no column symbol.*one file per symbol"),
        (_number_symbols, r"holds int64, not text"),
        (_torn, r"its one file cannot be read.*bars\.parquet"),
        (_zero_bytes, r"its one file cannot be read.*bars\.csv"),
        (_latin, r"bars\.csv is not utf-8: byte 44 .*data\.encoding"),
        (_number_stamps, r"timestamps are numbers.*data\.timestamp_format=unix_s"),
    ],
)
def test_mistakes_are_explained_before_any_work(
    good: Frame, checks: Make, tmp_path: Path, make: Writer, message: str
) -> None:
    source = make(good(5)[COLUMNS], tmp_path)
    with pytest.raises(UserError, match=message):
        inspect_source(source, checks())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_stamps_without_a_zone_need_one(
    good: Frame, checks: Make, tmp_path: Path, suffix: str
) -> None:
    path = _write(good(5)[COLUMNS], tmp_path / f"bars{suffix}")
    with pytest.raises(UserError, match=r"--params=data\.timezone=America/New_York"):
        inspect_source(path, checks(timezone=None))


def test_a_torn_file_among_others_is_named_and_left_out(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    for symbol, part in good(5)[COLUMNS].groupby("symbol"):
        _write(part, tmp_path / f"{symbol}.parquet")
    (tmp_path / "CCC.parquet").write_bytes(b"PAR1 not really PAR1")
    (tmp_path / "DDD.csv").touch()
    inspect_source(tmp_path, checks())
    raw, reading = read_bars(tmp_path, checks())
    assert [name for name, _ in reading.unreadable_files] == ["CCC.parquet", "DDD.csv"]
    assert len(raw) == 10
    for symbol, part in good(5)[COLUMNS].groupby("symbol"):
        _write(part.drop(columns="symbol"), tmp_path / f"{symbol}.parquet")
    with pytest.raises(UserError, match=r"holds none of CCC.*2 cannot be read, as CCC"):
        read_bars(tmp_path, checks(symbols=["CCC"]))


def test_files_of_one_folder_must_agree(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    first, second = bars[bars["symbol"] == "AAA"], bars[bars["symbol"] == "BBB"]
    aware = second.assign(timestamp=second["timestamp"].dt.tz_localize("Asia/Tokyo"))
    _write(first, tmp_path / "zones" / "a.parquet")
    _write(aware, tmp_path / "zones" / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet carry a time zone and those of a"):
        read_bars(tmp_path / "zones", checks())
    _write(first, tmp_path / "adjusted" / "a.parquet")
    _write(second.assign(adj_close=1.0), tmp_path / "adjusted" / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet has a column adj_close"):
        read_bars(tmp_path / "adjusted", checks())


def test_zones_of_different_files_are_one_in_the_end(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    start = pd.Timestamp("2024-01-08 15:00", tz="UTC")
    stamps = start + pd.to_timedelta(5 * (np.arange(10) % 5), unit="min")
    for zone, symbol in (("America/New_York", "AAA"), ("Asia/Tokyo", "BBB")):
        local = bars.assign(timestamp=stamps.tz_convert(zone))
        _write(local[local["symbol"] == symbol], tmp_path / f"{symbol}.parquet")
    config = checks(interval="5m", timezone=None)
    raw, _ = read_bars(tmp_path, config)
    for _, part in raw.groupby("symbol", observed=True):
        assert part["timestamp"].tolist() == stamps[:5].tolist()


def test_csv_and_parquet_of_one_folder_join(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    _write(bars[bars["symbol"] == "AAA"], tmp_path / "a.csv")
    _write(bars[bars["symbol"] == "BBB"], tmp_path / "b.parquet")
    raw, _ = read_bars(tmp_path, checks())
    assert _prices(raw) == _prices(bars)
    assert raw["source_file"].astype(str).unique().tolist() == ["a.csv", "b.parquet"]
    assert raw["source_row"].tolist() == [*range(5), *range(5)]


def test_only_the_files_of_the_symbols_asked_for_are_read(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5, ("AAA", "BBB", "CCC"))[COLUMNS]
    for symbol, part in bars.groupby("symbol"):
        suffix = "csv" if symbol == "CCC" else "parquet"
        _write(part.drop(columns="symbol"), tmp_path / f"{symbol}.{suffix}")
    raw, _ = read_bars(tmp_path, checks(symbols=["BBB", "CCC"]))
    assert set(raw["source_file"]) == {"BBB.parquet", "CCC.csv"}
    _write(bars, tmp_path / "all.parquet")
    raw, _ = read_bars(tmp_path, checks(symbols=["BBB"]))
    assert set(raw["source_file"]) == {"BBB.parquet", "all.parquet"}
    (tmp_path / "all.parquet").unlink()
    with pytest.raises(
        UserError, match=r"none of bbb, X\. It has 3 files, as of AAA, B"
    ):
        read_bars(tmp_path, checks(symbols=["bbb", "X"]))


def test_an_index_without_a_name_holds_the_stamps(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    indexed = bars.set_index("timestamp").rename_axis(index=None)
    indexed.to_parquet(tmp_path / "a.parquet")
    indexed.to_csv(tmp_path / "a.csv")
    for name in ("a.parquet", "a.csv"):
        raw, _ = read_bars(tmp_path / name, checks())
        assert _prices(raw) == _prices(bars)
    # A numbered index beside a column of dates is none of ours.
    bars.rename(columns={"timestamp": "date"}).to_csv(tmp_path / "b.csv")
    raw, reading = read_bars(tmp_path / "b.csv", checks())
    assert reading.columns_ignored == ("Unnamed: 0",)
    assert _prices(raw) == _prices(bars)


def test_a_byte_order_mark_is_no_part_of_a_name(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(3)[COLUMNS]
    bars.to_csv(tmp_path / "a.csv", index=False, encoding="utf-8-sig")
    raw, _ = read_bars(tmp_path / "a.csv", checks())
    assert _prices(raw) == _prices(bars)


def test_a_digest_changes_with_names_and_bytes(good: Frame, tmp_path: Path) -> None:
    path = _write(good(3)[COLUMNS], tmp_path / "a" / "x.csv")
    (tmp_path / "a" / "notes.txt").write_text("not bars")
    folder = BarSource(str(tmp_path / "a"))
    assert folder.files() == [path]
    first = folder.digest()
    path.write_bytes(path.read_bytes() + b"\n")
    second = folder.digest()
    path.rename(path.with_name("y.csv"))
    assert len({first, second, folder.digest(), BarSource("simulated").digest()}) == 4


def test_a_file_whose_symbols_are_all_missing_joins_the_others(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    _write(bars, tmp_path / "a.parquet")
    unnamed = bars.iloc[:5].assign(symbol=pd.array([None] * 5, dtype="str"))
    _write(unnamed, tmp_path / "b.parquet")
    raw, _ = read_bars(tmp_path, checks())
    assert raw["symbol"].isna().tolist() == [False] * 10 + [True] * 5
    assert raw["source_file"].tolist() == ["a.parquet"] * 10 + ["b.parquet"] * 5
