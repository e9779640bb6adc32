"""Every tabular family keeps the same promises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import to_cross_sections

ROUNDS: dict[str, Any] = {
    "n_rounds": 40,
    "learning_rate": 0.1,
    "feature_share": 0.7,
    "patience_rounds": 10,
}
FOREST = {
    "n_trees": 12,
    "max_depth": 5,
    "min_rows_per_leaf": 20,
    "rows_per_tree": 1000,
    "feature_share": 0.5,
}
LINEAR = {"expected_r2": 0.05, "clip_sigma": 3.0}
MORE: dict[str, dict[str, Any]] = {
    "catboost": ROUNDS | {"max_depth": 3, "row_share": 0.7, "l2": 1.0, "max_bins": 32},
    "hist_boosting": ROUNDS
    | {"max_leaves": 8, "min_rows_per_leaf": 20, "l2": 1.0, "max_bins": 31},
    "ngboost": ROUNDS
    | {"max_depth": 3, "min_rows_per_leaf": 20, "row_share": 0.7, "max_rows": 2000},
    "extra_trees": FOREST,
    "elastic_net": LINEAR | {"l1_share": 0.2},
    "logistic": LINEAR,
}
TABULAR = ("lightgbm", "xgboost", "random_forest", "ridge", *MORE)
EXACT = ("ridge", "elastic_net", "logistic")  # nothing is drawn
BOOSTED = ("lightgbm", "xgboost", "catboost", "hist_boosting", "ngboost")
TASKS = ("regression", "binary", "three_class")
LEARNS = {"ngboost": TASKS[:1], "logistic": TASKS[1:]}
CASES = [(name, task) for name in TABULAR for task in LEARNS.get(name, TASKS)]
EACH_TASK = pytest.mark.parametrize(("family", "task"), CASES)
EACH_CLASSIFIER = pytest.mark.parametrize(
    ("family", "task"), [case for case in CASES if case[1] != "regression"]
)
Make = Callable[[str], tuple[Samples, Samples, Samples]]


@pytest.fixture(params=TABULAR)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def task(family: str) -> str:
    """Give the first task that a family learns."""
    return LEARNS.get(family, TASKS)[0]


@pytest.fixture(scope="session")
def parameters(parameters: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return parameters | MORE


def _fitted(
    family: str,
    samples: Make,
    parameters: Any,
    task: str,
    *,
    seed: int = 5,
    threads: int = 1,
) -> BaseModel:
    train, validation, _ = samples(task)
    model = registry.create(family, parameters[family], seed, threads)
    model.fit(train, validation)
    return model


def _file_hashes(model: BaseModel, folder: Path) -> list[str]:
    folder.mkdir()
    model.save(folder)
    files = sorted(folder.iterdir())
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@EACH_TASK
def test_a_loaded_model_predicts_the_same_bits(
    family: str, task: str, samples: Make, parameters: Any, tmp_path: Path
) -> None:
    model = _fitted(family, samples, parameters, task)
    later = samples(task)[2]
    model.save(tmp_path)
    loaded = type(model).load(tmp_path, model.config, seed=5, threads=2)
    before, after = model.predict(later), loaded.predict(later)
    np.testing.assert_array_equal(before.score, after.score)
    if task != "regression":
        assert before.probabilities is not None
        assert after.probabilities is not None
        np.testing.assert_array_equal(before.probabilities, after.probabilities)
    np.testing.assert_array_equal(model.importance(), loaded.importance())


@EACH_TASK
def test_a_fit_depends_on_its_seed_and_not_on_threads(
    family: str, task: str, samples: Make, parameters: Any, tmp_path: Path
) -> None:
    one = _fitted(family, samples, parameters, task)
    two = _fitted(family, samples, parameters, task, threads=2)
    other = _fitted(family, samples, parameters, task, seed=6)
    later = samples(task)[2]
    scores = [model.predict(later).score for model in (one, two, other)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert _file_hashes(one, tmp_path / "one") == _file_hashes(two, tmp_path / "two")
    assert (family in EXACT) == np.array_equal(scores[0], scores[2])


@EACH_TASK
def test_a_family_finds_the_planted_signal(
    family: str, task: str, samples: Make, parameters: Any
) -> None:
    model = _fitted(family, samples, parameters, task)
    later = samples(task)[2]
    score = model.predict(later).score
    alpha = np.nan_to_num(later.features[:, 0])
    assert score.dtype == np.float32
    assert np.isfinite(score).all()
    assert np.corrcoef(score, alpha)[0, 1] > 0.6
    importance = model.importance()
    assert importance is not None
    assert importance.sum() == pytest.approx(1)
    assert importance.argmax() == 0
    assert importance[3] == 0  # the constant column


@EACH_CLASSIFIER
def test_class_scores_come_from_probabilities(
    family: str, task: str, samples: Make, parameters: Any
) -> None:
    output = _fitted(family, samples, parameters, task).predict(samples(task)[2])
    chances = output.probabilities
    assert chances is not None
    assert chances.shape[1] == {"binary": 2, "three_class": 3}[task]
    assert chances.dtype == np.float32
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    if family not in {"ridge", "elastic_net"}:
        wanted = chances[:, -1] - (chances[:, 0] if task == "three_class" else 0)
        np.testing.assert_allclose(output.score, wanted, atol=1e-6)


def test_a_score_depends_on_its_row_alone(
    family: str, task: str, samples: Make, parameters: Any
) -> None:
    model = _fitted(family, samples, parameters, task)
    later = samples(task)[2]
    every_seventh = np.arange(0, len(later), 7)
    np.testing.assert_array_equal(
        model.predict(later).score[every_seventh],
        model.predict(later.take(every_seventh)).score,
    )


def test_a_prediction_does_not_look_at_targets(
    family: str, task: str, samples: Make, parameters: Any
) -> None:
    model = _fitted(family, samples, parameters, task)
    later = samples(task)[2]
    blind = replace(later, target=np.full(len(later), np.nan, dtype=np.float32))
    seeing = model.predict(later).score
    np.testing.assert_array_equal(seeing, model.predict(blind).score)


def test_one_symbol_with_few_rows_can_be_learned(
    family: str, task: str, samples: Make, parameters: Any
) -> None:
    strict = dict(parameters[family])
    if "min_rows_per_leaf" in strict:
        strict["min_rows_per_leaf"] = 10_000
    train, _, later = samples(task)
    model = registry.create(family, strict, 5, 1)
    model.fit(train.take(train.symbols == 3), None)
    score = model.predict(later.take(later.symbols == 3)).score
    assert np.isfinite(score).all()
    assert len(np.unique(score)) > 1


def test_faults_of_the_rows_are_told_at_once(
    family: str, task: str, samples: Make, parameters: Any
) -> None:
    train, _, _ = samples(task)
    features, target = train.features.copy(), train.target.copy()
    features[0, 1], target[0] = np.inf, np.nan
    model = registry.create(family, parameters[family], 5, 1)
    with pytest.raises(UserError, match=r"targets are not known.*values: beta"):
        model.fit(replace(train, features=features, target=target), None)
    with pytest.raises(UserError, match="no labelled rows"):
        model.fit(train.take(np.zeros(len(train), dtype=bool)), None)
    with pytest.raises(UserError, match="no features"):
        model.fit(train.with_features(()), None)
    with pytest.raises(UserError, match="task 'ranking'"):
        model.fit(replace(train, task="ranking"), None)


@pytest.mark.parametrize("family", [name for name, task in CASES if task == "binary"])
def test_a_wrong_class_is_refused(family: str, samples: Make, parameters: Any) -> None:
    train, _, _ = samples("binary")
    wrong = replace(train, target=np.where(train.target > 0, 2, 0).astype(np.float32))
    model = registry.create(family, parameters[family], 5, 1)
    with pytest.raises(UserError, match=r"labels \[2.0\] are none of the classes"):
        model.fit(wrong, None)


@pytest.mark.parametrize(
    "family", [name for name, task in CASES if task == "three_class"]
)
def test_a_missing_class_keeps_its_column(
    family: str, samples: Make, parameters: Any
) -> None:
    train, _, later = samples("three_class")
    model = registry.create(family, parameters[family], 5, 1)
    model.fit(train.take(train.target >= 0), None)
    output = model.predict(later)
    assert output.probabilities is not None
    assert output.probabilities.shape[1] == 3
    assert output.probabilities[:, 0].mean() < 0.05


@pytest.mark.parametrize("boosting", BOOSTED)
def test_boosting_stops_early_on_validation(
    boosting: str, samples: Make, parameters: Any
) -> None:
    train, validation, _ = samples("regression")
    eager = {**parameters[boosting], "n_rounds": 400, "learning_rate": 0.5}
    model = registry.create(boosting, eager, 5, 1)
    model.fit(train, validation)
    losses = [row["validation_loss"] for row in model.history()]
    assert len(losses) < 400
    # ngboost and hist_boosting compare the last rounds with the one before them.
    waited = len(losses) - 1 - int(np.argmin(losses)) - eager["patience_rounds"]
    assert waited == 0 or (0 < waited < 3 and boosting in {"ngboost", "hist_boosting"})
    free = registry.create(boosting, parameters[boosting], 5, 1)
    free.fit(train, None)
    assert free.history() == []


def test_the_files_of_one_round_hold_nothing_of_the_validation(
    family: str, task: str, samples: Make, parameters: Any, tmp_path: Path
) -> None:
    train, validation, _ = samples(task)
    turned = -3 if task == "regression" else 1
    other = replace(validation, target=turned * validation.target[::-1])
    hashes = []
    for name, rows in (("one", validation), ("other", other)):
        single = {**parameters[family]}
        single |= {"n_rounds": 1} if "n_rounds" in single else {}
        model = registry.create(family, single, 5, 1)
        model.fit(train, rows)
        hashes.append(_file_hashes(model, tmp_path / name))
    assert hashes[0] == hashes[1]


EXPLAINED = ("lightgbm", "xgboost", "catboost", *EXACT)


@pytest.mark.parametrize(
    ("name", "task"), [case for case in CASES if case[0] in EXPLAINED]
)
def test_contributions_add_up_to_the_score(
    name: str, task: str, samples: Make, parameters: Any
) -> None:
    train, _, later = samples(task)
    model = registry.create(name, parameters[name], 5, 1)
    model.fit(train, None)
    shares = model.contributions(later)
    assert shares is not None
    assert shares.shape == later.features.shape
    score = model.predict(later).score
    if task == "regression" or (name in EXACT and name != "logistic"):
        rest = score - shares.sum(axis=1)
        np.testing.assert_allclose(rest, rest.mean(), atol=1e-5)
    else:
        assert np.corrcoef(shares.sum(axis=1), score)[0, 1] > 0.95


def test_ridge_is_the_penalised_solution(samples: Make, parameters: Any) -> None:
    train, _, _ = samples("regression")
    model = registry.create("ridge", parameters["ridge"], 0, 1)
    model.fit(train, None)
    x = train.features[:, :3].astype(float)
    z = (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0)
    z = np.nan_to_num(np.clip(z, -3, 3))
    y = train.target.astype(float)
    centred = z - z.mean(axis=0)
    penalty = 4 * 0.95 / 0.05
    slope = np.linalg.solve(
        centred.T @ centred + penalty * np.eye(3), centred.T @ (y - y.mean())
    )
    wanted = centred @ slope + y.mean()
    np.testing.assert_allclose(model.predict(train).score, wanted, rtol=1e-5, atol=1e-6)


def test_three_class_ridge_score_is_the_regression_on_the_class(
    samples: Make, parameters: Any
) -> None:
    train, _, later = samples("three_class")
    classes = registry.create("ridge", parameters["ridge"], 0, 1)
    classes.fit(train, None)
    plain = registry.create("ridge", parameters["ridge"], 0, 1)
    plain.fit(replace(train, task="regression"), None)
    wanted = plain.predict(replace(later, task="regression")).score
    np.testing.assert_allclose(classes.predict(later).score, wanted, atol=1e-6)


def test_pooled_scores_rank_each_bar(samples: Make, parameters: Any) -> None:
    model = _fitted("lightgbm", samples, parameters, "regression")
    later = samples("regression")[2].labelled()
    score = to_cross_sections(
        model.predict(later).score, later.bars, later.symbols, later.shape
    )
    target = to_cross_sections(later.target, later.bars, later.symbols, later.shape)
    filled = np.isfinite(score).sum(axis=1) > 5
    per_bar = [
        np.corrcoef(s[np.isfinite(s)], t[np.isfinite(t)])[0, 1]
        for s, t in zip(score[filled], target[filled], strict=True)
    ]
    assert np.mean(per_bar) > 0.3
