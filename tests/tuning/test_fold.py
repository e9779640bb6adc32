"""Fold jobs: what is fitted and judged, against a slow plain computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training.rows import training_rows
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.fold import fold_skill, judged_rows, run_fold
from ranking_pipeline.tuning.study_plan import StudyPlan, fold_job

Frames = tuple[pd.DataFrame, pd.DataFrame]
N_TRAIN = 72  # bars of the train block: 60 % of 120


def test_the_folds_lie_in_the_train_block_and_are_purged(
    config: Callable[..., TuningConfig], study_plan: Callable[..., StudyPlan]
) -> None:
    plan = study_plan(config())
    # 72 bars, 30 % of them kept for the estimate: 50 in 3 blocks of 17, 17, 16
    spans = [(fold.first_bar, fold.last_bar, fold.known_by) for fold in plan.folds]
    assert spans == [(17, 33, 49), (34, 49, 49)]
    estimate = plan.estimate
    assert (estimate.first_bar, estimate.last_bar, estimate.known_by) == (50, 71, 71)
    for fold in (*plan.folds, estimate):
        rows = training_rows(replace(plan.base, window=fold.window))
        held_out = rows.held_out
        # the last fifth of 17 bars is as short as a label, so that none is known
        assert len(held_out) or fold.first_bar == 17
        assert rows.fit.label_end.max() < held_out.bars.min(initial=fold.first_bar)
        assert held_out.label_end.max(initial=0) < fold.first_bar
        judged = judged_rows(plan.base, fold)
        assert set(np.unique(judged.bars)) <= set(
            range(fold.first_bar, fold.last_bar + 1)
        )
        assert judged.label_end.max() <= min(fold.known_by, N_TRAIN - 1)


def test_the_skill_is_that_of_a_plain_computation(
    config: Callable[..., TuningConfig],
    study_plan: Callable[..., StudyPlan],
    panel: Panel,
    frames: Frames,
) -> None:
    settings = config()
    plan = study_plan(settings)
    fold = plan.folds[1]
    found = fold_skill(fold_job(plan, settings, "a", {"expected_r2": 0.2}, fold))

    rows = assemble(panel, *frames, "fwd_ret_2d", "regression", plan.base.features,
                    kind="raw")  # fmt: skip
    # known before bar 34; of those 34 bars the last fifth, 7, is held out
    fitted = np.isfinite(rows.target) & (rows.label_end < 34)
    ranked = learning_target(
        np.where(fitted, rows.target, np.nan), rows.bars, "regression", "cs_gauss"
    )
    learned = replace(rows, target=ranked).take(fitted & (rows.label_end < 27))
    model = registry.create(
        "ridge", {"expected_r2": 0.2, "clip_sigma": 3.0}, settings.seed, 1
    )
    model.fit(learned, None)
    score = model.predict(rows).score
    expected = []
    for bar in range(34, 50):
        here = (rows.bars == bar) & np.isfinite(rows.target) & (rows.label_end <= 49)
        enough = here.sum() >= settings.min_symbols
        expected.append(
            spearmanr(score[here], rows.target[here])[0] if enough else np.nan
        )
    assert np.isfinite(expected).sum() == 13  # three bars' labels are known too late
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("target", "task"), [("up", "binary"), ("touch", "three_class")]
)
def test_classes_are_judged_by_their_area(
    config: Callable[..., TuningConfig],
    study_plan: Callable[..., StudyPlan],
    target: str,
    task: str,
) -> None:
    settings = config(min_per_class=2)
    plan = study_plan(settings, target=target, task=task)
    fold = plan.folds[1]
    job = fold_job(plan, settings, "a", {}, fold)
    found = fold_skill(job)
    rows = training_rows(job.training)
    model = registry.create("ridge", plan.base.parameters, settings.seed, 1)
    model.fit(rows.fit, rows.held_out)
    scores = dict(
        zip(
            zip(rows.scored.bars, rows.scored.symbols, strict=True),
            model.predict(rows.scored).score,
            strict=True,
        )
    )
    judged = judged_rows(plan.base, fold)
    negative = 0 if task == "binary" else -1
    measured = 0
    for bar in range(fold.first_bar, fold.last_bar + 1):
        here = np.flatnonzero(judged.bars == bar)
        by_class: dict[int, list[float]] = {1: [], negative: []}
        for row in here:
            if int(judged.target[row]) in by_class:
                by_class[int(judged.target[row])].append(
                    scores[bar, judged.symbols[row]]
                )
        up, down = by_class[1], by_class[negative]
        if min(len(up), len(down)) < 2:
            assert np.isnan(found[bar - fold.first_bar])
            continue
        wins = [(a > b) + 0.5 * (a == b) for a in up for b in down]
        assert found[bar - fold.first_bar] == pytest.approx(2 * np.mean(wins) - 1)
        measured += 1
    assert measured > 5


def test_what_happens_after_the_train_block_changes_nothing(
    config: Callable[..., TuningConfig],
    study_plan: Callable[..., StudyPlan],
    panel: Panel,
    frames: Frames,
    tmp_path: Any,
) -> None:
    settings = config()
    plan = study_plan(settings, "lightgbm")
    features, labels = frames
    late = labels["fwd_ret_2d__end"] >= pd.Timestamp(
        panel.timestamps[N_TRAIN], tz="UTC"
    )
    later = features["timestamp"] >= pd.Timestamp(panel.timestamps[N_TRAIN], tz="UTC")
    assert late.any()
    changed_labels = labels.assign(
        fwd_ret_2d=labels["fwd_ret_2d"].where(~late, -99 * labels["fwd_ret_2d"])
    )
    changed_features = features.assign(
        alpha=features["alpha"].where(~later, np.float32(-7))
    )

    def store(frame: pd.DataFrame, name: str) -> TableHandle:
        write_table(frame, tmp_path / name)
        return TableHandle(str(tmp_path / name), sha256_file(tmp_path / name))

    other = replace(
        plan,
        base=replace(
            plan.base,
            labels_table=store(changed_labels, "other_labels.parquet"),
            features_table=store(changed_features, "other_features.parquet"),
        ),
    )
    for fold in (*plan.folds, plan.estimate):
        before, after = (
            fold_skill(fold_job(p, settings, "a", {}, fold)) for p in (plan, other)
        )
        assert np.isfinite(before).sum() > 5
        np.testing.assert_array_equal(before, after)
    assert plan.key(settings) != other.key(settings)
    assert Splits.from_dict(plan.base.splits).train.last_bar == N_TRAIN - 1


def test_the_estimate_reaches_no_fold(
    config: Callable[..., TuningConfig],
    study_plan: Callable[..., StudyPlan],
    panel: Panel,
    frames: Frames,
    tmp_path: Any,
) -> None:
    settings = config()
    plan = study_plan(settings, "lightgbm")
    _, labels = frames
    first = pd.Timestamp(panel.timestamps[plan.estimate.first_bar], tz="UTC")
    late = labels["fwd_ret_2d__end"] >= first
    write_table(
        labels.assign(fwd_ret_2d=labels["fwd_ret_2d"].where(~late, np.float32(0.5))),
        tmp_path / "other.parquet",
    )
    handle = TableHandle(
        str(tmp_path / "other.parquet"), sha256_file(tmp_path / "other.parquet")
    )
    other = replace(plan, base=replace(plan.base, labels_table=handle))
    for fold in plan.folds:
        found = [
            fold_skill(fold_job(p, settings, "a", {}, fold)) for p in (plan, other)
        ]
        np.testing.assert_array_equal(*found)


def test_a_finished_fold_is_not_fitted_again(
    config: Callable[..., TuningConfig], study_plan: Callable[..., StudyPlan]
) -> None:
    settings = config()
    plan = study_plan(settings)
    job = fold_job(plan, settings, "a", {"expected_r2": 0.2}, plan.folds[0])
    first = run_fold(job)
    again = run_fold(replace(job, job_id="b"))
    assert (first["reused"], again["reused"]) == (False, True)
    assert first["skill"] == again["skill"]
    other = fold_job(plan, settings, "a", {"expected_r2": 0.3}, plan.folds[0])
    assert not run_fold(other)["reused"]
