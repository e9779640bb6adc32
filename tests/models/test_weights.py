"""Weights: a row counts as often as its weight says, in a fit and in early stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.families.low_rank import LowRankModel
from ranking_pipeline.models.rank_metric import MeanRankIC
from ranking_pipeline.models.rank_queries import Queries
from ranking_pipeline.models.samples import Samples

Make = Callable[[str], tuple[Samples, Samples, Samples]]
BOOSTED: dict[str, Any] = {
    "n_rounds": 20,
    "learning_rate": 0.1,
    "feature_share": 1.0,
    "patience_rounds": 30,
}
BINNED = BOOSTED | {"l2": 1.0, "max_bins": 64}
PLAIN = {"objective": "l2", "quantile": 0.5}
LEAVES = {"max_leaves": 8, "max_depth": None, "l1": 0.0}
RANKED = {"n_grades": 8, "min_rows_per_leaf": 1, "row_share": 1.0}
FOREST = {
    "n_trees": 20,
    "max_depth": 4,
    "min_rows_per_leaf": 10,
    "rows_per_tree": 1000,
    "feature_share": 0.5,
}
LINEAR = {"expected_r2": 0.05, "clip_sigma": 3.0}
# Without draws, so that a row twice and a row of weight 2 can be compared.
PARAMETERS: dict[str, dict[str, Any]] = {
    "lightgbm": BINNED | PLAIN | LEAVES | {"min_rows_per_leaf": 1, "row_share": 1.0},
    "xgboost": BINNED
    | PLAIN
    | {"max_depth": 3, "min_rows_per_leaf": 1, "row_share": 1.0},
    "catboost": BINNED | {"max_depth": 3, "row_share": 1.0},
    "hist_boosting": BINNED | {"max_leaves": 8, "min_rows_per_leaf": 1},
    "ngboost": BOOSTED
    | {"max_depth": 3, "min_rows_per_leaf": 1, "row_share": 1.0, "max_rows": 10_000},
    "random_forest": FOREST,
    "extra_trees": FOREST,
    "ridge": LINEAR,
    "elastic_net": LINEAR | {"l1_share": 0.3},
    "logistic": LINEAR,
    "lightgbm_rank": BINNED | RANKED | LEAVES | {"objective": "lambdarank"},
    "xgboost_rank": BINNED
    | RANKED
    | {"max_depth": 3, "objective": "pairwise", "pairs_per_name": None},
}
DRAWING = ("random_forest", "extra_trees")
RANKING = ("lightgbm_rank", "xgboost_rank")
STOPPING = ("lightgbm", "xgboost", "catboost", "hist_boosting", "ngboost", *RANKING)
COUNTED = [name for name in PARAMETERS if name not in (*DRAWING, *RANKING, "catboost")]


def coarse(rows: Samples) -> Samples:
    """Features of few values, so that bins do not depend on how often one occurs."""
    features = np.clip(np.round(np.nan_to_num(rows.features) * 2), -3, 3)
    return replace(rows, features=features.astype(np.float32))


def rows_of(family: str, samples: Make) -> tuple[Samples, Samples, Samples]:
    return samples("binary" if family == "logistic" else "regression")


def fitted(family: str, train: Samples, validation: Samples | None = None) -> Any:
    model = registry.create(family, PARAMETERS[family], 5, 1)
    model.fit(train, validation)
    return model


@pytest.mark.parametrize("family", COUNTED)
def test_weight_two_is_the_row_twice(family: str, samples: Make) -> None:
    train, _, later = map(coarse, rows_of(family, samples))
    train = train.take(train.bars < 30)
    times = 1 + (np.arange(len(train)) % 2)
    twice = train.take(np.repeat(np.arange(len(train)), times))
    weighted = replace(train, weight=times.astype(np.float32))
    wanted = fitted(family, twice).predict(later).score
    found = fitted(family, weighted).predict(later).score
    without = fitted(family, train).predict(later).score
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert np.abs(found - without).max() > 1e-3


@pytest.mark.parametrize("family", [name for name in PARAMETERS if name not in DRAWING])
def test_equal_weights_change_nothing(family: str, samples: Make) -> None:
    train, validation, later = rows_of(family, samples)
    ones = [replace(r, weight=np.ones(len(r), np.float32)) for r in (train, validation)]
    plain, weighted = fitted(family, train, validation), fitted(family, *ones)
    np.testing.assert_allclose(
        weighted.predict(later).score, plain.predict(later).score, atol=1e-5
    )


@pytest.mark.parametrize("family", list(PARAMETERS))
def test_rows_of_no_weight_teach_nothing(family: str, samples: Make) -> None:
    train, _, later = rows_of(family, samples)
    wrong = train.bars % 3 > 0
    turned = 1 - train.target if family == "logistic" else -train.target
    spoiled = replace(
        train,
        target=np.where(wrong, turned, train.target),
        weight=np.where(wrong, 0, 3).astype(np.float32),
    )
    alpha = np.nan_to_num(later.features[:, 0])
    score = fitted(family, spoiled).predict(later).score
    misled = fitted(family, replace(spoiled, weight=None)).predict(later).score
    assert np.corrcoef(score, alpha)[0, 1] > 0.5
    assert np.corrcoef(misled, alpha)[0, 1] < -0.3


@pytest.mark.parametrize("family", STOPPING)
def test_validation_weighs_rows_by_their_weights(family: str, samples: Make) -> None:
    train, validation, _ = rows_of(family, samples)
    seen = validation.bars % 2 == 0
    weighted = replace(validation, weight=np.where(seen, 2, 0).astype(np.float32))
    training = replace(train, weight=np.ones(len(train), np.float32))
    found = fitted(family, training, weighted).history()
    wanted = fitted(family, train, validation.take(seen)).history()
    values = [[list(row.values())[1] for row in each] for each in (found, wanted)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-3)


def test_a_query_weighs_as_its_names_do_on_average(samples: Make) -> None:
    train, _, _ = samples("regression")
    train = train.take(train.bars < 3)
    weight = np.arange(1, len(train) + 1).astype(np.float32)
    queries = Queries.build(replace(train, weight=weight), 4)
    wanted = [weight[train.bars == bar].mean() for bar in range(3)]
    assert queries.weight is not None
    assert queries.row_weight is not None
    np.testing.assert_allclose(queries.weight, wanted)
    np.testing.assert_allclose(queries.row_weight, np.repeat(wanted, queries.sizes))
    plain = Queries.build(train, 4)
    assert plain.weight is None
    assert plain.row_weight is None


def test_the_metric_weighs_bars() -> None:
    target, bars = np.array([1.0, 2, 3, 1, 2, 3]), np.array([0, 0, 0, 4, 4, 4])
    scores = np.array(
        [1.0, 2, 3, 3, 2, 1]
    )  # rank IC 1 in the first bar, -1 in the last
    weight = np.array([3.0, 3, 3, 1, 1, 1])
    assert MeanRankIC(target, bars)(scores) == pytest.approx(0)
    assert MeanRankIC(target, bars, weight)(scores) == pytest.approx((3 - 1) / 4)


@pytest.mark.parametrize("family", list(PARAMETERS))
def test_weights_that_are_none_are_refused(family: str, samples: Make) -> None:
    train, _, _ = rows_of(family, samples)
    weight = np.ones(len(train), np.float32)
    weight[3] = -1
    with pytest.raises(UserError, match="weights are to be finite, at least 0"):
        fitted(family, replace(train, weight=weight))


def test_a_family_of_ones_own_refuses_weights_unless_it_says_that_it_weighs(
    samples: Make,
) -> None:
    train, _, _ = samples("regression")
    weighed = replace(train, weight=np.ones(len(train), np.float32))

    class Own(LowRankModel):
        family = "own"

    model = Own(None, seed=0, threads=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="own cannot be fitted: it does not weigh rows"):
        model.check(weighed)
    model.check(train)
    Own.weighted = True
    model.check(weighed)


def test_a_family_that_cannot_weigh_rows_says_so(samples: Make) -> None:
    train, _, _ = samples("regression")
    block = {
        "max_rank": 1,
        "floor": 0.3,
        "sign_draws": 5,
        "min_symbol_rows": 20,
        "clip_sigma": 3.0,
    }
    model = registry.create("low_rank", block, 5, 1)
    with pytest.raises(
        UserError, match=r"low_rank cannot be fitted: it does not weigh rows: set mo"
    ):
        model.fit(replace(train, weight=np.ones(len(train), np.float32)), None)
