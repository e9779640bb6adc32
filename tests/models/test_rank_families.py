"""Boosted ranking trees: queries, grades, the metric that stops, scale and files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.rank_metric import MeanRankIC
from ranking_pipeline.models.rank_queries import Queries, grades
from ranking_pipeline.models.rank_scale import ScoreScale
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.training.fit import TrainingJob, run_training_job

Make = Callable[[str], tuple[Samples, Samples, Samples]]
SHARED: dict[str, Any] = {
    "n_rounds": 30,
    "learning_rate": 0.1,
    "min_rows_per_leaf": 20,
    "row_share": 0.7,
    "feature_share": 0.7,
    "l2": 1.0,
    "max_bins": 32,
    "patience_rounds": 10,
    "n_grades": 8,
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "lightgbm_rank": SHARED
    | {"max_leaves": 8, "max_depth": None, "l1": 0.0, "objective": "lambdarank"},
    "xgboost_rank": SHARED
    | {"max_depth": 3, "objective": "pairwise", "pairs_per_name": None},
}
VARIANTS = [
    ("lightgbm_rank", {}),
    ("lightgbm_rank", {"objective": "rank_xendcg"}),
    ("xgboost_rank", {}),
    ("xgboost_rank", {"objective": "ndcg"}),
    ("xgboost_rank", {"pairs_per_name": 4}),
]
EACH = pytest.mark.parametrize(("family", "changes"), VARIANTS)
FAMILY = pytest.mark.parametrize("family", list(PARAMETERS))


def made(family: str, *, seed: int = 5, threads: int = 1, **changes: Any) -> BaseModel:
    return registry.create(family, PARAMETERS[family] | changes, seed, threads)


def written(model: BaseModel, folder: Path) -> dict[str, str]:
    folder.mkdir()
    model.save(folder)
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def rank_ic(model: BaseModel, rows: Samples) -> float:
    known = rows.labelled()
    return MeanRankIC(known.target, known.bars)(model.predict(known).score)


def per_bar(rows: Samples, seed: int = 0) -> Samples:
    """Add to each target a large number that its whole bar shares."""
    shift = np.random.default_rng(seed).normal(0, 50, rows.panel.n_bars)
    return replace(rows, target=(rows.target + shift[rows.bars]).astype(np.float32))


@EACH
def test_the_planted_order_is_found(
    family: str, changes: dict[str, Any], samples: Make
) -> None:
    train, validation, later = samples("regression")
    model = made(family, **changes)
    model.fit(train, validation)
    assert rank_ic(model, later) > 0.35
    importance = model.importance()
    assert importance is not None
    assert importance.sum() == pytest.approx(1)
    assert importance.argmax() == 0
    assert importance[3] == 0  # the constant column


@EACH
def test_the_level_of_a_bar_says_nothing(
    family: str, changes: dict[str, Any], samples: Make
) -> None:
    train, validation, later = samples("regression")
    plain, shifted = made(family, **changes), made(family, **changes)
    plain.fit(train, validation)
    shifted.fit(per_bar(train), per_bar(validation))
    scores = [model.predict(later).score for model in (plain, shifted)]
    orders = [np.lexsort((np.round(score, 3), later.bars)) for score in scores]
    assert np.corrcoef(scores[0], scores[1])[0, 1] > 0.999
    assert np.mean(orders[0] == orders[1]) > 0.5


@FAMILY
def test_wrong_groups_do_not_find_the_order(
    family: str, samples: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation: with groups that cut across bars the levels of bars drown the order."""
    train, _, later = samples("regression")
    train = per_bar(train)
    right = made(family)
    right.fit(train, None)
    build: Any = Queries.build.__func__  # type: ignore[attr-defined]

    def shuffled(cls: Any, rows: Samples, n_grades: int) -> Queries:
        mixed = np.random.default_rng(1).permutation(len(rows))
        torn = replace(
            rows,
            features=rows.features[mixed],
            target=rows.target[mixed],
        )
        found: Queries = build(cls, torn, n_grades)
        return found

    monkeypatch.setattr(Queries, "build", classmethod(shuffled))
    wrong = made(family)
    wrong.fit(train, None)
    assert rank_ic(right, later) > 0.35
    assert abs(rank_ic(wrong, later)) < 0.25


