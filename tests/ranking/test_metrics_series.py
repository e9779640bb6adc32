"""Series summaries and validation metrics, against the report's numpy versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation import inference
from ranking_pipeline.evaluation import metrics as report
from ranking_pipeline.ranking import series
from ranking_pipeline.ranking.metrics import rank_ic
from ranking_pipeline.ranking.tails import tail_spread
from ranking_pipeline.ranking.validation import (
    VALIDATION_METRICS,
    no_validation_metrics,
    require_returns,
    validation_metrics,
)


def make_series(seed: int, bars: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    values = rng.normal(0.02, 0.1, bars)
    values[rng.random(bars) < 0.2] = math.nan
    values[: rng.integers(0, 4)] = math.nan
    return values


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    bars=st.integers(1, 150),
    lags=st.integers(0, 12),
    block_bars=st.integers(1, 12),
)
def test_series_equal_those_of_the_report(
    seed: int, bars: int, lags: int, block_bars: int
) -> None:
    values = make_series(seed, bars)
    tensor = torch.tensor(values)
    pairs = (
        (series.information_ratio(tensor), report.icir(values)),
        (series.hit_rate(tensor), report.hit_rate(values)),
        (series.newey_west_t(tensor, lags), inference.newey_west_t(values, lags)),
        (
            series.block_t(tensor, block_bars),
            inference.block_test(values, block_bars).t,
        ),
        (series.mean(tensor), inference.block_test(values, block_bars).mean),
    )
    for mine, theirs in pairs:
        assert mine.dtype == torch.float64
        np.testing.assert_allclose(mine.item(), theirs, rtol=1e-11)


def test_series_by_hand() -> None:
    values = torch.tensor([0.1, math.nan, 0.3, -0.1])
    assert series.mean(values).item() == pytest.approx(0.1)
    assert series.deviation(values).item() == pytest.approx(0.2)
    assert series.information_ratio(values).item() == pytest.approx(0.5)
    assert series.hit_rate(values).item() == pytest.approx(2 / 3)
    # Gaps 0, -, 0.2, -0.2: one lag of weight 1/2 adds -0.04 to 0.08.
    expected = 0.1 / (math.sqrt(0.04) / 3)
    assert series.newey_west_t(values, 1).item() == pytest.approx(expected)
    blocks = torch.arange(16.0)
    means = np.arange(16).reshape(8, 2).mean(axis=1)
    wanted = 7.5 / (means.std(ddof=1) / math.sqrt(8))
    assert series.block_t(blocks, 2).item() == pytest.approx(wanted)
    assert series.block_t(blocks[:14], 2).isnan()


def test_series_without_variation_or_values() -> None:
    tied = torch.full((40,), 0.1, dtype=torch.float64)
    assert series.information_ratio(tied).isnan()
    assert series.block_t(tied, 4).item() == math.inf
    for values in (torch.full((5,), math.nan), torch.empty(0)):
        for found in (
            series.mean(values),
            series.deviation(values),
            series.information_ratio(values),
            series.hit_rate(values),
            series.newey_west_t(values, 2),
            series.block_t(values, 2),
        ):
            assert found.isnan()


def test_rules_of_lags_and_blocks_are_those_of_the_report() -> None:
    for lag, horizon in ((0, 1), (1, 1), (1, 5), (2, 20)):
        expected = inference.block_length(lag, horizon)
        assert series.block_length(lag, horizon) == expected
        assert series.newey_west_lags(lag, horizon) == 2 * (lag + horizon)


def test_dropped_bars_leave_a_gap_on_the_axis_of_time() -> None:
    axis = series.on_time_axis(torch.tensor([1.0, 2.0, 3.0]), np.array([7, 8, 11]))
    np.testing.assert_array_equal(axis.numpy(), [1, 2, math.nan, math.nan, 3])
    assert series.on_time_axis(torch.empty(0), np.empty(0, dtype=int)).shape == (0,)


def make_block(seed: int = 0, bars: int = 120, names: int = 40) -> tuple:
    rng = np.random.default_rng([seed, 8])
    scores = rng.normal(size=(bars, names))
    payoffs = 0.01 * (0.2 * scores + rng.normal(size=scores.shape))
    payoffs[rng.random(scores.shape) < 0.05] = math.nan
    mask = rng.random(scores.shape) < 0.9
    return torch.tensor(scores), torch.tensor(payoffs), torch.tensor(mask)


def test_validation_metrics_are_made_of_the_metrics() -> None:
    scores, payoffs, mask = make_block()
    places = np.delete(np.arange(125), [3, 40, 41, 42, 90])
    got = validation_metrics(
        scores,
        payoffs,
        mask,
        top_pct=0.1,
        bottom_pct=0.2,
        min_symbols=10,
        cost_bps_per_side=5.0,
        lag_bars=1,
        horizon_bars=2,
        bars=places,
    )
    assert tuple(got) == VALIDATION_METRICS
    ic = rank_ic(scores, payoffs, mask, 10).numpy()
    axis = np.full(125, math.nan)
    axis[places] = ic
    assert got["best_ic"] == pytest.approx(ic.mean())
    assert got["ic_std"] == pytest.approx(ic.std(ddof=1))
    assert got["ic_ir"] == pytest.approx(report.icir(ic))
    assert got["ic_t"] == pytest.approx(inference.block_test(axis, 10).t)
    assert got["ic_t_newey_west"] == pytest.approx(inference.newey_west_t(axis, 6))
    assert got["ic_hit_rate"] == pytest.approx(report.hit_rate(ic))
    spread = tail_spread(scores, payoffs, mask, 0.1, 0.2).mean().item()
    assert got["best_spread"] == pytest.approx(spread)
    cost = got["turnover"] * 5e-4
    assert got["net_spread"] == pytest.approx(spread - cost)
    assert 2 < got["turnover"] < 4.5
    assert got["n_bars"] == 120
    assert 0.1 < got["precision_top"] < 0.6
    assert 0.2 < got["precision_bottom"] < 0.6


def test_monotone_changes_of_the_score_change_nothing() -> None:
    scores, payoffs, mask = make_block(1)
    options = {"top_pct": 0.1, "bottom_pct": 0.1, "cost_bps_per_side": 5.0}
    plain = validation_metrics(scores, payoffs, mask, **options)
    bent = validation_metrics(scores.exp() * 7 - 3, payoffs, mask, **options)
    # Pearson's correlation alone sees the size of a score.
    assert bent.pop("pearson_ic") != plain.pop("pearson_ic")
    assert bent == plain


def test_a_block_without_a_bar_has_no_metrics() -> None:
    scores, payoffs, mask = make_block()
    got = validation_metrics(
        scores, payoffs, torch.zeros_like(mask), top_pct=0.1, bottom_pct=0.1
    )
    assert got["n_bars"] == 0
    assert all(math.isnan(value) for key, value in got.items() if key != "n_bars")
    assert got.keys() == no_validation_metrics().keys()
    empty = torch.empty(0, 4)
    none = validation_metrics(empty, empty, empty.bool(), top_pct=0.1, bottom_pct=0.1)
    assert none["n_bars"] == 0


def test_targets_are_refused_where_returns_belong() -> None:
    scores, payoffs, mask = make_block()
    percentiles = scores.argsort(dim=1).argsort(dim=1) / 41.0
    with pytest.raises(UserError, match="look like percentiles"):
        validation_metrics(scores, percentiles, mask, top_pct=0.1, bottom_pct=0.1)
    clipped = percentiles.clamp(0.01, 0.99)
    with pytest.raises(UserError, match="no loss among"):
        require_returns(clipped, mask)
    with pytest.raises(UserError, match="no return is below -1"):
        require_returns(scores, mask)
    require_returns(payoffs, mask)
    require_returns(payoffs.abs(), mask)  # a block that only rose is possible
    require_returns(percentiles[:1, :10], mask[:1, :10])  # too few to judge


def test_bars_that_do_not_fit_are_refused() -> None:
    scores, payoffs, mask = make_block(bars=3)
    for places in (np.arange(4), np.array([0, 2, 1]), np.array([0, 0, 1])):
        with pytest.raises(UserError, match="one ascending place per row"):
            validation_metrics(
                scores, payoffs, mask, top_pct=0.1, bottom_pct=0.1, bars=places
            )
