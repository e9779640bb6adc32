"""Every factor depends on its declared window and nothing else, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.features import (
    compute,
    compute_features,
    factor_names,
    feature_manifest,
)
from ranking_pipeline.panel import Panel

N_BARS = 330
SECTORS = np.array(["a", "a", "b", "b", "a", "b", "c", "c"])


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    return panel_builder(5, 8, N_BARS)


@pytest.fixture(scope="module")
def whole(panel: Panel) -> np.ndarray:
    return compute_features(panel, SECTORS)


def _bars(panel: Panel, bars: slice) -> Panel:
    return panel.cut(bars)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def test_the_panel_reaches_every_factor(whole: np.ndarray) -> None:
    known = np.isfinite(whole).any(axis=(0, 1))
    assert known.all(), np.array(factor_names())[~known]


@settings(max_examples=12, deadline=None)
@given(last=st.integers(1, N_BARS - 1))
def test_truncation_changes_nothing_before_it(
    last: int, panel: Panel, whole: np.ndarray
) -> None:
    cut = compute_features(_bars(panel, slice(0, last)), SECTORS)
    assert _same_bits(cut, whole[:, :last])


@settings(max_examples=8, deadline=None)
@given(last=st.integers(0, N_BARS - 2), seed=st.integers(0, 2**31))
def test_an_altered_future_changes_nothing(
    last: int, seed: int, panel: Panel, whole: np.ndarray
) -> None:
    rng = np.random.default_rng(seed)
    values, tradable = panel.values.copy(), panel.tradable.copy()
    later = values[:, last + 1 :]
    later *= np.exp(rng.normal(0, 5, later.shape)).astype(np.float32)
    later[rng.random(later.shape[:2]) < 0.3] = np.nan
    tradable[:, last + 1 :] = ~np.isnan(later[:, :, 3])
    altered = dataclasses.replace(panel, values=values, tradable=tradable)
    assert _same_bits(
        compute_features(altered, SECTORS)[:, : last + 1], whole[:, : last + 1]
    )


@settings(max_examples=12, deadline=None)
@given(start=st.integers(1, N_BARS - 1))
def test_a_later_start_changes_nothing_after_the_lookback(
    start: int, panel: Panel, whole: np.ndarray
) -> None:
    late = compute_features(_bars(panel, slice(start, None)), SECTORS)
    for i, lookback in enumerate(feature_manifest().lookback_bars):
        assert np.isnan(late[:, :lookback, i]).all()
        assert _same_bits(late[:, lookback:, i], whole[:, start + lookback :, i])


def test_the_lookback_is_not_overstated(panel: Panel, whole: np.ndarray) -> None:
    """The oldest bar of the window matters to each factor."""
    bar, symbol = N_BARS - 1, 4
    unused = []
    for i, (name, lookback) in enumerate(
        feature_manifest()[["name", "lookback_bars"]].itertuples(index=False)
    ):
        values = panel.values.copy()
        values[symbol, bar - lookback] = np.nan
        altered = dataclasses.replace(panel, values=values)
        changed = compute_features(altered, SECTORS, [name])[symbol, bar, 0]
        if np.isfinite(changed) or not np.isfinite(whole[symbol, bar, i]):
            unused.append(name)
    assert unused == []


@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_change_nothing(
    size: int, panel: Panel, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "SYMBOLS_AT_A_TIME", size)
    assert _same_bits(compute_features(panel, SECTORS), whole)


def test_one_factor_alone_equals_the_whole_table(
    panel: Panel, whole: np.ndarray
) -> None:
    for i, name in enumerate(factor_names()):
        alone = compute_features(panel, SECTORS, [name])[:, :, 0]
        assert _same_bits(alone, whole[:, :, i]), name


def test_the_order_of_other_symbols_does_not_enter_own_factors(
    panel: Panel, whole: np.ndarray
) -> None:
    few = panel.cut(slice(None), slice(3, 5))
    own = feature_manifest().group.to_numpy() != "cross-section"
    values = compute_features(few, SECTORS[3:5])
    assert _same_bits(values[:, :, own], whole[3:5][:, :, own])


def test_a_gap_makes_short_windows_unknown_and_long_ones_not(
    panel_builder: Callable[..., Panel],
) -> None:
    panel = panel_builder(9, 1, 200, holes=False)
    values = panel.values.copy()
    values[0, 150] = np.nan
    holed = dataclasses.replace(
        panel, values=values, tradable=~np.isnan(values[:, :, 3])
    )
    names = ["ret_1", "ret_5", "vol_5", "vol_20", "average_distance_5"]
    ret_1, ret_5, vol_5, vol_20, distance = compute_features(
        holed, np.array(["a"]), names
    )[0].T
    assert np.isnan(ret_1[[150, 151]]).all()
    assert np.isfinite(ret_1[152])
    assert np.isnan(ret_5[[150, 155]]).all()
    assert np.isfinite(ret_5[151:155]).all()
    assert np.isnan(vol_5[150:156]).all()
    assert np.isfinite(vol_5[156])
    assert np.isnan(vol_20[[150, 170]]).all()
    assert np.isfinite(vol_20[151:170]).all()
    assert np.isnan(distance[150:155]).all()
    assert np.isfinite(distance[155])


def test_too_much_missing_makes_long_windows_unknown(
    panel_builder: Callable[..., Panel],
) -> None:
    panel = panel_builder(9, 1, 200, holes=False)
    values = panel.values.copy()
    values[0, 150:156] = np.nan
    holed = dataclasses.replace(
        panel, values=values, tradable=~np.isnan(values[:, :, 3])
    )
    vol_20 = compute_features(holed, np.array(["a"]), ["vol_20"])[0, :, 0]
    assert np.isnan(vol_20[156])  # 13 of 20 returns, 14 are required
    values[0, 155] = panel.values[0, 155]
    assert np.isfinite(compute_features(holed, np.array(["a"]), ["vol_20"])[0, 156, 0])
