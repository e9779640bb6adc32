"""Every layout of the same real bars gives the same panel, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.ingest import ingest
from ranking_pipeline.bars.raw import open_bars
from ranking_pipeline.panel import Panel

from .qlib_files import write_qlib

FIELDS = ["open", "high", "low", "close", "volume"]
COLUMNS = ["symbol", "timestamp", *FIELDS]


def _long(bars: pd.DataFrame, folder: Path) -> Path:
    bars.to_parquet(folder / "bars.parquet", index=False)
    return folder / "bars.parquet"


def _one_file_per_symbol(bars: pd.DataFrame, folder: Path) -> Path:
    for symbol, part in bars.groupby("symbol"):
        part.drop(columns="symbol").to_csv(folder / f"{symbol}.csv", index=False)
    return folder


def _hive(bars: pd.DataFrame, folder: Path) -> Path:
    keys = bars.assign(interval="1d", year=bars["timestamp"].dt.year)
    keys.to_parquet(folder, partition_cols=["interval", "year", "symbol"])
    return folder


def _pivot(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.pivot(index="timestamp", columns="symbol", values=FIELDS)


def _wide(bars: pd.DataFrame, folder: Path) -> Path:
    wide = _pivot(bars)
    wide.columns = pd.Index([f"{symbol}_{field}" for field, symbol in wide.columns])
    wide.to_parquet(folder / "wide.parquet")
    return folder / "wide.parquet"


def _two_levels(bars: pd.DataFrame, folder: Path) -> Path:
    _pivot(bars).to_csv(folder / "wide.csv")
    return folder / "wide.csv"


def _fields(bars: pd.DataFrame, folder: Path) -> Path:
    for field in FIELDS:
        _pivot(bars)[field].to_parquet(folder / f"{field}.parquet")
    return folder


def _qlib(bars: pd.DataFrame, folder: Path) -> Path:
    return write_qlib(folder, bars)


@pytest.mark.realdata
def test_every_layout_gives_the_same_panel(
    real_data: Path, tmp_path: Path, checks: Callable[..., ChecksConfig]
) -> None:
    bars = pd.read_parquet(real_data / "sp500_daily_2015_2020.parquet")[COLUMNS]
    chosen = sorted(bars["symbol"].unique())[::30]
    assert bars.groupby("symbol").size()[chosen].nunique() > 1
    bars = bars[bars["symbol"].isin(chosen) & (bars["timestamp"] >= "2019-06-01")]
    # float32 is what qlib stores and what the panel holds.
    bars = bars.astype(dict.fromkeys(FIELDS, np.float32))
    panels: dict[str, Panel] = {}
    config = checks(last_date="2019-12-31")
    for write in (
        _long,
        _one_file_per_symbol,
        _hive,
        _wide,
        _two_levels,
        _fields,
        _qlib,
    ):
        folder = tmp_path / write.__name__
        folder.mkdir()
        source = write(bars.reset_index(drop=True), folder)
        raw = open_bars(source, config)
        now = pd.Timestamp("2026-01-01", tz="UTC")
        panels[write.__name__] = ingest(raw, config, now=now).panel
    first = panels.pop("_long")
    assert first.n_symbols == len(set(bars["symbol"]))
    for panel in panels.values():
        assert panel.symbols == first.symbols
        np.testing.assert_array_equal(panel.timestamps, first.timestamps)
        np.testing.assert_array_equal(panel.trading_dates, first.trading_dates)
        np.testing.assert_array_equal(panel.values, first.values)
        np.testing.assert_array_equal(panel.tradable, first.tradable)
