"""Baselines: values by hand, nothing from the future, tradable cells only."""

from dataclasses import replace

import numpy as np
import pytest

from ranking_pipeline.evaluation import baselines
from ranking_pipeline.evaluation.baselines import BASELINES, baseline_scores


def test_values_by_hand(world) -> None:
    close = world.panel.cross_sections("close").astype(float)
    scores = baseline_scores(world.panel, 0)
    bar, symbol = 300, 7
    path = close[: bar + 1, symbol]
    known = {
        "reversal_1": -(path[-1] / path[-2] - 1),
        "reversal_5": -(path[-1] / path[-6] - 1),
        "momentum_20": path[-1] / path[-21] - 1,
        "momentum_250_20": path[-21] / path[-251] - 1,
        "low_volatility_60": -np.nanstd((path[1:] / path[:-1] - 1)[-60:], ddof=1),
    }
    for name, expected in known.items():
        assert scores[name][bar, symbol] == pytest.approx(expected, rel=1e-12)
    assert set(scores) == set(BASELINES)


def test_the_future_does_not_matter(world) -> None:
    """Every score up to bar 300 stays bit for bit when all later bars change."""
    values = world.panel.values.copy()
    values[:, 301:] *= np.float32(1.7)
    changed = replace(world.panel, values=values)
    before, after = (baseline_scores(p, 0) for p in (world.panel, changed))
    for name in BASELINES:
        np.testing.assert_array_equal(before[name][:301], after[name][:301])


def test_only_tradable_cells(world) -> None:
    tradable = world.panel.tradable.copy()
    tradable[3] = False
    panel = replace(world.panel, tradable=tradable)
    for score in baseline_scores(panel, 0).values():
        assert np.isnan(score[~tradable.T]).all()


def test_random_is_its_own_stream() -> None:
    """A market drawn from ``default_rng(seed)`` must not share its numbers."""
    ours = baselines._random(0, (4, 3))
    for other in (0, [0, 0], [0, 1]):
        assert not np.allclose(ours, np.random.default_rng(other).normal(size=(4, 3)))
    np.testing.assert_array_equal(ours, baselines._random(0, (4, 3)))


def test_baseline_tables(world) -> None:
    table, models = baselines.baseline_tables(world.panel, ("a", "b"), 390, 0)
    key = ["timestamp", "symbol", "target", "model_id"]
    assert not table.duplicated(key).any()
    assert table["score"].dtype == np.float32
    assert table[key].equals(table[key].sort_values(key, ignore_index=True))
    assert set(models["family"]) == {"baseline"}
    assert set(table["model_id"]) == set(models["model_id"]) == set(BASELINES)
    cells = world.panel.tradable.T[390:].sum()
    assert (table["model_id"] == "random").sum() == 2 * cells


def test_oracle_is_absent_for_real_bars(world) -> None:
    assert baselines.oracle_scores(world.panel, None) is None
    assert baselines.oracle_scores(world.panel, world.truth().iloc[:0]) is None
    got = baselines.oracle_scores(world.panel, world.truth())
    expected = np.where(world.panel.tradable.T, world.signal, np.nan)
    np.testing.assert_array_equal(got, expected)
    halted = replace(world.panel, tradable=np.zeros_like(world.panel.tradable))
    assert np.isnan(baselines.oracle_scores(halted, world.truth())).all()


def test_trailing_deviation_of_gappy_series() -> None:
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(50, 3))
    returns[rng.random(returns.shape) < 0.2] = np.nan
    got = baselines.trailing_deviation(returns, 12)
    for bar in range(50):
        for symbol in range(3):
            window = returns[max(0, bar - 11) : bar + 1, symbol]
            window = window[np.isfinite(window)]
            expected = window.std(ddof=1) if len(window) >= 8 else np.nan
            assert got[bar, symbol] == pytest.approx(expected, rel=1e-12, nan_ok=True)