def test_queries_are_bars_with_company(samples: Make) -> None:
    train, _, _ = samples("regression")
    alone = (train.bars == 7) & (train.symbols != train.symbols[train.bars == 7][0])
    queries = Queries.build(train.take(~alone), 8)
    counts = np.bincount(train.bars)
    counts[7] = 0
    np.testing.assert_array_equal(queries.sizes, counts[counts > 1])
    assert queries.sizes.sum() == len(queries.rows) == len(queries.grades)
    assert 7 not in queries.rows.bars
    starts = np.r_[0, np.cumsum(queries.sizes)[:-1]]
    for start, size in zip(starts, queries.sizes, strict=True):
        assert len(set(queries.rows.bars[start : start + size])) == 1


def test_unsorted_rows_are_refused(samples: Make) -> None:
    train, _, _ = samples("regression")
    with pytest.raises(UserError, match="not sorted by bar"):
        Queries.build(train.take(np.arange(len(train))[::-1]), 8)


def test_grades_by_hand() -> None:
    target = np.array([0.3, -1.0, 2.0, 0.3, 9.0, 8.0])
    bars = np.array([0, 0, 0, 0, 1, 1])
    # Ranks 2.5, 1, 4, 2.5 of four, then 2 and 1 of two; floor(4 (r - 1/2) / n).
    np.testing.assert_array_equal(grades(target, bars, 4), [2, 0, 3, 2, 3, 1])
    assert grades(target[:0], bars[:0], 4).shape == (0,)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=30), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_grades_follow_the_targets(values: list[int], n_grades: int) -> None:
    target = np.array(values, dtype=np.float32)
    found = grades(target, np.zeros(len(target), dtype=np.intp), n_grades)
    assert found.min() >= 0
    assert found.max() < n_grades
    order = np.argsort(target, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert len(set(found[target == target[0]])) == 1


def test_the_metric_is_the_mean_of_spearmans_correlations() -> None:
    rng = np.random.default_rng(2)
    bars = np.sort(rng.integers(0, 12, 200))
    target, scores = rng.integers(0, 9, 200), rng.integers(0, 9, 200)
    target[bars == 3] = 4  # no order: left out
    scores[bars == 5] = 1  # no opinion: counts as zero
    expected = []
    for bar in np.unique(bars[bars != 3]):
        inside = bars == bar
        found = 0.0
        if bar != 5:
            found = float(spearmanr(scores[inside], target[inside]).statistic)
        expected.append(found)
    metric = MeanRankIC(target.astype(float), bars)
    assert metric.n_bars == len(expected)
    assert metric(scores.astype(float)) == pytest.approx(np.mean(expected), abs=1e-12)
    shuffled = rng.permutation(200)
    again = MeanRankIC(target[shuffled].astype(float), bars[shuffled])
    assert again(scores[shuffled].astype(float)) == pytest.approx(
        np.mean(expected), abs=1e-12
    )
    assert np.isnan(MeanRankIC(np.ones(3), np.zeros(3, dtype=int))(np.arange(3.0)))


def test_the_scale_is_least_squares_within_bars() -> None:
    rng = np.random.default_rng(3)
    bars = np.repeat(np.arange(20), 10)
    raw = rng.normal(size=200)
    level = rng.normal(0, 30, 20)[bars]
    target = 0.02 * raw + level
    scale = ScoreScale.fit(raw, target, bars)
    assert scale.slope == pytest.approx(0.02)
    assert scale.apply(raw).mean() == pytest.approx(target.mean())
    assert ScoreScale.fit(raw, -target, bars).slope == pytest.approx(2e-5)
    assert ScoreScale.fit(np.ones(200), target, bars).slope == 1.0
    assert ScoreScale.fit(raw, np.ones(200), bars).slope > 0
    assert np.isnan(scale.apply(np.array([np.nan]))).all()


@EACH
def test_scores_come_on_the_scale_of_the_target(
    family: str, changes: dict[str, Any], samples: Make
) -> None:
    train, _, _ = samples("regression")
    percent = replace(train, target=(train.target / 100 + 3).astype(np.float32))
    model, small = made(family, **changes), made(family, **changes)
    model.fit(train, None)
    small.fit(percent, None)
    score = model.predict(train).score.astype(float)
    rows = Queries.build(train, 8).rows
    assert ScoreScale.fit(score, rows.target, rows.bars).slope == pytest.approx(
        1, rel=1e-4
    )
    np.testing.assert_allclose((small.predict(train).score - 3) * 100, score, atol=1e-3)


@EACH
def test_a_loaded_model_predicts_the_same_bits(
    family: str, changes: dict[str, Any], samples: Make, tmp_path: Path
) -> None:
    train, validation, later = samples("regression")
    model = made(family, **changes)
    model.fit(train, validation)
    model.save(tmp_path)
    loaded = type(model).load(tmp_path, model.config, seed=5, threads=2)
    np.testing.assert_array_equal(
        model.predict(later).score, loaded.predict(later).score
    )
    np.testing.assert_array_equal(model.importance(), loaded.importance())
    np.testing.assert_array_equal(
        model.contributions(later), loaded.contributions(later)
    )
    assert loaded.history() == []


@EACH
def test_seed_fixes_the_bytes_and_threads_change_none(
    family: str, changes: dict[str, Any], samples: Make, tmp_path: Path
) -> None:
    train, validation, _ = samples("regression")
    files = []
    for place, (seed, threads) in enumerate([(5, 1), (5, 2), (6, 1)]):
        model = made(family, seed=seed, threads=threads, **changes)
        model.fit(train, validation)
        files.append(written(model, tmp_path / str(place)))
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert "scale.json" in files[0]


@FAMILY
def test_the_files_hold_nothing_of_the_validation(
    family: str, samples: Make, tmp_path: Path
) -> None:
    train, validation, _ = samples("regression")
    other = replace(validation, target=-3 * validation.target)
    files = []
    for name, rows in (("one", validation), ("other", other)):
        model = made(family, n_rounds=1)
        model.fit(train, rows)
        files.append(written(model, tmp_path / name))
    assert files[0] == files[1]


@FAMILY
def test_rounds_are_chosen_by_the_rank_ic(family: str, samples: Make) -> None:
    train, validation, _ = samples("regression")
    model = made(family, n_rounds=300, learning_rate=0.5)
    model.fit(train, validation)
    ics = [row["validation_rank_ic"] for row in model.history()]
    assert len(ics) < 300
    assert len(ics) - 1 - int(np.argmax(ics)) == SHARED["patience_rounds"]
    assert rank_ic(model, validation) == pytest.approx(max(ics), abs=1e-4)
    free = made(family)
    free.fit(train, None)
    assert free.history() == []


@FAMILY
def test_a_validation_without_order_stops_nothing(family: str, samples: Make) -> None:
    train, validation, later = samples("regression")
    first = np.unique(validation.bars, return_index=True)[1]
    lonely, tied = made(family), made(family)
    lonely.fit(train, validation.take(first))
    tied.fit(train, replace(validation, target=np.ones_like(validation.target)))
    free = made(family)
    free.fit(train, None)
    for model in (lonely, tied):
        np.testing.assert_array_equal(
            model.predict(later).score, free.predict(later).score
        )


@FAMILY
def test_bars_of_one_name_change_nothing(
    family: str, samples: Make, tmp_path: Path
) -> None:
    train, _, _ = samples("regression")
    bars, first = np.unique(train.bars, return_index=True)
    half = bars[::2]
    kept = ~np.isin(train.bars, half)
    alone = np.zeros(len(train), dtype=bool)
    alone[first] = True
    files = []
    for name, mask in (("with", kept | alone), ("without", kept)):
        model = made(family)
        model.fit(train.take(mask), None)
        files.append(written(model, tmp_path / name))
    assert files[0] == files[1]


@FAMILY
def test_one_symbol_is_refused(family: str, samples: Make) -> None:
    train, _, _ = samples("regression")
    with pytest.raises(UserError, match=r"no bar .* has two.*model_training.families"):
        made(family).fit(train.take(train.symbols == 3), None)


@FAMILY
def test_missing_features_get_a_finite_score(family: str, samples: Make) -> None:
    train, validation, later = samples("regression")
    model = made(family)
    model.fit(train, validation)
    unknown = replace(later, features=np.full_like(later.features, np.nan))
    assert np.isfinite(model.predict(unknown).score).all()
    assert np.isnan(train.features).any()


@FAMILY
def test_a_score_depends_on_its_row_alone(family: str, samples: Make) -> None:
    train, validation, later = samples("regression")
    model = made(family)
    model.fit(train, validation)
    some = np.arange(0, len(later), 7)
    blind = replace(later, target=np.full(len(later), np.nan, dtype=np.float32))
    score = model.predict(later).score
    np.testing.assert_array_equal(score[some], model.predict(later.take(some)).score)
    np.testing.assert_array_equal(score, model.predict(blind).score)


@EACH
def test_contributions_add_up_to_the_score(
    family: str, changes: dict[str, Any], samples: Make
) -> None:
    train, _, later = samples("regression")
    model = made(family, **changes)
    model.fit(train, None)
    shares = model.contributions(later)
    assert shares is not None
    assert shares.shape == later.features.shape
    rest = model.predict(later).score - shares.sum(axis=1)
    np.testing.assert_allclose(rest, rest.mean(), atol=1e-5)


@EACH
def test_a_smallest_leaf_is_counted_in_rows(
    family: str, changes: dict[str, Any], samples: Make
) -> None:
    train, _, _ = samples("regression")
    smallest = {}
    for least in (5, 10_000):
        model: Any = made(
            family,
            **{"min_rows_per_leaf": least, "l2": 0.0, "n_rounds": 1, "row_share": 1.0}
            | {"max_leaves" if "lightgbm" in family else "max_depth": 12}
            | changes,
        )
        model.fit(train, None)
        leaves = np.asarray(model._predict(train, pred_leaf=True)).ravel()
        smallest[least] = np.unique(leaves, return_counts=True)[1].min()
    # 10,000 is capped at a twentieth of the rows; XGBoost counts in Hessians, of which
    # rows have more or less.
    assert smallest[5] < 40
    assert smallest[10_000] >= 0.6 * (len(train) // 20)


@FAMILY
def test_a_penalty_shrinks_the_trees(family: str, samples: Make) -> None:
    train, _, later = samples("regression")
    spreads = []
    for l2 in (0.0, 1000.0):
        model: Any = made(family, l2=l2, n_rounds=3)
        model.fit(train, None)
        spreads.append(float(np.std(model._margin(later))))
    assert spreads[0] > 2 * spreads[1] > 0


@FAMILY
@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("grades", 4, "grades: unknown key"),
        ("objective", "map", "objective: 'map' given, must be"),
        ("n_grades", 1, "n_grades: 1 given, must be above 1"),
    ],
)
def test_parameters_are_typed_and_closed(
    family: str, key: str, value: Any, text: str
) -> None:
    with pytest.raises(UserError, match=text):
        made(family, **{key: value})


