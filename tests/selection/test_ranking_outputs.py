"""Outputs of the ranking: importances, recommendations, and the readable document."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from planted_world import LENIENT, RIDGE, SMALL_TREES, ranking_config, signal_world

from ranking_pipeline.errors import UserError
from ranking_pipeline.selection.predictability import (
    IMPORTANCE_COLUMNS,
    RANKING_COLUMNS,
    rank_targets,
)
from ranking_pipeline.selection.rankings_document import (
    rankings_document,
    recommendation,
)
from ranking_pipeline.selection.target_evidence import consistency

MLP = {
    "hidden": 16,
    "layers": 1,
    "dropout": 0.0,
    "regression_loss": "huber",
    "loss_parameters": {},
    "epochs": 2,
    "timestamps_per_batch": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "gradient_clip": 1.0,
    "patience": 4,
    "min_delta": 0.0,
    "device": "cpu",
    "clip_sigma": 5.0,
}


@pytest.mark.parametrize(
    ("skill", "text"),
    [
        (0.7, "prioritise"),
        (0.69, "enable"),
        (0.5, "enable"),
        (0.3, "test"),
        (0.299, "deprioritise"),
        (0.0, "deprioritise"),
        (float("nan"), "not rankable"),
    ],
)
def test_recommendation_by_skill(skill: float, text: str) -> None:
    assert recommendation(skill) == text


def test_consistency_by_hand() -> None:
    # blocks of two bars: 1, -1, 0.5 and one bar of two, which counts as measured
    series = np.array([1.0, 1.0, -3.0, 1.0, 0.0, 1.0, 2.0, np.nan])
    assert consistency(series, 2) == pytest.approx(3 / 4)
    assert np.isnan(consistency(np.full(4, np.nan), 2))


def test_importances_of_the_fold_models() -> None:
    world = signal_world(0.15)
    families = {"model_families": ("lightgbm", "rf", "ridge")}
    blocks = {"family_parameters": {**SMALL_TREES, **RIDGE}, "leakage": LENIENT}
    result = rank_targets(world.data(), ranking_config(**families, **blocks))
    found = result.feature_importances
    assert tuple(found.columns) == IMPORTANCE_COLUMNS
    assert set(found["family"]) == {"lightgbm", "random_forest", "ridge"}
    for _, group in found.groupby("family"):
        assert group["feature"].iloc[0] == "signal"
        assert group["importance"].sum() == pytest.approx(1.0)
        assert len(group) == len(world.feature_manifest)
    row = result.rankings.iloc[0]
    assert tuple(result.rankings.columns) == RANKING_COLUMNS
    assert row["n_models"] == 3
    assert row["consistency"] > 0.7
    assert row["recommendation"] == recommendation(row["skill"])


def test_mlp_is_an_option_by_parameter() -> None:
    changes = {
        "model_families": ("ridge", "nn"),
        "family_parameters": {**RIDGE, "mlp": MLP},
        "leakage": LENIENT,
    }
    world = signal_world(0.2, n_bars=300, n_symbols=20)
    result = rank_targets(world.data(), ranking_config(**changes))
    assert result.rankings["families"].iloc[0] == "ridge,mlp"
    assert result.rankings["n_models"].iloc[0] == 2
    assert result.selected["targets"] == ["fwd_ret_1d"]
    assert set(result.family_scores["family"]) == {"ridge", "mlp"}


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (("ridge", "gru"), "gru learn from windows"),
        (("ridge", "xgboost"), "no block for xgboost"),
        (("rigde",), "Did you mean 'ridge'"),
    ],
)
def test_unsuitable_families_are_refused_before_anything_is_fitted(
    families: tuple[str, ...], message: str
) -> None:
    blocks = {**RIDGE, "gru": {}}
    config = ranking_config(model_families=families, family_parameters=blocks)

    def never(*_: object) -> list[object]:
        raise AssertionError("no target may be evaluated")

    with pytest.raises(UserError, match=message):
        rank_targets(signal_world(0.1).data(), config, never)


def test_ties_are_broken_by_name() -> None:
    world = signal_world(0.1)
    values = np.full((500, 40), np.nan)
    values[world.panel.rows()] = world.labels["fwd_ret_1d"]
    for name in ("fwd_ret_c", "fwd_ret_a", "fwd_ret_b"):
        world = world.with_target(name, values, 1, "regression", "forward_return")
    frame = rank_targets(world.data(), ranking_config()).rankings
    tied = ["fwd_ret_1d", "fwd_ret_a", "fwd_ret_b", "fwd_ret_c"]
    assert frame["z"].nunique() == 1
    assert list(frame["target"]) == tied


def test_document_is_plain_and_complete() -> None:
    world = signal_world(0.1)
    world = world.with_target(
        "y_will_peak_1d_9", np.ones((500, 40)), 1, "binary", "path"
    )
    frame = rank_targets(world.data(), ranking_config()).rankings
    document = rankings_document(frame)
    assert yaml.safe_load(yaml.safe_dump(document)) == document
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["selected"] == ["fwd_ret_1d"]
    assert (document["n_targets"], document["n_rankable"]) == (2, 1)
    refused = document["targets"][1]
    assert refused["skill"] is None
    assert refused["recommendation"] == "not rankable"
    assert "only the class 1" in refused["reason"]
    assert set(refused) == set(RANKING_COLUMNS)
    again = pd.DataFrame(document["targets"])
    np.testing.assert_allclose(again["z"][0], frame["z"][0], rtol=1e-5)
    assert rankings_document(frame.iloc[:0])["targets"] == []
