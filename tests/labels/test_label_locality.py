"""A label uses its own window, and what is known at t, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.labels import LabelsConfig, compute, parse_target, parse_targets
from ranking_pipeline.labels.compute import label_matrix
from ranking_pipeline.panel import Panel

N_BARS = 180
LAG = 1


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    return panel_builder(21, 5, N_BARS)


def _shaken(panel: Panel, bars: slice, seed: int, *, drop: bool = True) -> Panel:
    rng = np.random.default_rng(seed)
    values = panel.values.copy()
    part = values[:, bars]
    part *= np.exp(rng.normal(0, 1, part.shape)).astype(np.float32)
    if drop:
        part[rng.random(part.shape[:2]) < 0.3] = np.nan
    return dataclasses.replace(panel, values=values)


@settings(max_examples=25, deadline=None)
@given(bar=st.integers(0, N_BARS - 1), seed=st.integers(0, 2**31))
def test_what_comes_after_the_window_does_not_matter(
    bar: int,
    seed: int,
    panel: Panel,
    every_kind: list[str],
    label_config: Callable[..., LabelsConfig],
) -> None:
    for spec in parse_targets(every_kind, "1d"):
        end = bar + LAG + spec.horizon_bars
        before = label_matrix(panel, spec, label_config())
        after = label_matrix(
            _shaken(panel, slice(end + 1, None), seed), spec, label_config()
        )
        for a, b in zip(before, after, strict=True):
            assert a[:, : bar + 1].tobytes() == b[:, : bar + 1].tobytes(), spec.name


@settings(max_examples=25, deadline=None)
@given(bar=st.integers(1, N_BARS - 1), seed=st.integers(0, 2**31))
def test_a_forward_return_does_not_see_before_its_entry(
    bar: int, seed: int, panel: Panel, label_config: Callable[..., LabelsConfig]
) -> None:
    spec = parse_target("fwd_ret_5d", "1d")
    before = label_matrix(panel, spec, label_config())[0][:, bar:]
    shaken = _shaken(panel, slice(0, bar + LAG), seed)
    after = label_matrix(shaken, spec, label_config())[0][:, bar:]
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize(
    "name",
    [
        "y_will_peak_5d_0.8",
        "y_first_touch_10d_0.3",
        "y_will_swing_low_9d_0.8",
        "label_h5",
    ],
)
def test_barriers_see_only_the_volatility_before_t(
    name: str, panel: Panel, label_config: Callable[..., LabelsConfig]
) -> None:
    """Between t and the entry nothing but the entry price itself enters."""
    spec, bar, lag = parse_target(name, "1d"), 120, 4
    config = label_config(entry_lag_bars=lag)
    values = panel.values.copy()
    values[:, bar + 1 : bar + lag] *= 3.0
    altered = dataclasses.replace(panel, values=values)
    before, after = (label_matrix(p, spec, config) for p in (panel, altered))
    assert before[0][:, bar].tobytes() == after[0][:, bar].tobytes()
    assert before[1][:, bar].tobytes() == after[1][:, bar].tobytes()


@pytest.mark.parametrize(
    "name",
    [
        "fwd_ret_5d",
        "fwd_mfe_5d",
        "fwd_mdd_5d",
        "y_will_peak_5d_2",
        "y_will_valley_5d_2",
        "y_will_peak_mfe_5d_0.05",
        "y_will_valley_mdd_5d_0.05",
        "label_h5",
    ],
)
def test_what_happens_inside_the_window_matters(
    name: str, panel: Panel, label_config: Callable[..., LabelsConfig]
) -> None:
    spec = parse_target(name, "1d")
    before = label_matrix(panel, spec, label_config())[0]
    found = set()
    for bar in (60, 90, 120):
        for factor in (0.5, 2.0):
            values = panel.values.copy()
            values[:, bar] *= factor
            altered = dataclasses.replace(panel, values=values)
            after = label_matrix(altered, spec, label_config())[0]
            _, rows = np.nonzero(np.isfinite(before) & (before != after))
            found |= {int(bar - LAG - row) for row in rows}
    inside = {step for step in found if step > 0}
    assert inside == ({5} if spec.kind == "forward_return" else {1, 2, 3, 4, 5})


def test_a_label_is_known_when_its_window_ends(
    panel: Panel, every_kind: list[str], label_config: Callable[..., LabelsConfig]
) -> None:
    """Never before: the rows known early would be those that touched a barrier."""
    now = np.arange(N_BARS)
    for spec in parse_targets(every_kind, "1d"):
        values, ends = label_matrix(panel, spec, label_config())
        known = np.isfinite(values)
        assert ((ends >= 0) == known).all()
        assert set((ends - now)[known]) == {LAG + spec.horizon_bars}


def test_chunks_change_nothing(
    panel: Panel,
    every_kind: list[str],
    label_config: Callable[..., LabelsConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = parse_targets(every_kind, "1d")
    whole = [label_matrix(panel, spec, label_config()) for spec in specs]
    monkeypatch.setattr(compute, "SYMBOLS_AT_A_TIME", 2)
    for spec, (values, ends) in zip(specs, whole, strict=True):
        again = label_matrix(panel, spec, label_config())
        assert again[0].tobytes() == values.tobytes()
        assert again[1].tobytes() == ends.tobytes()
