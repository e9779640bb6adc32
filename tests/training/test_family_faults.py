"""What could not be trained is told before anything runs, all at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.training.conftest import row

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.training import rows as training_rows_module
from ranking_pipeline.training.config import EnsemblesConfig, ModelTrainingConfig
from ranking_pipeline.training.derived import strategy_suffix
from ranking_pipeline.training.family_faults import training_faults
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.sloped import sloped

Make = Callable[..., list[TrainingJob]]
Settings = Callable[..., ModelTrainingConfig]
LINEAR = {"expected_r2": 0.1, "clip_sigma": 3.0}


@pytest.fixture
def blocks(parameters: dict[str, Any]) -> dict[str, Any]:
    low_rank = {"max_rank": 1, "floor": 0.3, "sign_draws": 5, "min_symbol_rows": 20}
    return {
        **parameters,
        "logistic": LINEAR,
        "low_rank": low_rank | {"clip_sigma": 3.0},
    }


def test_a_family_is_left_out_for_targets_that_it_cannot_learn(
    planned: Make,
    training: Settings,
    blocks: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = training(families=("ridge", "logistic"), parameters=blocks)
    plan = [row("fwd_ret_2d", None, "ridge"), row("up", None, "ridge", "logistic")]
    with caplog.at_level(logging.INFO):
        jobs = planned(config, plan)
    ids = ["cs_fwd_ret_2d:ridge", "cs_up:ridge", "cs_up:logistic"]
    assert [job.job_id for job in jobs] == ids
    told = "plan: logistic is left out for fwd_ret_2d: it learns binary, three_class"
    assert caplog.text.count(told) == 1
    # no job at all for it: it is left out, and no fault of the plan
    jobs = planned(config, [row("fwd_ret_2d", None, "ridge")])
    assert [job.job_id for job in jobs] == ["cs_fwd_ret_2d:ridge"]
    # a family that a row names though it cannot learn its target
    jobs = planned(config, [row("fwd_ret_2d", None, "ridge", "logistic")])
    assert [job.job_id for job in jobs] == ["cs_fwd_ret_2d:ridge"]


def test_a_target_asked_for_needs_a_family_that_can_learn_it(
    planned: Make, training: Settings, blocks: dict[str, Any]
) -> None:
    plan = [row("fwd_ret_2d", None, "ridge"), row("up", None, "ridge", "logistic")]
    asked = {"targets": ("up", "fwd_ret_2d"), "families": ("logistic",)}
    config = training(parameters=blocks, **asked)
    with pytest.raises(UserError, match="nothing is left to train for fwd_ret_2d"):
        planned(config, plan)
    faults = training_faults(
        config.model_copy(update={"symbol_families": ()}),
        {"up": "binary", "fwd_ret_2d": "regression"},
    )
    assert [key for key, _ in faults] == ["model_training.families"]
    assert "(logistic) can learn fwd_ret_2d (regression)" in faults[0][1]


def test_everything_that_would_fail_later_is_told_at_once(
    planned: Make, training: Settings, blocks: dict[str, Any]
) -> None:
    families = ("low_rank", "multi_task", "ridge", "timesfm")
    config = training(
        families=families,
        sample_weights="uniqueness",
        parameters={**blocks, "timesfm": {"weights": "no/such/folder"}},
    )
    plan = [row("fwd_ret_2d", None, *families)]
    with pytest.raises(UserError) as caught:
        planned(config, plan)
    early = "\n".join(text for _, text in training_faults(config, {}))
    for text in (str(caught.value), early):
        assert "low_rank cannot weigh rows" in text
        assert "set model_training.strategy to multi_task" in text
        assert "weights is 'no/such/folder', which holds no pretrained" in text
    assert training_faults(training(), {}) == []


@pytest.mark.parametrize(
    ("methods", "members", "words"),
    [
        (("stacking",), ("ridge",), "there is ridge"),
        (("stacking",), ("ridge", "xgboost"), "xgboost is not trained; model_training"),
        ((), ("ridge",), ""),
        (("stacking",), (), ""),
    ],
)
def test_ensembles_need_two_families_that_are_trained(
    training: Settings, methods: Any, members: tuple[str, ...], words: str
) -> None:
    made = EnsemblesConfig(methods=methods, folds=3, families=members)
    faults = training_faults(training(ensembles=made), {})
    assert bool(faults) == bool(words)
    assert words in "\n".join(text for _, text in faults)


def test_an_ensemble_that_no_target_can_have_is_refused(
    planned: Make, training: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    lone = [row("fwd_ret_2d", None, "ridge"), row("up", None, "lightgbm")]
    config = training(("rank_average",))
    with pytest.raises(UserError, match="there are fwd_ret_2d: ridge; up: lightgbm"):
        planned(config, lone)
    planned(config, [row("fwd_ret_2d", None, "ridge", "lightgbm"), lone[1]])
    assert "is not made where one family is left: up: lightgbm" in caplog.text


def test_a_strategy_and_a_list_of_one_target_tell_the_right_remedy(
    planned: Make, training: Settings
) -> None:
    config = training(strategy="multi_task", targets=("fwd_ret_2d",))
    [(key, text)] = training_faults(config, {})
    assert key == "model_training.targets"
    assert "needs two or more targets, and the list leaves fwd_ret_2d" in text
    words = r"targets \['fwd_ret_2d'\] leaves: fwd_ret_2d. Name more targets there"
    with pytest.raises(UserError, match=words):
        planned(config)


def test_multi_task_is_left_out_for_classes(
    planned: Make, training: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    config = training(strategy="multi_task", families=("multi_task",))
    both = [
        row(name, None, "multi_task") for name in ("fwd_ret_2d", "fwd_ret_5d", "up")
    ]
    jobs = planned(config, both)
    assert [tuple(job.heads) for job in jobs] == [("fwd_ret_2d", "fwd_ret_5d")]
    assert "strategy multi_task: no model of up is trained" in caplog.text
    asked = config.model_copy(update={"targets": ("fwd_ret_2d", "fwd_ret_5d", "up")})
    with pytest.raises(UserError, match="up is no regression"):
        planned(asked, both)


def test_rows_of_a_strategy_have_ids_of_their_own() -> None:
    def model(model_id: str) -> dict[str, Any]:
        return {"model_id": model_id, "family": "ridge", "target": "ret"}

    assert strategy_suffix(model("ridge:ret:cascade:seed2")) == ":cascade"
    assert strategy_suffix(model("ridge:ret:seed2")) == ""
    stamps = pd.to_datetime(["2020-01-01"], utc=True)
    spans = dict.fromkeys(
        ("train_first", "train_last", "predict_first", "predict_last"), stamps[0]
    )
    ids = ("ridge:ret", "ridge:ret:cascade")
    rest = {
        "route": "cross_sectional",
        "network": "",
        "loss": "",
        "seed": 1,
        "n_rows": 1,
    }
    models = pd.DataFrame([model(name) | spans | rest for name in ids])
    for column in ("symbol", "path", "sha256", "parts", "weights"):
        models[column] = ""
    models = models.assign(window=0, calibration_slope=1.0, calibration_error=1.0)
    scores = pd.DataFrame(
        {"timestamp": stamps[[0, 0]], "symbol": ["A", "A"], "model_id": list(ids)}
    ).assign(score=np.float32(1), target="ret")
    plan = {"targets": {"ret": {"partial_pooling": {"mean": 1.0, "slopes": {}}}}}
    made, _ = sloped(plan, models, scores)
    assert list(made["model_id"]) == [
        "ridge:ret:partial_pooling",
        "ridge:ret:cascade:partial_pooling",
    ]


def test_a_label_that_never_comes_counts_as_known_with_its_bars_latest() -> None:
    shape, bars = (3, 4), np.repeat(np.arange(4), 3)
    panel = Panel(
        symbols=("A", "B", "C"),
        timestamps=np.arange(4).astype("datetime64[D]").astype("datetime64[ns]"),
        fields=("open", "high", "low", "close", "volume"),
        values=np.ones((*shape, 5), dtype=np.float32),
        tradable=np.ones(shape, dtype=bool),
    )
    ends = np.array([2, 3, -1, 3, -1, -1, -1, -1, -1, 3, 3, 3])
    own = Samples(
        panel, bars, np.tile(np.arange(3), 4), np.empty((12, 0), np.float32), (),
        np.zeros(12, np.float32), ends, "regression",
    )  # fmt: skip
    found = training_rows_module._known_by(own)
    np.testing.assert_array_equal(found, [2, 3, 3, 3, 3, 3, -1, -1, -1, 3, 3, 3])
    assert replace(own, label_end=found).label_end.dtype == np.intp
