"""The library under audit on real bars: stale prices, junk quotes, listings, ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.audit.cuts import cuts
from ranking_pipeline.audit.feature_checks import audit_features, audit_warm_up
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.features import factor_names
from ranking_pipeline.panel import OHLCV, Panel

pytestmark = pytest.mark.realdata

DAILY = ("AAPL", "AET", "AMCR", "BHF", "CBS", "CTVA", "GE", "MSFT", "SCG", "XOM")


def panel_of(path: Path, symbols: tuple[str, ...], first: str, last: str) -> Panel:
    """The bars of a file as they are, END-stamped, nothing checked or repaired."""
    bars = pd.read_parquet(path, filters=[("symbol", "in", list(symbols))])
    bars = bars[bars["timestamp"].between(first, last)]
    names, symbol = np.unique(bars["symbol"].astype(str), return_inverse=True)
    starts = bars["timestamp"].to_numpy("M8[ns]")
    axis, bar = np.unique(starts, return_inverse=True)
    values = np.full((len(names), len(axis), len(OHLCV)), np.nan, dtype=np.float32)
    values[symbol, bar] = bars[list(OHLCV)].to_numpy(np.float32)
    length = np.timedelta64(1, "D") if "daily" in path.name else np.timedelta64(5, "m")
    return Panel(
        symbols=tuple(map(str, names)),
        timestamps=axis + length,
        fields=OHLCV,
        values=values,
        tradable=~np.isnan(values[:, :, 3]) & (values[:, :, 4] > 0),
        trading_dates=axis.astype("M8[D]"),
    )


@pytest.fixture(scope="module")
def daily(real_data: Path) -> Panel:
    path = real_data / "sp500_daily_2015_2020.parquet"
    return panel_of(path, DAILY, "2018-09-01", "2020-01-10")


@pytest.fixture(scope="module")
def five_minutes(real_data: Path) -> Panel:
    path = real_data / "us_stocks_5min_2024.parquet"
    names = ("AZO", "FICO", "GWW", "MTD", "NVR", "SW", "TDG", "TPL")
    return panel_of(path, names, "2024-07-03", "2024-07-12")


@pytest.mark.parametrize("name", ["daily", "five_minutes"])
def test_no_factor_looks_ahead_on_real_bars(
    name: str, request: pytest.FixtureRequest
) -> None:
    panel: Panel = request.getfixturevalue(name)
    chosen = cuts(panel, None, 4, 0, at_most=14)
    result = audit_features(panel, factor_names(), chosen, MODES, 3, 0)
    assert result.clean, str(result)
    assert result.known > 0.2 * result.compared
    early = audit_warm_up(panel, factor_names(), 2, 0)
    assert early.clean, str(early)
