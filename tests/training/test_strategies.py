"""Strategies: several targets in one network, or one after the other, as whole flows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.training.conftest import row

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models.promotion import Candidate, promote
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training import facts, out_of_fold
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.training.ensembles import ensembles
from ranking_pipeline.training.fit import Trained, run_training_job, train
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.routed import collect_routed
from ranking_pipeline.training.rows import training_rows

Make = Callable[..., list[TrainingJob]]
Settings = Callable[..., ModelTrainingConfig]
How = Callable[..., JobsConfig]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]


def _trained(jobs: list[TrainingJob], how: JobsConfig) -> list[Trained]:
    return [
        train([job for job in jobs if job.stage == stage], stage, how)
        for stage in ("cpu", "gpu")
    ]


def _flow(
    jobs: list[TrainingJob], config: ModelTrainingConfig, how: JobsConfig
) -> Tables:
    """What the pipeline does with a list of jobs."""
    ended = [row for made in _trained(jobs, how) for row in made.outcomes]
    models, predictions, outcomes = collect_routed(
        jobs, ended, {"targets": {}}, on_error=config.on_error
    )
    made = ensembles(jobs, ended, models, predictions, config.ensembles)
    return made.models, made.predictions, outcomes, made.weights


def _scores(predictions: pd.DataFrame, model_id: str) -> pd.Series:
    own = predictions[predictions["model_id"] == model_id]
    return own.set_index(["timestamp", "symbol"])["score"]


def _of(jobs: list[TrainingJob], model_id: str) -> TrainingJob:
    return next(job for job in jobs if job.model_id == model_id)


def test_a_single_task_without_ensembles_is_the_plan_alone(
    planned: Make, training: Settings
) -> None:
    jobs = planned(training())
    assert len(jobs) == 6
    assert all(not (j.helpers or j.sources or j.purged_by or j.fold) for j in jobs)


def test_multi_task_makes_one_network_and_one_row_per_target(
    planned: Make,
    training: Settings,
    how: How,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    config = training(strategy="multi_task")
    with caplog.at_level(logging.INFO):
        jobs = planned(config)
    assert (
        "1 network in the place of 4 pooled regressions (lightgbm, ridge); 2 other models"
    ) in caplog.text
    assert [job.job_id for job in jobs] == [
        "cs_up:ridge",
        "sym_fwd_ret_2d_S01:ridge",
        "cs_fwd_ret_2d:multi_task",
    ]
    shared = jobs[-1]
    assert (shared.stage, shared.helpers) == ("gpu", ("fwd_ret_5d",))
    assert shared.features == ("alpha", "beta", "noise")
    models, predictions, outcomes, _ = _flow(jobs, config, how())
    assert list(outcomes["status"]) == ["done"] * 3
    pooled = models[models["family"] == "multi_task"]
    assert (
        list(pooled["model_id"])
        == [
            "multi_task:fwd_ret_2d",
            "multi_task:fwd_ret_5d",
            "multi_task+ridge:fwd_ret_2d:routed",
        ][:2]
    )
    assert set(pooled["route"]) == {"cross_sectional"}
    assert pooled["sha256"].nunique() == 1
    store = ModelStore(Path(shared.store_root))
    model: Any = store.load_model(shared.key)
    scored = training_rows(shared).scored
    heads = model.heads(scored)
    for target, column in zip(("fwd_ret_2d", "fwd_ret_5d"), heads.T, strict=True):
        got = _scores(predictions, f"multi_task:{target}")
        np.testing.assert_array_equal(got.to_numpy(), column)
    assert not np.array_equal(heads[:, 0], heads[:, 1])
    for target, column in zip(("fwd_ret_2d", "fwd_ret_5d"), heads.T, strict=True):
        version = promote(
            _promotable(target, shared.key), store, tmp_path / "production", target
        )
        np.testing.assert_array_equal(version.score(scored), column)


def _promotable(target: str, key: str) -> Candidate:
    part = {"model_id": f"multi_task:{target}", "key": key, "target": target}
    return Candidate(part["model_id"], target, "cross_sectional", [part], None, {}, {})


def test_multi_task_rows_are_aligned_and_known_with_the_latest_label(
    planned: Make, training: Settings
) -> None:
    shared = planned(training(strategy="multi_task"))[-1]
    singles = [
        training_rows(_of(planned(training()), f"ridge:{target}"))
        for target in ("fwd_ret_2d", "fwd_ret_5d")
    ]
    rows = training_rows(shared)
    last = Splits.from_dict(shared.splits).train.last_bar
    assert rows.fit.bars.max() == last - 6  # the longer label ends 6 bars later
    assert singles[0].fit.bars.max() == last - 3
    for block in ("fit", "held_out"):
        mine, far = getattr(rows, block), getattr(singles[1], block)
        near = getattr(singles[0], block)
        np.testing.assert_array_equal(mine.bars, far.bars)
        np.testing.assert_array_equal(mine.symbols, far.symbols)
        np.testing.assert_array_equal(mine.auxiliary[:, 0], far.target)
        known = dict(
            zip(zip(near.bars, near.symbols, strict=True), near.target, strict=True)
        )
        cells = zip(mine.bars, mine.symbols, strict=True)
        np.testing.assert_array_equal(mine.target, [known[cell] for cell in cells])


def test_each_head_has_a_calibration_of_its_own(
    planned: Make, training: Settings
) -> None:
    """On the fitted rows, of which there are enough; a head that says half of it."""
    shared = planned(training(strategy="multi_task"))[-1]
    rows = training_rows(shared).fit
    assert rows.auxiliary is not None
    noise = np.random.default_rng(3).standard_normal(len(rows)) / 100
    told = np.column_stack([rows.target, rows.auxiliary[:, 0] / 2 + noise])

    class Half:
        def heads(self, rows: Any) -> Any:
            return told

    model: Any = Half()
    found = facts.helper_calibration(shared, model, rows)["fwd_ret_5d"]
    assert found is not None
    assert found[0] == pytest.approx(2, abs=0.02)
    assert facts.helper_calibration(shared, model, rows.take(rows.bars < 0)) == {
        "fwd_ret_5d": None
    }


def test_too_few_targets_for_a_strategy_are_told(
    planned: Make, training: Settings
) -> None:
    plan = [row("fwd_ret_2d", None, "lightgbm", "ridge")]
    match = "multi_task needs two or more pooled regressions, .*has: fwd_ret_2d"
    with pytest.raises(UserError, match=match):
        planned(training(strategy="multi_task"), plan)
    with pytest.raises(UserError, match="cascade needs two or more pooled targets"):
        planned(training(strategy="cascade"), plan)


def test_a_cascade_gets_scores_out_of_fold_and_then_the_models_own(
    planned: Make, training: Settings, how: How
) -> None:
    config = training(strategy="cascade")
    jobs = planned(config)
    kinds = [(job.fold is not None, len(job.sources)) for job in jobs]
    # ridge: three targets; lightgbm: two; one model of a symbol; three folds for each
    assert [kinds.count(kind) for kind in ((False, 0), (True, 0))] == [3, 6]
    assert [kinds.count(kind) for kind in ((False, 1), (False, 2))] == [2, 1]
    assert kinds.count((True, 1)) == 3
    models, predictions, outcomes, _ = _flow(jobs, config, how())
    assert set(outcomes["status"]) == {"done"}
    assert len(outcomes) == len(jobs) == 15
    last = _of(jobs, "ridge:up:cascade")
    assert last.inputs[-2:] == ("score__fwd_ret_2d", "score__fwd_ret_5d")
    parts = models.set_index("model_id")["parts"]
    assert json.loads(parts["ridge:up:cascade"]) == [
        "ridge:up:cascade",
        "ridge:fwd_ret_2d:cascade",
        "ridge:fwd_ret_5d:cascade",
    ]
    assert parts["ridge:fwd_ret_2d:cascade"] == ""
    rows = training_rows(replace(last, feature_scale="raw"))
    store = ModelStore(Path(last.store_root))
    folds = pd.concat(
        store.read_predictions(job.key)
        for job in jobs
        if job.model_id.startswith("ridge:fwd_ret_5d:cascade:fold")
    ).set_index(["timestamp", "symbol"])["score"]
    later = _scores(predictions, "ridge:fwd_ret_5d:cascade")
    for block, wanted in ((rows.fit, folds), (rows.held_out, later)):
        got = block.features[:, -1]
        stamps = pd.DatetimeIndex(block.panel.timestamps[block.bars], tz="UTC")
        names = np.array(block.panel.symbols)[block.symbols]
        keys = pd.MultiIndex.from_arrays([stamps, names])
        wanted.index = wanted.index.set_levels(
            wanted.index.levels[1].astype("str"), level=1
        )
        np.testing.assert_array_equal(got, wanted.loc[keys].to_numpy())


def _reacts(
    planned: Make, config: ModelTrainingConfig, labels: TableHandle, tmp_path: Path
) -> bool:
    """Whether a label of one fold changes the factor on the rows of that fold."""

    def factor(table: TableHandle, store: str) -> np.ndarray[Any, Any]:
        jobs = planned(config, None, table, str(tmp_path / store))
        second = _of(jobs, "ridge:fwd_ret_5d:cascade")
        for job in jobs:
            if job.family == "ridge" and job.target == "fwd_ret_2d":
                run_training_job(job)
        rows = training_rows(second).fit
        return np.asarray(rows.features[(rows.bars >= 24) & (rows.bars <= 47), -1])

    spoilt = labels.read()
    bars = (spoilt["timestamp"] - spoilt["timestamp"].min()).dt.days
    inside = ((bars >= 24) & (bars <= 47)).to_numpy()
    assert inside.any()
    spoilt.loc[inside, "fwd_ret_2d"] *= -5
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "spoilt.parquet"
    write_table(spoilt, path)
    handle = TableHandle(str(path), sha256_file(path))
    before, after = factor(labels, "before"), factor(handle, "after")
    return not np.array_equal(before, after)


def test_a_factor_of_a_cascade_never_comes_from_its_own_row(
    planned: Make,
    training: Settings,
    labels: TableHandle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The train block has 72 bars, so that the second of three folds is 24 to 47."""
    config = training(strategy="cascade")
    assert not _reacts(planned, config, labels, tmp_path)

    def leaking(
        self: Any, bars: Any, label_end: Any, known: Any, embargo_bars: int
    ) -> Any:
        blocks = np.array_split(np.unique(bars), self.n_folds)
        scored = np.flatnonzero(np.isin(bars, blocks[self.number - 1]))
        rows = np.flatnonzero(known)
        return rows, rows[:0], scored

    monkeypatch.setattr(out_of_fold.Fold, "parted", leaking)
    assert _reacts(planned, config, labels, tmp_path / "leak")


