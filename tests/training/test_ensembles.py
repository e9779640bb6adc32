"""Ensembles: weights by hand, scores by hand, and what is skipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from tests.training.conftest import row

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import BlockTest
from ranking_pipeline.evaluation.model_sections import training_section
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.training.config import EnsemblesConfig, ModelTrainingConfig
from ranking_pipeline.training.ensemble_weights import (
    Evidence,
    equal_weights,
    evidence,
    ic_weights,
    stacking_weights,
)
from ranking_pipeline.training.ensembles import Ensembles, ensembles
from ranking_pipeline.training.fit import train
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.routed import collect_routed
from ranking_pipeline.training.rows import labelled_train_rows

NAN = float("nan")
Floats = npt.NDArray[np.float64]
Samplers = Callable[[str], tuple[Samples, Samples, Samples]]
ALL = ("rank_average", "ic_weighted", "stacking")


def _of_ics(*ics: float) -> Evidence:
    tests = [BlockTest(ic, 0, 0, 0, 9, 10, 90, 0, 0) for ic in ics]
    return Evidence(np.empty((0, len(ics))), np.empty(0), tuple(tests))


def _of_ranks(ranks: list[list[float]], target: list[float]) -> Evidence:
    return Evidence(np.array(ranks), np.array(target), ())


def test_weights_by_ic_are_shares_of_the_positive_ones() -> None:
    weights = ic_weights(_of_ics(0.03, -0.02, 0.01, NAN))
    assert weights is not None
    np.testing.assert_allclose(weights, [0.75, 0, 0.25, 0])
    assert ic_weights(_of_ics(-0.01, 0.0, NAN)) is None
    np.testing.assert_allclose(equal_weights(4), 0.25)


def test_stacking_by_hand() -> None:
    """Orthogonal members: each coefficient is its own projection, at least 0."""
    ranks = [[0.75, 0.75, 0.75], [0.75, 0.25, 0.25], [0.25, 0.75, 0.25],
             [0.25, 0.25, 0.75]]  # fmt: skip
    # centred: x1 = (+,+,-,-)/4, x2 = (+,-,+,-)/4, x3 = (+,-,-,+)/4
    # x1'y/x1'x1 = 3, x2'y/x2'x2 = 1, x3'y/x3'x3 = -2
    target = [0.5, 1.0, 0.0, -1.5]
    weights = stacking_weights(_of_ranks(ranks, target))
    assert weights is not None
    np.testing.assert_allclose(weights, [0.75, 0.25, 0], atol=1e-12)
    assert stacking_weights(_of_ranks(ranks, [-0.1, -0.5, -0.5, 1.1])) is not None
    assert stacking_weights(_of_ranks([[0.6], [0.4]], [-1.0, 1.0])) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_stacking_meets_the_conditions_of_the_optimum(seed: int) -> None:
    """Karush, Kuhn and Tucker: no gain by more of a member, none lost where used."""
    random = np.random.default_rng(seed)
    ranks = random.random((60, 4))
    target = random.standard_normal(60)
    x = ranks - 0.5
    weights = stacking_weights(Evidence(ranks, target, ()))
    if weights is None:
        assert (x.T @ target <= 1e-9).all()
        return
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    fitted = x @ weights
    scale = (fitted @ target) / (fitted @ fitted)  # the sum that was taken out
    gradient = x.T @ (target - scale * fitted)
    assert (gradient <= 1e-8).all()
    np.testing.assert_allclose(gradient[weights > 1e-9], 0, atol=1e-8)


def test_evidence_is_measured_bar_by_bar(samples: Samplers) -> None:
    rows = samples("regression")[0]
    random = np.random.default_rng(2)
    first = rows.features[:, 0].copy()  # NaN in places
    second = random.standard_normal(len(rows)).astype(np.float32)
    found = evidence([first, second], rows)
    ics = []
    for bar in np.unique(rows.bars):
        here = rows.bars == bar
        score, known = first[here], np.isfinite(first[here])
        ranks = np.full(here.sum(), 0.5)
        ranks[known] = rankdata(score[known]) / (known.sum() + 1)
        np.testing.assert_allclose(found.ranks[here, 0], ranks)
        ics.append(spearmanr(ranks, rows.target[here]).statistic)
        centred = rows.target[here] - rows.target[here].mean(dtype=np.float64)
        np.testing.assert_allclose(found.target[here], centred, atol=1e-6)
    assert found.tests[0].mean == pytest.approx(np.mean(ics))
    assert found.tests[0].n_bars == len(ics)
    assert found.tests[0].block_bars == 10
    assert found.tests[0].mean > abs(found.tests[1].mean)


@pytest.fixture
def made(
    planned: Callable[..., list[TrainingJob]],
    training: Callable[..., ModelTrainingConfig],
    how: Callable[..., JobsConfig],
) -> Callable[..., tuple[list[TrainingJob], Ensembles, Any]]:
    """A whole flow with all ensembles; jobs that do not pass ``keep`` are failures."""

    def run(
        keep: Callable[[TrainingJob], bool] = lambda job: True, **changes: Any
    ) -> tuple[list[TrainingJob], Ensembles, Any]:
        config = training(ALL, on_error="record", **changes)
        jobs = planned(config)
        ended = train([job for job in jobs if keep(job)], "cpu", how()).outcomes
        ended += [
            {"job_id": job.job_id, "status": "failed", "error": "no", "value": None}
            for job in jobs
            if not keep(job)
        ]
        models, predictions, outcomes = collect_routed(
            jobs, ended, {"targets": {}}, on_error="record"
        )
        found = ensembles(jobs, ended, models, predictions, config.ensembles)
        return jobs, found, outcomes

    return run


def _wide(predictions: pd.DataFrame) -> pd.DataFrame:
    plain = predictions.astype({"model_id": "str", "symbol": "str"})
    return plain.pivot(
        index=["timestamp", "symbol"], columns="model_id", values="score"
    )


def test_each_target_has_its_ensembles_with_parts_and_weights(made: Any) -> None:
    _, found, outcomes = made()
    assert set(outcomes["status"]) == {"done"}
    models = found.models.set_index("model_id")
    names = {
        f"{method}:{target}"
        for method in ALL
        for target in ("fwd_ret_2d", "fwd_ret_5d")
    }
    assert set(models.index[models["route"] == "ensemble"]) == names
    # one member makes no ensemble
    assert "up" not in set(found.weights["target"])
    wide = _wide(found.predictions)
    weights = found.weights.set_index(["ensemble", "model_id"])
    members = ["lightgbm:fwd_ret_5d", "ridge:fwd_ret_5d"]
    ranks = wide[members].groupby("timestamp").rank()
    ranks = ranks / (wide[members].groupby("timestamp").transform("count") + 1)
    for method in ALL:
        name = f"{method}:fwd_ret_5d"
        assert json.loads(models.loc[name, "parts"]) == members
        told = json.loads(models.loc[name, "weights"])
        assert told == list(weights.loc[name].loc[members, "weight"])
        assert sum(told) == pytest.approx(1)
        np.testing.assert_allclose(wide[name], ranks @ np.array(told), atol=1e-6)
        assert models.loc[name, "path"] == ""
        assert models.loc[name, "n_rows"] == models.loc[members, "n_rows"].sum()
    assert (weights["oof_rank_ic"] > 0.2).all()  # the signal of this market is strong
    assert (weights["status"] == "done").all()
    text = str(training_section(outcomes, found.models, weights=found.weights).tables)
    assert "stacking:fwd_ret_5d" in text


def test_the_weights_are_those_of_the_folds_scores(made: Any) -> None:
    jobs, found, _ = made()
    own = [job for job in jobs if job.target == "fwd_ret_5d" and job.fold is not None]
    store = ModelStore(Path(own[0].store_root))
    rows = labelled_train_rows(own[0])
    stamps = pd.DatetimeIndex(rows.panel.timestamps[rows.bars], tz="UTC")
    keys = pd.MultiIndex.from_arrays(
        [stamps, np.array(rows.panel.symbols)[rows.symbols]]
    )
    scores = []
    for family in ("lightgbm", "ridge"):
        tables = [
            store.read_predictions(job.key).astype({"symbol": "str"})
            for job in own
            if job.family == family
        ]
        table = pd.concat(tables).set_index(["timestamp", "symbol"])["score"]
        scores.append(table.loc[keys].to_numpy())
    wanted = evidence(scores, rows)
    weights = found.weights[found.weights["target"] == "fwd_ret_5d"]
    for method, find in (("ic_weighted", ic_weights), ("stacking", stacking_weights)):
        told = weights.loc[weights["method"] == method, "weight"]
        np.testing.assert_array_equal(told, find(wanted))


def test_a_failed_fold_skips_what_needs_it_and_says_so(made: Any) -> None:
    def keep(job: TrainingJob) -> bool:
        return job.job_id != "cs_fwd_ret_2d:ridge:fold2"

    _, found, outcomes = made(keep)
    assert outcomes["status"].value_counts()["failed"] == 1
    skipped = found.weights[found.weights["status"] == "skipped"]
    assert set(skipped["ensemble"]) == {
        "ic_weighted:fwd_ret_2d",
        "stacking:fwd_ret_2d",
    }
    assert set(skipped["reason"]) == {"no scores out of fold of ridge:fwd_ret_2d"}
    assert skipped["weight"].isna().all()
    ids = set(found.models["model_id"])
    assert "rank_average:fwd_ret_2d" in ids
    assert "stacking:fwd_ret_5d" in ids
    assert not ids & set(skipped["ensemble"])


def test_families_limit_the_pool_and_seeds_part_it(made: Any) -> None:
    limited = EnsemblesConfig(methods=ALL, folds=3, families=("Ridge",))
    with pytest.raises(UserError, match=r"two or more families .*fwd_ret_2d: ridge; "):
        made(ensembles=limited)
    _, found, _ = made(
        seeds=(1, 2),
        ensembles=EnsemblesConfig(methods=("rank_average",), folds=3, families=()),
    )
    assert set(found.weights["ensemble"]) == {
        f"rank_average:{target}:seed{seed}"
        for target in ("fwd_ret_2d", "fwd_ret_5d")
        for seed in (1, 2)
    }


def test_a_missing_score_is_no_opinion(made: Any) -> None:
    """A member that lacks a cell counts there as the middle of the ranks."""
    jobs, found, _ = made()
    base = found.predictions[found.predictions["model_id"] == "ridge:fwd_ret_2d"]
    lost = base.index[base["symbol"] == "S03"]
    fewer = found.predictions.drop(index=lost).reset_index(drop=True)
    config = EnsemblesConfig(methods=("rank_average",), folds=3, families=())
    models = found.models[found.models["route"] != "ensemble"]
    fewer = fewer[fewer["model_id"].isin(list(models["model_id"]))]
    whole = [replace(job) for job in jobs if job.fold is None]
    again = ensembles(whole, [], models, fewer, config)
    wide = _wide(again.predictions)
    members = wide[["lightgbm:fwd_ret_2d", "ridge:fwd_ret_2d"]].dropna(how="all")
    ranks = members.groupby("timestamp").rank()
    ranks = (ranks / (members.groupby("timestamp").transform("count") + 1)).fillna(0.5)
    got = wide["rank_average:fwd_ret_2d"].reindex(members.index)
    np.testing.assert_allclose(got, ranks.mean(axis=1), atol=1e-6)
    assert members["ridge:fwd_ret_2d"].isna().any()
    alone = fewer[fewer["model_id"] != "ridge:fwd_ret_2d"]
    silent = _wide(ensembles(whole, [], models, alone, config).predictions)
    members = ranks.loc[silent.index, "lightgbm:fwd_ret_2d"]
    got = silent["rank_average:fwd_ret_2d"]
    np.testing.assert_allclose(got, (members + 0.5) / 2, atol=1e-6)


def test_refits_share_the_weights_measured_before_all_of_them(
    planned: Any, training: Any, how: Any
) -> None:
    """One set of folds per model, in the train block; each month has the same weights."""
    days = [
        ("2020-01-01", "2020-03-11", "2020-03-13", "2020-03-31"),
        ("2020-01-01", "2020-03-29", "2020-04-01", "2020-04-29"),
    ]
    names = ("train_start", "train_end", "predict_start", "predict_end")
    plan = [
        row("fwd_ret_2d", None, "lightgbm", "ridge")
        | dict(zip(names, (f"{day}T00:00:00+00:00" for day in dates), strict=True))
        | {"window": number, "job_id": f"cs_fwd_ret_2d_w{number:03d}"}
        for number, dates in enumerate(days, start=1)
    ]
    walk_forward = training().walk_forward.model_copy(update={"refit_months": 1})
    config = training(("ic_weighted",), walk_forward=walk_forward)
    jobs = planned(config, plan)
    folds = [job for job in jobs if job.fold is not None]
    assert len(jobs) - len(folds) == 4
    assert len(folds) == 6
    assert all(job.window is None for job in folds)
    ended = train(jobs, "cpu", how()).outcomes
    models, predictions, _ = collect_routed(
        jobs, ended, {"targets": {}}, on_error="raise"
    )
    found = ensembles(jobs, ended, models, predictions, config.ensembles)
    (made,) = [one for _, one in found.models.iterrows() if one["route"] == "ensemble"]
    assert json.loads(made["parts"]) == ["lightgbm:fwd_ret_2d", "ridge:fwd_ret_2d"]
    wide = _wide(found.predictions)
    assert wide["ic_weighted:fwd_ret_2d"].notna().sum() == len(wide)
    assert made["predict_first"] < made["predict_last"]
