"""Views: within bars for a cross-section, over time for a handful of symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ranking_pipeline.evaluation.leaderboard import evaluate
from ranking_pipeline.evaluation.qlib_signal import chosen_signal
from ranking_pipeline.evaluation.verdict import verdict
from ranking_pipeline.evaluation.view import FEWEST_BARS, View, timing_weights
from ranking_pipeline.portfolio.backtest import hold


def test_a_place_among_past_scores_is_a_weight() -> None:
    score = np.arange(25.0)[:, None].repeat(2, axis=1)
    score[:, 1] *= -1
    weights = timing_weights(score)
    assert np.isnan(weights[: FEWEST_BARS - 1]).all()
    assert (weights[FEWEST_BARS - 1 :, 0] == 0.5).all()
    assert (weights[FEWEST_BARS - 1 :, 1] == -0.5).all()


def test_the_middle_of_the_past_is_no_position() -> None:
    score = np.r_[np.arange(20.0), 9.5][:, None]
    assert timing_weights(score)[20, 0] == 0.0


def plain_weight(past: np.ndarray, now: float) -> float:
    """Score against its past, as the documentation says it."""
    known = past[np.isfinite(past)]
    if not np.isfinite(now) or len(known) + 1 < FEWEST_BARS:
        return np.nan
    return float((known < now).mean() - (known > now).mean())


def test_weights_against_a_plain_reference() -> None:
    rng = np.random.default_rng(3)
    score = np.round(rng.standard_normal((70, 3)), 1)  # ties
    score[rng.random(score.shape) < 0.2] = np.nan
    plain = [
        [plain_weight(score[:bar, k], score[bar, k]) / 3 for k in range(3)]
        for bar in range(70)
    ]
    np.testing.assert_allclose(timing_weights(score), plain, rtol=1e-12)


def test_a_symbol_without_an_opinion_does_not_stop_the_book() -> None:
    rng = np.random.default_rng(4)
    score, returns = rng.standard_normal((2, 80, 3))
    score[:50, 2] = np.nan  # listed late
    score[60, 0] = np.nan  # one bar left out
    view = View(True, 20, 0.1)
    weights = view.weights(score)
    assert np.isnan(weights[: FEWEST_BARS - 1]).all()
    assert (weights[FEWEST_BARS - 1 : 50, 2] == 0).all()
    assert weights[60, 0] == 0
    book = hold(weights, 0.01 * returns, 2, 1, 5.0)
    assert np.isfinite(book.net[FEWEST_BARS:]).all()


@given(seed=st.integers(0, 2**16), cut=st.integers(21, 58))
@settings(max_examples=25, deadline=None)
def test_weights_know_nothing_of_later_scores(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.standard_normal((60, 3))
    score[rng.random(score.shape) < 0.1] = np.nan
    other = score.copy()
    other[cut:] = rng.standard_normal((60 - cut, 3))
    np.testing.assert_array_equal(
        timing_weights(score)[:cut], timing_weights(other)[:cut]
    )


def test_one_symbol_is_measured_by_nearly_its_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    payoff = rng.standard_normal((80, 1))
    score = payoff + rng.standard_normal((80, 1))
    series = View(True, 20, 0.1).ic(score, payoff)
    expected = spearmanr(score[:, 0], payoff[:, 0]).statistic
    # nearly: the mean of an outcome leaves out the bars just before it
    assert series.mean() == pytest.approx(expected, abs=0.02)


def test_the_spread_is_what_the_entered_book_earns() -> None:
    rng = np.random.default_rng(1)
    score, payoff = rng.standard_normal((2, 30, 2))
    spread = View(True, 20, 0.1).spread(score, payoff)
    expected = (timing_weights(score)[25] * payoff[25]).sum()
    assert spread[25] == pytest.approx(expected)
    assert np.isnan(spread[:19]).all()


def test_an_evaluation_over_time_says_so(world: Any) -> None:
    made = world.score("skilled", world.signal)
    found = evaluate(**made.inputs(config=made.configured(min_symbols_for_ranks=1000)))
    board = found.leaderboard.set_index("model_id")
    assert found.summary["over_time"]
    assert np.isfinite(board["rank_ic"]).all()
    assert board.loc["skilled", "ic_t"] > 5
    assert np.isfinite(board.loc["skilled", "net_bps_per_bar"])
    held = found.metrics.query("model_id == 'skilled' and split == 'test'")
    # of 120 bars, 19 have too short a past, and the entry is one bar later
    assert held["n_bars_held"].item() == 100
    assert "over time" in verdict(found.summary)


@pytest.mark.parametrize(("ranks", "bars"), [(10, 120), (41, 0)])
def test_a_universe_below_a_full_bar_is_ranked_with_what_it_has(
    world: Any, ranks: int, bars: int
) -> None:
    """40 symbols where 50 make a bar: the fewest that can be ranked suffice."""
    fewest = {"min_symbols_per_timestamp": 50, "min_symbols_for_ranks": ranks}
    made = world.score("skilled", world.signal)
    found = evaluate(**made.inputs(config=made.configured(**fewest)))
    assert found.summary["over_time"] == (not bars)
    assert found.summary["min_symbols"] == ranks
    board = found.leaderboard.set_index("model_id")
    assert board.loc["skilled", "rank_ic"] > 0.1
    assert not bars or board.loc["skilled", "n_bars"] <= bars


def test_a_row_of_single_symbol_models_becomes_a_signal(world: Any) -> None:
    symbols = world.panel.symbols
    made = world
    for place in (0, 1):
        only = np.full(world.signal.shape, np.nan)
        only[:, place] = world.signal[:, place]
        name = f"ridge:fwd_ret_1d:{symbols[place]}"
        made = made.score(name, only, route="symbol_specific", symbol=symbols[place])
    found = evaluate(
        **made.inputs(
            config=made.configured(min_symbols_for_ranks=1000, min_coverage=0.0)
        )
    )
    assert found.summary["chosen"]["model_id"] == "ridge per symbol"
    signal = chosen_signal(
        found.leaderboard,
        made.models,
        made.predictions,
        made.panel,
        interval="1d",
        timezone="UTC",
        bar_stamp="end",
    )
    assert set(signal.index.get_level_values("instrument")) == set(symbols[:2])
    assert len(signal) == sum(len(table) for table in made.predictions)