def test_a_failed_source_fails_what_needs_it(
    planned: Make, training: Settings, how: How
) -> None:
    config = training(strategy="cascade", on_error="record")
    jobs = [job for job in planned(config) if ":fold2" not in job.job_id]
    models, _, outcomes, _ = _flow(jobs, config, how())
    failed = outcomes[outcomes["status"] == "failed"]
    assert set(failed["target"]) == {"fwd_ret_5d", "up"}
    assert failed["error"].str.contains("is not in the model store").all()
    assert "ridge:fwd_ret_2d:cascade" in set(models["model_id"])


def test_refits_and_a_cascade_do_not_go_together(
    planned: Make, training: Settings
) -> None:
    dates = ("2020-01-01", "2020-03-10", "2020-03-20", "2020-04-20")
    names = ("train_start", "train_end", "predict_start", "predict_end")
    window = dict(zip(names, (f"{day}T00:00:00+00:00" for day in dates), strict=True))
    plan = [
        row(target, None, "ridge") | window | {"window": 1}
        for target in ("fwd_ret_2d", "fwd_ret_5d")
    ]
    walk_forward = training().walk_forward.model_copy(update={"refit_months": 1})
    config = training(strategy="cascade", walk_forward=walk_forward)
    with pytest.raises(UserError, match=r"cascade needs .*refit_months null"):
        planned(config.model_copy(update={"families": ("ridge",)}), plan)
    shared = planned(
        config.model_copy(update={"families": ("ridge",), "strategy": "multi_task"}),
        plan,
    )
    rows = training_rows(shared[0])
    assert rows.fit.auxiliary is not None
    assert np.isfinite(rows.fit.auxiliary).any()
    assert rows.fit.label_end.max() < rows.held_out.bars.min()


@pytest.mark.parametrize(
    "strategy", ["cascade", pytest.param("multi_task", marks=pytest.mark.slow)]
)
def test_a_second_run_reuses_all_and_engines_agree(
    strategy: str, planned: Make, training: Settings, how: How, tmp_path: Path
) -> None:
    config = training(strategy=strategy, families=("ridge",))

    def run(store: str, **changes: Any) -> tuple[list[Any], int]:
        plan = [
            row("fwd_ret_2d", None, "ridge"),
            row("fwd_ret_5d", None, "ridge"),
            row("up", None, "ridge"),
        ]
        jobs = planned(config, plan, store=str(tmp_path / store))
        fan_out = how(store=str(tmp_path / store), **changes)
        ended = _trained(jobs, fan_out)
        made_by = [
            (one["job_id"], one["value"]["sha256"])
            for made in ended
            for one in made.outcomes
        ]
        assert len(made_by) == len(jobs)
        return made_by, sum(made.costs.n_cached for made in ended)

    first, cached = run("one")
    again, all_cached = run("one")
    assert (cached, all_cached) == (0, len(first))
    assert again == first
    assert run("two", engine="loky", workers=2)[0] == first
