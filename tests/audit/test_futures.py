"""Altering the future: nothing before the cut moves, and something after it does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.audit import worlds

from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.audit.futures import (
    DESCRIPTIONS,
    MODES,
    SAME_CELLS,
    SAME_SHAPE,
    TRUNCATED,
    UNIVERSE,
    alter_bars,
    alter_future,
    alter_past,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

ARRAYS = (
    "timestamps",
    "values",
    "tradable",
    "trading_dates",
    "session_minutes",
    "sectors",
)


@pytest.fixture(scope="module", params=["daily", "intraday"])
def panel(request: pytest.FixtureRequest) -> Panel:
    if request.param == "daily":
        return worlds.daily_market(1, n_symbols=7, n_bars=60)
    return worlds.intraday_market(1, n_symbols=6, n_days=8, per_day=6)


def parts(panel: Panel, bars: slice) -> list[bytes]:
    found = []
    for name in ARRAYS:
        array = getattr(panel, name)
        array = array[bars] if array.ndim == 1 else array[:, bars]
        found.append(np.ascontiguousarray(array).tobytes())
    return found


@pytest.mark.parametrize("bar", [0, 17, 40])
@pytest.mark.parametrize("mode", MODES)
def test_the_bars_up_to_the_cut_stay(mode: str, bar: int, panel: Panel) -> None:
    altered = alter_future(panel, bar, mode, 0)
    if mode == UNIVERSE:
        assert not altered.present[panel.n_symbols :, : bar + 1].any()
        altered = altered.cut(slice(None), slice(panel.n_symbols))
    assert altered.symbols == panel.symbols
    assert parts(altered, slice(bar + 1)) == parts(panel, slice(bar + 1))


@pytest.mark.parametrize("mode", SAME_SHAPE)
def test_something_after_the_cut_moves(mode: str, panel: Panel) -> None:
    altered = alter_future(panel, 20, mode, 0).cut(slice(None), slice(panel.n_symbols))
    assert altered.values.shape == panel.values.shape
    assert parts(altered, slice(21, None)) != parts(panel, slice(21, None))


@pytest.mark.parametrize("mode", MODES)
def test_the_past_is_altered_alike(mode: str, panel: Panel) -> None:
    altered = alter_past(panel, 20, mode, 0)
    kept = slice(20, None) if mode != TRUNCATED else slice(None)
    assert parts(altered, kept) == parts(panel, slice(20, None))
    if mode != TRUNCATED:
        assert parts(altered, slice(20)) != parts(panel, slice(20))


def test_truncation_leaves_the_bars_known_so_far(panel: Panel) -> None:
    assert alter_future(panel, 12, TRUNCATED, 0).n_bars == 13


@pytest.mark.parametrize("mode", SAME_CELLS)
def test_these_ways_keep_every_cell(mode: str, panel: Panel) -> None:
    altered = alter_future(panel, 12, mode, 0)
    assert np.array_equal(altered.present, panel.present)
    assert np.array_equal(altered.tradable, panel.tradable)


def test_a_random_walk_is_made_of_possible_bars(panel: Panel) -> None:
    values = alter_future(panel, 12, "random_walk", 0).values[:, 13:].astype(float)
    opened, high, low, close, volume = np.moveaxis(values, -1, 0)
    known = np.isfinite(close)
    assert (high[known] >= np.maximum(opened, close)[known]).all()
    assert (low[known] <= np.minimum(opened, close)[known]).all()
    assert (volume[known] > 0).all()


def test_the_walk_starts_at_the_last_close() -> None:
    panel = worlds.daily_market(1, n_symbols=7, n_bars=60)
    altered = alter_future(panel, 29, "random_walk", 0).field("close")
    # Symbol 0 lacks bars 30 to 32: the walk goes on from bar 29 once it trades again.
    assert abs(np.log(altered[6, 30] / panel.field("close")[6, 29])) < 0.15


def test_one_more_symbol_is_listed(panel: Panel) -> None:
    altered = alter_future(panel, 12, UNIVERSE, 0)
    assert altered.n_symbols == panel.n_symbols + 1
    assert altered.symbols[:-1] == panel.symbols
    assert altered.tradable[-1, 13:].sum() > 10
    assert not altered.present[-1, :13].any()


def test_half_of_the_symbols_go_missing() -> None:
    panel = worlds.panel_of(worlds.walk(np.random.default_rng(0), (7, 30)))
    altered = alter_future(panel, 12, "half_missing", 0)
    gone = ~altered.present[:, 13:].any(axis=1)
    assert gone.sum() == 4
    assert not altered.tradable[gone, 13:].any()


def test_every_symbol_changes_its_sector() -> None:
    panel = worlds.daily_market(1, n_symbols=7, n_bars=60)
    altered = alter_future(panel, 12, "sectors", 0)
    assert (altered.sectors[:, 13:] != panel.sectors[:, 13:]).all()
    assert altered.sectors.max() < len(altered.sector_names)


def test_the_same_seed_gives_the_same_future(panel: Panel) -> None:
    first, again, other = (alter_future(panel, 9, "random_walk", s) for s in (0, 0, 1))
    assert parts(first, slice(None)) == parts(again, slice(None))
    assert parts(first, slice(None)) != parts(other, slice(None))


def test_an_unknown_way_is_refused_with_the_known_ones(panel: Panel) -> None:
    with pytest.raises(UserError, match=r"audit\.modes.*'sideways'.*random_walk"):
        alter_future(panel, 3, "sideways", 0)


def test_the_parameters_know_every_way() -> None:
    assert AuditConfig.model_validate(worlds.audit_config().model_dump())
    assert set(DESCRIPTIONS) == set(MODES)
    assert worlds.audit_config().modes == list(MODES)


def test_rows_of_raw_bars_change_after_a_time_only() -> None:
    stamps = pd.date_range("2024-01-01", periods=6, tz="UTC")
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0}
    bars = pd.DataFrame({"timestamp": stamps, "symbol": "A", **prices, "volume": 100})
    altered = alter_bars(bars, stamps[2], seed=0)
    pd.testing.assert_frame_equal(altered.iloc[:3], bars.iloc[:3])
    later = altered.iloc[3:]
    ratios = later[list(prices)].to_numpy() / np.array(list(prices.values()))
    assert np.allclose(ratios, ratios[:, :1])
    assert (np.abs(ratios - 1) > 0.001).all()
    assert altered.dtypes.equals(bars.dtypes)
