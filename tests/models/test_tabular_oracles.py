"""Tabular families beside the bare library, hand values and optimality conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.families.elastic_net import coordinate_descent
from ranking_pipeline.models.families.ngboost import NGBoostModel
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.models.tree_arrays import Tree, TreeArrays

Make = Callable[[str], tuple[Samples, Samples, Samples]]
ROUNDS: dict[str, Any] = {
    "n_rounds": 30,
    "learning_rate": 0.1,
    "feature_share": 0.7,
    "patience_rounds": 10,
}
BINNED = ROUNDS | {"l2": 1.0, "max_bins": 31}
BOOSTED = BINNED | {
    "min_rows_per_leaf": 20,
    "row_share": 0.7,
    "objective": "l2",
    "quantile": 0.5,
}
LIGHTGBM = BOOSTED | {"max_leaves": 8, "max_depth": 3, "l1": 0.5}
XGBOOST = BOOSTED | {"max_depth": 3}
CATBOOST = BINNED | {"max_depth": 3, "row_share": 0.7}
HISTOGRAM = BINNED | {"max_leaves": 8, "min_rows_per_leaf": 20}
NGBOOST = ROUNDS | {
    "max_depth": 3,
    "min_rows_per_leaf": 20,
    "row_share": 0.7,
    "max_rows": 10_000,
}
LINEAR = {"expected_r2": 0.05, "clip_sigma": 3.0}


def fitted(
    family: str,
    parameters: dict[str, Any],
    train: Samples,
    validation: Samples | None = None,
) -> Any:
    model = registry.create(family, parameters, 5, 1)
    model.fit(train, validation)
    return model


def one_feature(x: npt.ArrayLike, target: npt.ArrayLike, task: str) -> Samples:
    """Rows of one feature, a bar each; the bars themselves are not looked at."""
    from ranking_pipeline.panel import Panel

    feature = np.asarray(x, dtype=np.float32)[:, None]
    n = len(feature)
    panel = Panel(
        ("S",),
        np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D"),
        ("open", "high", "low", "close", "volume"),
        np.ones((1, n, 5), np.float32),
        np.ones((1, n), np.bool_),
    )
    return Samples(
        panel,
        np.arange(n),
        np.zeros(n, np.intp),
        feature,
        ("x",),
        np.asarray(target, dtype=np.float32),
        np.arange(n),
        task,
    )


def test_lightgbm_is_the_bare_library(samples: Make) -> None:
    import lightgbm

    train, _, later = samples("regression")
    settings = {
        "objective": "l2",
        "learning_rate": 0.1,
        "num_leaves": 8,
        "max_depth": 3,
        "min_data_in_leaf": 20,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "feature_fraction": 0.7,
        "lambda_l1": 0.5,
        "lambda_l2": 1.0,
        "max_bin": 31,
        "seed": 5,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(train.features, train.target)
    bare = lightgbm.train(settings, data, num_boost_round=30).predict(later.features)
    ours = fitted("lightgbm", LIGHTGBM, train).predict(later).score
    np.testing.assert_array_equal(ours, np.asarray(bare, dtype=np.float32))


def test_xgboost_is_the_bare_library(samples: Make) -> None:
    import xgboost

    train, _, later = samples("regression")
    settings = {
        "objective": "reg:squarederror",
        "learning_rate": 0.1,
        "max_depth": 3,
        "subsample": 0.7,
        "colsample_bytree": 0.7,
        "reg_lambda": 1.0,
        "min_child_weight": 20,
        "max_bin": 31,
        "tree_method": "hist",
        "seed": 5,
        "nthread": 1,
    }
    data = xgboost.QuantileDMatrix(train.features, train.target, max_bin=31, nthread=1)
    bare = xgboost.train(settings, data, num_boost_round=30)
    ours = fitted("xgboost", XGBOOST, train).predict(later).score
    wanted = bare.predict(xgboost.DMatrix(later.features))
    np.testing.assert_array_equal(ours, wanted)


def test_catboost_is_the_bare_library(samples: Make) -> None:
    from catboost import CatBoostRegressor

    train, validation, later = samples("regression")
    bare = CatBoostRegressor(
        iterations=30,
        learning_rate=0.1,
        depth=3,
        bootstrap_type="Bernoulli",
        subsample=0.7,
        rsm=0.7,
        l2_leaf_reg=1.0,
        border_count=30,
        boosting_type="Plain",
        random_seed=5,
        thread_count=1,
        early_stopping_rounds=10,
        allow_writing_files=False,
        verbose=False,
    )
    bare.fit(
        train.features,
        train.target,
        eval_set=(validation.features, validation.target),
        use_best_model=True,
    )
    ours = fitted("catboost", CATBOOST, train, validation).predict(later).score
    wanted = bare.predict(later.features).astype(np.float32)
    np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("task", ["regression", "three_class"])
def test_histogram_trees_are_the_librarys(task: str, samples: Make) -> None:
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    train, _, later = samples(task)
    kinds: dict[str, Any] = {
        "regression": HistGradientBoostingRegressor,
        "three_class": HistGradientBoostingClassifier,
    }
    bare = kinds[task](
        max_iter=30,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        max_features=0.7,
        l2_regularization=1.0,
        max_bins=31,
        early_stopping=False,
        random_state=5,
    ).fit(train.features, train.target)
    output = fitted("hist_boosting", HISTOGRAM, train).predict(later)
    if task == "regression":
        wanted, found = bare.predict(later.features), output.score
    else:
        wanted, found = bare.predict_proba(later.features), output.probabilities
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_normal_trees_are_the_librarys(samples: Make) -> None:
    from ngboost import NGBRegressor
    from sklearn.tree import DecisionTreeRegressor

    train, _, later = samples("regression")
    model = fitted("ngboost", NGBOOST, train)
    base = DecisionTreeRegressor(max_depth=3, min_samples_leaf=20, random_state=5)
    bare = NGBRegressor(
        Base=base,
        n_estimators=30,
        learning_rate=0.1,
        minibatch_frac=0.7,
        col_sample=0.7,
        verbose=False,
        random_state=5,
    ).fit(train.features, train.target.astype(np.float64))
    wanted = bare.pred_dist(later.features).params
    mean, deviation = model.distribution(later)
    np.testing.assert_allclose(mean, wanted["loc"], atol=1e-7)
    np.testing.assert_allclose(deviation, wanted["scale"], rtol=1e-6)


def test_a_deviation_is_found_where_it_differs() -> None:
    random = np.random.default_rng(0)
    x = random.choice([-1.0, 1.0], 2000)
    spread = np.where(x > 0, 3.0, 1.0)
    rows = one_feature(x, spread * random.standard_normal(2000), "regression")
    changes = {"feature_share": 1.0, "learning_rate": 0.3, "max_depth": 1}
    model = fitted("ngboost", NGBOOST | changes, rows)
    assert isinstance(model, NGBoostModel)
    found = model.distribution(rows)[1]
    assert found[x > 0].mean() == pytest.approx(3, rel=0.1)
    assert found[x < 0].mean() == pytest.approx(1, rel=0.1)


def test_ngboost_drops_whole_bars_beyond_its_rows(samples: Make) -> None:
    train, _, later = samples("regression")
    few = fitted("ngboost", NGBOOST | {"max_rows": 300}, train)
    same = fitted("ngboost", NGBOOST, thin(train, 300))
    np.testing.assert_array_equal(few.predict(later).score, same.predict(later).score)
    kept = thin(train, 300)
    assert 240 <= len(kept) <= 330
    assert all(
        (train.bars == b).sum() == (kept.bars == b).sum() for b in set(kept.bars)
    )


@pytest.mark.parametrize(
    ("family", "block"), [("lightgbm", LIGHTGBM), ("xgboost", XGBOOST)]
)
def test_a_quantile_has_that_share_of_targets_below(
    family: str, block: dict[str, Any], samples: Make
) -> None:
    train, _, _ = samples("regression")
    longer = {"n_rounds": 60, "learning_rate": 0.2}
    for quantile in (0.2, 0.8):
        changes = longer | {"objective": "quantile", "quantile": quantile}
        score = fitted(family, block | changes, train).predict(train).score
        assert (train.target <= score).mean() == pytest.approx(quantile, abs=0.05)


@pytest.mark.parametrize(
    ("family", "block"), [("lightgbm", LIGHTGBM), ("xgboost", XGBOOST)]
)
def test_huber_hardly_hears_an_outlier(
    family: str, block: dict[str, Any], samples: Make
) -> None:
    train, _, later = samples("regression")
    loud = train.target.copy()
    loud[::97] = 1000 * np.abs(loud).max()
    moved = {}
    for objective in ("l2", "huber"):
        changed = block | {"objective": objective}
        quiet, noisy = (
            fitted(family, changed, rows).predict(later).score.mean()
            for rows in (train, replace(train, target=loud))
        )
        moved[objective] = abs(noisy - quiet)
    assert moved["huber"] < 0.75 * moved["l2"]


def test_soft_thresholds_by_hand() -> None:
    """With G = 4 I a coefficient is S(m, absolute) / (4 + squares)."""
    moment = np.array([10.0, -7.0, 2.0, -3.0])
    found = coordinate_descent(4 * np.eye(4), moment, 3.0, 1.0)
    np.testing.assert_allclose(found, [7 / 5, -4 / 5, 0, 0], atol=1e-12)


def test_elastic_net_by_hand() -> None:
    """One feature of mean 0 and variance 1 on 4 rows; F (1 - r2) / r2 = 1 at r2 = 1/2.

    The moment is 8 and s² is 5 (targets -3, -1, 1, 3). Absolute: a sqrt(2 F / r2)
    (1 - r2) s = a sqrt(5); squares: (1 - a) 1.
    """
    rows = one_feature([-1, -1, 1, 1], [-3, -1, 1, 3], "regression")
    for share in (0.0, 0.25, 1.0):
        parameters = {"expected_r2": 0.5, "clip_sigma": 3.0, "l1_share": share}
        score = fitted("elastic_net", parameters, rows).predict(rows).score
        slope = (8 - share * np.sqrt(5)) / (4 + 1 - share)
        np.testing.assert_allclose(score, slope * rows.features[:, 0], rtol=1e-6)


def test_coordinate_descent_is_sklearns_elastic_net() -> None:
    from sklearn.linear_model import ElasticNet

    random = np.random.default_rng(1)
    x = random.standard_normal((200, 12)) @ random.standard_normal((12, 12))
    y = x[:, 0] - 0.3 * x[:, 5] + random.standard_normal(200)
    absolute, squares = 60.0, 20.0
    sklearn = ElasticNet(
        alpha=(absolute + squares) / 200,
        l1_ratio=absolute / (absolute + squares),
        fit_intercept=False,
        tol=1e-10,
        max_iter=100_000,
    ).fit(x, y)
    found = coordinate_descent(x.T @ x, x.T @ y, absolute, squares)
    np.testing.assert_allclose(found, sklearn.coef_, atol=1e-6)
    assert 0 < (found == 0).sum() < 12


def test_elastic_net_without_absolute_values_is_ridge(samples: Make) -> None:
    train, _, later = samples("three_class")
    net = fitted("elastic_net", LINEAR | {"l1_share": 0.0}, train).predict(later)
    ridge = fitted("ridge", LINEAR, train).predict(later)
    np.testing.assert_allclose(net.score, ridge.score, atol=1e-6)


def test_lasso_drops_what_says_nothing(samples: Make) -> None:
    train, _, _ = samples("regression")
    importance = fitted("elastic_net", LINEAR | {"l1_share": 1.0}, train).importance()
    assert importance[0] > 0.5
    assert (importance == 0).any()


def test_logistic_by_hand() -> None:
    """Three of four up at x = 1 and one of four at x = -1: log-odds are x log 3."""
    x = [1, 1, 1, 1, -1, -1, -1, -1]
    rows = one_feature(x, [1, 1, 1, 0, 0, 0, 0, 1], "binary")
    free = {"expected_r2": 1 - 1e-9, "clip_sigma": 3.0}
    model = fitted("logistic", free, rows)
    np.testing.assert_allclose(
        model.predict(rows).score, [0.75] * 4 + [0.25] * 4, rtol=1e-4
    )
    shares = model.contributions(rows)[:, 0]
    np.testing.assert_allclose(shares, np.log(3) * rows.features[:, 0], rtol=1e-3)


def test_two_classes_are_at_the_optimum() -> None:
    """One slope b: sum x (p - y) + penalty b = 0, with penalty 3 / pi² at r2 = 1/2."""
    x = [1, 1, 1, 1, -1, -1, -1, -1]
    rows = one_feature(x, [1, 1, 1, 0, 0, 0, 0, 1], "binary")
    model = fitted("logistic", {"expected_r2": 0.5, "clip_sigma": 3.0}, rows)
    chance = model.predict(rows).probabilities[:, 1].astype(np.float64)
    slope = float(model.contributions(rows)[0, 0])
    residual = np.asarray(x) @ (chance - rows.target)
    assert residual + 3 / np.pi**2 * slope == pytest.approx(0, abs=1e-4)


def test_three_classes_are_at_the_optimum(samples: Make) -> None:
    """X' (P - Y) + 2 F (1 - r2) / r2 / (pi² / 3) B = 0."""
    train, _, _ = samples("three_class")
    model = fitted("logistic", LINEAR, train)
    chances = model.predict(train).probabilities.astype(np.float64)
    wrong = chances - np.eye(3)[train.target.astype(int) + 1]
    penalty = 2 * 4 * 0.95 / 0.05 / (np.pi**2 / 3)
    gradient = model._design(train.features).T @ wrong
    b = model._state["coefficients"]
    np.testing.assert_allclose(gradient + penalty * b, 0, atol=2e-2)
    assert np.abs(penalty * b).max() > 5


