"""The real bars beside the project: known defects are found, none is invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.checks import CleanBars, check_bars
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.dense import build_panel
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.bars.security_master import build_security_master

from .conftest import CHECKS

pytestmark = pytest.mark.realdata
STRICT = {"max_quarantined_share": 0.01, "max_quarantined_share_of_symbol": 0.1}
Make = Callable[..., ChecksConfig]


@pytest.fixture(scope="module")
def daily(real_data: Path) -> tuple[CleanBars, pd.DataFrame]:
    config = ChecksConfig(**(CHECKS | STRICT))
    source = real_data / "sp500_daily_2015_2020.parquet"
    inspect_source(source, config)
    raw, reading = read_bars(source, config)
    return check_bars(raw, config, reading=reading), raw


def test_known_defects_of_the_daily_bars(daily: tuple[CleanBars, pd.DataFrame]) -> None:
    clean, _ = daily
    summary = clean.summary
    assert summary["rows_in"] == 657_921
    assert (summary["rows_kept"], summary["rows_quarantined"]) == (657_917, 4)
    found = clean.quality.set_index(["rule", "action"])["rows"]
    # 1,330 rows without volume, one of which is the row of zeros of CBS.
    assert found["zero_volume", "flagged"] == 1_329
    assert found["price_outside_range", "quarantined"] == 3
    zero = clean.quarantine[clean.quarantine["rule"] == "non_positive_price"]
    assert zero[["symbol", "timestamp"]].to_numpy().tolist() == [["CBS", "2019-12-04"]]
    assert zero["source_row"].tolist() == [109_612]
    assert summary["survivorship"]["share"] > 0.95


def test_the_panel_of_the_daily_bars(
    daily: tuple[CleanBars, pd.DataFrame], real_data: Path
) -> None:
    clean, raw = daily
    panel = build_panel(clean.bars)
    assert panel.values.shape == (537, 1_259, 5)
    assert int(panel.present.sum()) == 657_917
    apple = panel.symbols.index("AAPL")
    theirs = raw[raw["symbol"] == "AAPL"]["adj_close"].to_numpy(np.float32)
    np.testing.assert_allclose(panel.field("close")[apple], theirs, rtol=1e-6)
    sectors = real_data / "sp500_sectors_2020.csv"
    master = build_security_master(clean.bars, sectors)
    assert (master["sector"] == "unknown").sum() == 34
    assert master["delisted"].sum() == 19


def test_a_folder_of_csv_files_gives_the_same_bars(
    daily: tuple[CleanBars, pd.DataFrame], tmp_path: Path
) -> None:
    clean, raw = daily
    names = ["AAPL", "ALL", "BF-B", "CBS", "MSFT", "ON"]
    names = [name for name in names if name in set(raw["symbol"])]
    for name in names:
        own = raw[raw["symbol"] == name].drop(columns=["symbol", "source_file"])
        own.to_csv(tmp_path / f"{name}.csv", index=False)
    config = ChecksConfig(**(CHECKS | STRICT))
    part, reading = read_bars(tmp_path, config)
    ours = check_bars(part, config, reading=reading).bars
    theirs = clean.bars[clean.bars["symbol"].isin(names)].reset_index(drop=True)
    theirs["symbol"] = theirs["symbol"].cat.remove_unused_categories()
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert reading.columns_ignored == ("source_row",)


def test_intraday_bars(real_data: Path) -> None:
    changes = {"interval": "5m", "timezone": "UTC"}
    config = ChecksConfig(**(CHECKS | STRICT | changes))
    raw, reading = read_bars(real_data / "us_stocks_5min_2024.parquet", config)
    clean = check_bars(raw, config, reading=reading)
    assert clean.summary["rows_kept"] == clean.summary["rows_in"] == 249_271
    assert clean.summary["columns_ignored"] == ["n_1min", "vwap"]
    first = raw["timestamp"].min() + pd.Timedelta(minutes=5)
    assert clean.bars["timestamp"].iloc[0] == first.tz_localize("UTC")
    master = build_security_master(clean.bars, None)
    assert not master["delisted"].any()
    assert master["n_bars"].sum() == 249_271
