"""Class metrics: by hand, and those of another library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from ranking_pipeline.evaluation.class_metrics import (
    class_row,
    class_scores,
    position_weights,
)
from ranking_pipeline.evaluation.class_tables import class_tables
from ranking_pipeline.evaluation.evaluation_section import evaluation_section
from ranking_pipeline.evaluation.leaderboard import evaluate
from ranking_pipeline.evaluation.outcomes import Block, Outcome

NAN = float("nan")


def test_precision_recall_and_f1_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    guess, label = (rng.integers(-1, 2, (40, 5)).astype(float) for _ in range(2))
    guess[0], label[1] = NAN, NAN
    known = np.isfinite(guess) & np.isfinite(label)
    precision, recall, f1, n = precision_recall_fscore_support(
        label[known], guess[known], labels=[-1, 0, 1]
    )
    for place, value in enumerate((-1, 0, 1)):
        wanted = (n[place], precision[place], recall[place], f1[place])
        assert class_scores(guess, label, value) == pytest.approx(wanted)


def test_a_class_that_never_comes_has_no_score() -> None:
    none = class_scores(np.zeros((2, 2)), np.zeros((2, 2)), 1)
    assert none[0] == 0
    assert np.isnan(none[1:]).all()


def _outcome(payoff: np.ndarray, label: np.ndarray, **changes: Any) -> Outcome:
    end = np.zeros(payoff.shape, dtype=np.intp)
    made = Outcome(
        "direction", "three_class", "path", "fwd_ret_1d", 1, 0, payoff, end, label, end
    )
    return replace(made, **changes)


def test_classes_are_held_as_positions_net_of_costs() -> None:
    guess = np.array([[1.0, -1.0, 0.0, NAN]] * 3)
    assert position_weights(guess)[0].tolist() == [1 / 3, -1 / 3, 0, 0]
    assert np.isnan(position_weights(np.full((1, 2), NAN))).all()
    # decided at the close of a bar, the next bar's return is earned
    returns = np.array([[0.0] * 4, [0.03, 0.06, 0.5, 0.5], [0.06, -0.03, 0.5, 0.5]])
    payoff = np.vstack([returns[1:], np.full((1, 4), NAN)])
    rows = np.isfinite(payoff)
    row = class_row(
        guess, _outcome(payoff, np.where(rows, 1.0, NAN)),
        Block("test", slice(0, 3), rows, rows), returns,
        majority=1.0, block_bars=10, cost_bps_per_side=30.0, periods_per_year=252.0,
    )  # fmt: skip
    gross = np.array([0.0, (0.03 - 0.06) / 3, (0.06 + 0.03) / 3])
    assert row["position_gross_bps_per_bar"] == pytest.approx(1e4 * gross.mean())
    entry = 2 / 3 * 30
    first = row["position_gross_bps_per_bar"] - row["position_net_bps_per_bar"]
    assert first >= entry / 3
    assert row["position_share"] == pytest.approx(2 / 3)
    assert row["position_win_rate"] == pytest.approx(3 / 4)
    assert row["position_max_drawdown"] >= 0.01
    assert (row["n_short"], row["recall_long"], row["precision_neutral"]) == (
        0,
        1 / 3,
        0,
    )


def test_a_score_without_classes_has_none_of_it() -> None:
    nothing = np.full((2, 2), NAN)
    rows = np.zeros((2, 2), dtype=bool)
    row = class_row(
        None, _outcome(nothing, nothing), Block("test", slice(0, 2), rows, rows),
        nothing, majority=NAN, block_bars=10, cost_bps_per_side=5.0,
        periods_per_year=252.0,
    )  # fmt: skip
    assert np.isnan(list(row.values())).all()


def test_the_report_shows_each_class_of_a_classifier(world) -> None:
    full = world.score("m", world.signal, "direction_5d").score("r", world.signal)
    frame = full.predictions[0]
    frame["prob_neutral"] = 1 / (1 + np.exp(frame["score"]))
    frame["prob_long"] = 1 - frame["prob_neutral"]
    found = evaluate(**full.inputs())
    section = evaluation_section(found)
    classes = section.tables[-1]
    assert [row[:2] for row in classes.rows] == [("m", "neutral"), ("m", "long")]
    own = found.metrics.set_index(["model_id", "split"]).loc[("m", "test")]
    assert own["f1_long"] > own["class_prior_accuracy"] / 2
    # an event has no side
    assert np.isnan(own["position_share"])
    sided = found.metrics.assign(position_share=0.5, position_net_bps_per_bar=1.0)
    told = class_tables(sided)[1]
    assert told.title.startswith("Positions by predicted class")
    assert [row[0] for row in told.rows] == ["m"]
    assert class_tables(found.metrics[found.metrics["model_id"] == "r"]) == []