@pytest.mark.parametrize(
    ("family", "block"),
    [("catboost", CATBOOST), ("hist_boosting", HISTOGRAM), ("logistic", LINEAR)],
)
def test_a_single_class_is_refused(
    family: str, block: dict[str, Any], samples: Make
) -> None:
    train, _, _ = samples("binary")
    with pytest.raises(UserError, match=r"all \d+ rows have the class 1"):
        fitted(family, block, train.take(train.target == 1))


def test_catboost_says_why_it_refuses_rows() -> None:
    rows = one_feature([1, 1, 1, 1], [1, 2, 3, 4], "regression")
    with pytest.raises(UserError, match=r"catboost cannot be fitted: .*constant"):
        fitted("catboost", CATBOOST, rows)


def test_a_class_of_the_validation_alone_stops_nothing(samples: Make) -> None:
    train, validation, later = samples("three_class")
    two = train.take(train.target >= 0)
    known = validation.take(validation.target >= 0)
    scores = [
        fitted("hist_boosting", HISTOGRAM, two, rows).predict(later).score
        for rows in (validation, known)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_tree_arrays_by_hand() -> None:
    """Root asks x0 <= 1 (missing: right), its right child x1 <= 0 (missing: left)."""
    leaf = np.inf
    tree = Tree(
        feature=np.array([0, 0, 1, 0, 0]),
        threshold=np.array([1.0, leaf, 0.0, leaf, leaf]),
        missing_left=np.array([False, False, True, False, False]),
        left=np.array([1, 1, 3, 3, 4]),
        right=np.array([2, 1, 4, 3, 4]),
        value=np.array([0.0, 10, 0, 20, 30]),
        depth=2,
    )
    trees = TreeArrays.join([tree, tree], np.array([1.0]), np.array([0.5, 0.5]))
    nan = np.nan
    rows = np.array([[1, 5], [2, 0], [2, 1], [nan, nan], [nan, 3]], dtype=np.float32)
    np.testing.assert_array_equal(trees.outputs(rows)[:, 0], [21.0, 41, 61, 41, 61])
    again = TreeArrays.from_arrays(trees.arrays())
    np.testing.assert_array_equal(again.outputs(rows), trees.outputs(rows))
