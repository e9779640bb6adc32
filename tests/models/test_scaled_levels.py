"""Scaled levels: the factors themselves, on the bars that a symbol has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neural_world import samples

from ranking_pipeline.features.compute import compute_features
from ranking_pipeline.features.selection import factor_names
from ranking_pipeline.models import scaled_levels as module
from ranking_pipeline.models.scaled_levels import scaled_levels
from ranking_pipeline.panel import Panel

ALL = np.arange(8)


def world(gaps: float = 0.0, seed: int = 0) -> Panel:
    panel = samples("regression", seed).panel
    values = panel.values.copy()
    values[4, 60] = values[4, 61]
    rng = np.random.default_rng([seed, 6])
    values[rng.random(values.shape[:2]) < gaps] = np.nan
    return replace(panel, values=values, tradable=np.isfinite(values[:, :, 3]))


def test_without_gaps_they_are_the_factors_bit_for_bit() -> None:
    panel = world()
    factors = compute_features(panel, factor_names("daily25"))
    np.testing.assert_array_equal(scaled_levels(panel, ALL), factors)
    some = np.array([2, 5])
    np.testing.assert_array_equal(scaled_levels(panel, some), factors[some])
    assert factors.shape[2] == 25


def test_a_window_without_a_gap_has_the_factors_whatever_came_before() -> None:
    panel = world(gaps=0.02)
    factors = compute_features(panel, factor_names("daily25"))
    found = scaled_levels(panel, ALL)
    present = np.lib.stride_tricks.sliding_window_view(panel.present, 30, axis=1)
    whole = np.zeros(panel.tradable.shape, dtype=bool)
    whole[:, 29:] = present.all(axis=2)
    assert 0 < whole.mean() < 0.9
    np.testing.assert_array_equal(found[whole], factors[whole])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), symbol=st.integers(0, 7))
def test_against_plain_loops_over_the_bars_that_exist(seed: int, symbol: int) -> None:
    panel = world(gaps=0.1, seed=seed)
    found = scaled_levels(panel, np.array([symbol]))[0]  # (T, 25)
    there = np.flatnonzero(panel.present[symbol])
    assert np.isnan(np.delete(found, there, axis=0)).all()
    bars = panel.values[symbol, there].astype(np.float64)  # (n, 5)
    for place, bar in enumerate(there):
        expected = []
        for field in range(5):
            top = bars[: place + 1, field].max()
            for width in (5, 10, 20, 30):
                own = bars[place - width + 1 : place + 1, field]
                known = place + 1 >= width
                expected.append(own.mean() / top if known else np.nan)
            expected.append(bars[place, field] / top)
        np.testing.assert_allclose(found[bar], expected, rtol=1e-6)


def test_a_missing_day_is_missing_alone() -> None:
    panel = world()
    values = panel.values.copy()
    values[3, 80] = np.nan
    found = scaled_levels(replace(panel, values=values), ALL)
    gaps = np.isnan(found[3]).any(axis=1)
    assert np.flatnonzero(gaps).tolist() == [*range(29), 80]


@pytest.mark.parametrize("bar", [40, 90])
def test_later_bars_change_no_bit(bar: int) -> None:
    panel = world(gaps=0.05)
    before = scaled_levels(panel, ALL)[:, : bar + 1]
    cut = scaled_levels(panel.cut(slice(0, bar + 1)), ALL)
    np.testing.assert_array_equal(cut, before)
    values = panel.values.copy()
    values[:, bar + 1 :] *= 100  # new highest levels
    other = scaled_levels(replace(panel, values=values), ALL)
    np.testing.assert_array_equal(other[:, : bar + 1], before)
    assert (other[:, bar + 1 :] != scaled_levels(panel, ALL)[:, bar + 1 :]).any()


def test_blocks_of_symbols_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = world(gaps=0.05)
    before = scaled_levels(panel, ALL)
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 3 * panel.n_bars * 25)
    np.testing.assert_array_equal(scaled_levels(panel, ALL), before)
