"""Every factor depends on its declared window and nothing else, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.features import (
    compute,
    compute_features,
    factor_names,
    feature_manifest,
)
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.panel import OHLCV, Panel

N_BARS = 420


@pytest.fixture(scope="module")
def panel(intraday_panel: Panel) -> Panel:
    return intraday_panel


@pytest.fixture(scope="module")
def whole(panel: Panel) -> np.ndarray:
    return compute_features(panel)


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
    cut = compute_features(panel.cut(slice(0, last)))
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
    assert _same_bits(compute_features(altered)[:, : last + 1], whole[:, : last + 1])


def _reached(panel: Panel, factor: pd.Series) -> np.ndarray:
    """Bars of a panel whose window lies inside it, shape (T,)."""
    reached = np.arange(panel.n_bars) >= factor.lookback_bars
    if factor.window == "session":
        reached &= panel.session > factor.lookback_sessions
    return reached


@settings(max_examples=12, deadline=None)
@given(start=st.integers(1, N_BARS - 1))
def test_a_later_start_changes_nothing_after_the_lookback(
    start: int, panel: Panel, whole: np.ndarray
) -> None:
    cut = panel.cut(slice(start, None))
    late = compute_features(cut)
    for i, factor in feature_manifest().iterrows():
        reached = _reached(cut, factor)
        assert np.isnan(late[:, ~reached, i]).all(), factor["name"]
        if factor.window != "history":
            same = _same_bits(late[:, reached, i], whole[:, start:, i][:, reached])
            assert same, factor["name"]


def test_what_reads_the_whole_history_says_so(panel: Panel, whole: np.ndarray) -> None:
    """Only factors of the window ``history`` change with a start far back."""
    late = compute_features(panel.cut(slice(60, None)))
    window = feature_manifest().window.to_numpy()
    changed = [
        not _same_bits(late[:, 250:, i], whole[:, 310:, i]) for i in range(len(window))
    ]
    assert set(np.flatnonzero(changed)) <= set(np.flatnonzero(window == "history"))
    assert np.any(changed)


def _moved(panel: Panel, bar: int, lookback: int, name: str, seed: int) -> bool:
    """Whether another oldest bar of the window moves the value of some symbol."""
    window = panel.cut(slice(bar - lookback - 20, bar + 1))
    values = window.values.copy()
    rng = np.random.default_rng(seed)
    oldest = values[:, 20]
    oldest *= np.exp(rng.normal(0, 0.5, oldest.shape)).astype(np.float32)
    altered = dataclasses.replace(window, values=values)
    before, after = (compute_features(p, [name])[:, -1] for p in (window, altered))
    return not _same_bits(before, after)


def test_the_lookback_is_not_overstated(panel: Panel) -> None:
    """The value of the oldest bar of the window matters to each factor."""
    unused = []
    for factor in feature_manifest().itertuples(index=False):
        if factor.window == "session":  # its oldest bar is the first of a session
            continue
        tries = ((bar, seed) for seed in range(3) for bar in range(410, N_BARS))
        if not any(
            _moved(panel, bar, factor.lookback_bars, factor.name, seed)
            for bar, seed in tries
        ):
            unused.append(factor.name)
    assert unused == []


CLOCK = {
    "session_minutes",
    "session_share",
    "session_sine",
    "session_cosine",
    "first_half_hour",
    "last_half_hour",
}


@pytest.mark.parametrize("field", OHLCV)
def test_a_field_matters_where_it_is_declared_and_nowhere_else(
    field: str, panel: Panel, whole: np.ndarray
) -> None:
    values = panel.values.copy()
    cells = values[:, :, OHLCV.index(field)]
    cells *= np.random.default_rng(2).uniform(0.5, 2.0, cells.shape)
    altered = compute_features(dataclasses.replace(panel, values=values))
    moved = {
        name
        for i, name in enumerate(factor_names())
        if not _same_bits(altered[:, :, i], whole[:, :, i])
    }
    declared = {name for name, factor in FACTORS.items() if field in factor.inputs}
    # the clock of a session asks whether there is a bar, not at which price
    assert moved == declared - CLOCK


@pytest.mark.parametrize("cells", [1, 1000, 100_000])
def test_chunks_change_nothing(
    cells: int, panel: Panel, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "CELLS_AT_A_TIME", cells)
    assert _same_bits(compute_features(panel), whole)


def test_one_factor_alone_equals_the_whole_table(
    panel: Panel, whole: np.ndarray
) -> None:
    for i, name in enumerate(factor_names()):
        alone = compute_features(panel, [name])[:, :, 0]
        assert _same_bits(alone, whole[:, :, i]), name


def test_the_order_of_other_symbols_does_not_enter_own_factors(
    panel: Panel, whole: np.ndarray
) -> None:
    few = panel.cut(slice(None), slice(3, 5))
    own = np.array([not factor.bases for factor in FACTORS.values()])
    values = compute_features(few)
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
    ret_1, ret_5, vol_5, vol_20, distance = compute_features(holed, names)[0].T
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
    vol_20 = compute_features(holed, ["vol_20"])[0, :, 0]
    assert np.isnan(vol_20[156])  # 13 of 20 returns, 14 are required
    values[0, 155] = panel.values[0, 155]
    assert np.isfinite(compute_features(holed, ["vol_20"])[0, 156, 0])