@FAMILY
def test_classes_are_refused(family: str, samples: Make) -> None:
    train, _, _ = samples("binary")
    with pytest.raises(UserError, match="task 'binary' is not one of"):
        made(family).fit(train, None)


def test_a_query_beyond_lightgbms_limit_is_refused(
    samples: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranking_pipeline.models.families import lightgbm_rank as lightgbm_rank_family

    monkeypatch.setattr(lightgbm_rank_family, "_LARGEST_QUERY", 10)
    train, _, _ = samples("regression")
    with pytest.raises(UserError, match=r"takes at most 10.*xgboost_rank"):
        made("lightgbm_rank").fit(train, None)


def test_gains_of_the_cross_entropy_are_linear_ones_rounded_down(
    samples: Make,
) -> None:
    train, _, _ = samples("regression")
    queries = Queries.build(train, 8)
    model: Any = made("lightgbm_rank", objective="rank_xendcg")
    gains = 2 ** model._relevance(queries)
    assert (gains <= 1 + queries.grades).all()
    assert (2 * gains > 1 + queries.grades).all()
    np.testing.assert_array_equal(
        made("lightgbm_rank")._relevance(queries),  # type: ignore[attr-defined]
        queries.grades,
    )


@FAMILY
def test_a_job_stores_a_model_that_predicts_the_same(
    family: str, job: Callable[..., TrainingJob], samples: Make
) -> None:
    made_job = job(family=family, parameters=PARAMETERS[family])
    result = run_training_job(made_job)
    store = ModelStore(Path(made_job.store_root))
    table = store.read_predictions(result["key"])
    model = store.load_model(result["key"])
    later = samples("regression")[2]
    known = table.set_index(["timestamp", "symbol"])["score"].to_dict()
    stamps = pd.DatetimeIndex(later.panel.timestamps[later.bars]).tz_localize("UTC")
    names = np.array(later.panel.symbols)[later.symbols]
    stored = [known[key] for key in zip(stamps, names, strict=True)]
    np.testing.assert_array_equal(model.predict(later).score, np.float32(stored))
    with pytest.raises(UserError, match="another family for single symbols"):
        run_training_job(replace(made_job, symbol="S03", route="symbol_specific"))


def test_prediction_before_a_fit_is_refused(samples: Make) -> None:
    _, _, later = samples("regression")
    with pytest.raises(UserError, match="not fitted"):
        made("lightgbm_rank").predict(later)
