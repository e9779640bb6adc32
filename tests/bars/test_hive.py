"""Hive folders: keys anywhere, symbols stay text, and none of them becomes a column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.partitions import (
    length_in_minutes,
    partitions,
    symbol_of_name,
)
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.errors import UserError

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
    "A/B",
)
COLUMNS = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]


def _put(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)


def _closes(bars: pd.DataFrame) -> dict[tuple[str, pd.Timestamp], float]:
    stamps = pd.to_datetime(bars["timestamp"])
    keys = zip(bars["symbol"].astype(str), stamps, strict=True)
    closes = dict(zip(keys, bars["close"], strict=True))
    assert len(closes) == len(bars)
    return closes


def test_folders_that_pandas_writes(good: Frame, checks: Make, tmp_path: Path) -> None:
    bars = good(5, TICKERS)[COLUMNS]
    dated = bars.assign(year=bars["timestamp"].dt.year, interval="1d")
    dated.to_parquet(tmp_path, partition_cols=["interval", "symbol", "year"])
    inspect_source(tmp_path, checks())
    raw, reading = read_bars(tmp_path, checks())
    assert _closes(raw) == _closes(bars)
    assert list(raw.columns) == [*COLUMNS, "source_file", "source_row"]
    assert reading.columns_ignored == ()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_keys_anywhere_and_several_files_per_symbol(
    good: Frame, checks: Make, tmp_path: Path, suffix: str
) -> None:
    bars = good(6, TICKERS)[COLUMNS]
    parts = bars.groupby(["symbol", bars.index % 3])
    for (symbol, number), part in parts:
        name = str(symbol).replace("/", "%2F")
        folder = tmp_path / "venue=X" / f"symbol={name}" / "interval=1d" / "date=2024"
        _put(part.drop(columns="symbol"), folder / f"part-{number}.{suffix}")
    _put(bars.assign(close=-1.0), tmp_path / "interval=5m" / f"part-0.{suffix}")
    inspect_source(tmp_path, checks())
    raw, _ = read_bars(tmp_path, checks())
    assert _closes(raw) == _closes(bars)
    assert raw["source_row"].max() == 1
    raw, _ = read_bars(tmp_path, checks(symbols=["0700", "NA"]))
    assert set(raw["symbol"]) == {"0700", "NA"}


def test_a_file_may_be_named_after_its_symbol(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5, ("0700", "1E5"))[COLUMNS]
    for symbol, part in bars.groupby("symbol"):
        own = part.drop(columns="symbol")
        _put(own, tmp_path / "interval=1d" / f"{symbol}.parquet")
    raw, _ = read_bars(tmp_path, checks())
    assert _closes(raw) == _closes(bars)
    assert raw["source_file"][0] == "interval=1d/0700.parquet"


def test_a_numbered_file_is_not_named_after_a_symbol(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    _put(bars.drop(columns="symbol"), tmp_path / "year=2024" / "part-0.parquet")
    with pytest.raises(
        UserError, match=r"year=2024/part-0\.parquet has no column symb"
    ):
        inspect_source(tmp_path, checks())
    _put(bars, tmp_path / "year=2024" / "part-0.parquet")
    raw, _ = read_bars(tmp_path, checks())
    assert _closes(raw) == _closes(bars)


def test_the_date_of_daily_bars_may_be_a_key(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5, TICKERS)[COLUMNS].rename(columns={"timestamp": "date"})
    dates = bars["date"].dt.strftime("%Y-%m-%d")
    bars.assign(date=dates).to_parquet(tmp_path, partition_cols=["date"])
    inspect_source(tmp_path, checks())
    raw, _ = read_bars(tmp_path, checks())
    assert _closes(raw) == _closes(bars.rename(columns={"date": "timestamp"}))
    assert raw["timestamp"].iloc[0] == "2024-01-08"
    with pytest.raises(UserError, match="has no column timestamp"):
        inspect_source(tmp_path, checks(interval="5m"))


def test_keys_by_alias_and_map(good: Frame, checks: Make, tmp_path: Path) -> None:
    bars = good(5)[COLUMNS]
    for symbol, part in bars.groupby("symbol"):
        own = part.drop(columns="symbol")
        _put(own, tmp_path / "alias" / f"Ticker={symbol}" / "data_0.parquet")
        _put(own, tmp_path / "map" / f"RIC={symbol}" / "x.parquet")
    raw, _ = read_bars(tmp_path / "alias", checks())
    assert _closes(raw) == _closes(bars)
    raw, _ = read_bars(tmp_path / "map", checks(column_map={"symbol": "RIC"}))
    assert _closes(raw) == _closes(bars)


def test_a_missing_symbol_stays_missing(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS]
    bars["symbol"] = bars["symbol"].where(bars["symbol"] == "AAA")
    bars.to_parquet(tmp_path, partition_cols=["symbol"])
    raw, _ = read_bars(tmp_path, checks())
    assert raw["symbol"].isna().sum() == 5
    assert set(raw["symbol"].dropna()) == {"AAA"}


def test_the_column_in_the_file_wins(good: Frame, checks: Make, tmp_path: Path) -> None:
    bars = good(5)[COLUMNS]
    _put(bars, tmp_path / "symbol=many" / "a.parquet")
    raw, _ = read_bars(tmp_path, checks())
    assert _closes(raw) == _closes(bars)


@pytest.mark.parametrize(
    ("folder", "interval"),
    [("5min", "5m"), ("60min", "1h"), ("1h", "60m"), ("day", "1d")],
)
def test_intervals_in_any_spelling(
    good: Frame, checks: Make, tmp_path: Path, folder: str, interval: str
) -> None:
    _put(good(2)[COLUMNS], tmp_path / f"interval={folder}" / "a.parquet")
    raw, _ = read_bars(tmp_path, checks(interval=interval))
    assert len(raw) == 4
    with pytest.raises(
        UserError, match=rf"for interval 7m\): it has interval={folder}"
    ):
        inspect_source(tmp_path, checks(interval="7m"))


def test_names_are_text() -> None:
    path = Path(
        "lake/symbol=1E5/a=b=c/x%20y=z%2F/symbol2=__HIVE_DEFAULT_PARTITION__/f.csv"
    )
    assert partitions(path) == {"symbol": "1E5", "a": "b=c", "x y": "z/", "symbol2": ""}
    kept = {
        "0700.csv": "0700",
        "BRK.B.csv": "BRK.B",
        "A%2FB.parquet": "A/B",
        "DATA.csv": "DATA",
    }
    assert {name: symbol_of_name(Path(name)) for name in kept} == kept
    numbered = (
        "part-0.parquet",
        "part.0.parquet",
        "part-00000-1b2c.snappy.parquet",
        "data_0.parquet",
        "0123456789abcdef0123456789abcdef-0.parquet",
        "01234567-89ab-cdef-0123-456789abcdef-0.parquet",
    )
    assert all(symbol_of_name(Path(name)) is None for name in numbered)
    lengths = {"1d": 1440, "day": 1440, "5m": 5, "5min": 5, "minute": 1, "2h": 120}
    assert {text: length_in_minutes(text) for text in lengths} == lengths
    assert [length_in_minutes(text) for text in ("", "5", "1M", "week", "m5")] == [
        None
    ] * 5
