"""Walk-forward training: no model knows the months that it predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models import registry
from ranking_pipeline.models.store import PREDICTIONS, ModelStore
from ranking_pipeline.panel import Panel
from ranking_pipeline.routing.unplanned import plan_everything
from ranking_pipeline.storage import (
    PanelHandle,
    TableHandle,
    sha256_file,
    write_panel,
    write_table,
)
from ranking_pipeline.training.config import (
    EnsemblesConfig,
    ModelTrainingConfig,
    WalkForwardConfig,
)
from ranking_pipeline.training.fit import run_training_job, train
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.routed import collect_routed
from ranking_pipeline.training.rows import training_rows
from ranking_pipeline.training.window import Window

Make = Callable[..., TrainingJob]
Frames = tuple[pd.DataFrame, pd.DataFrame]
NETWORK: dict[str, Any] = {
    "hidden": 4, "layers": 1, "dropout": 0.1, "regression_loss": "huber",
    "loss_parameters": {}, "epochs": 2, "timestamps_per_batch": 16,
    "learning_rate": 0.01, "weight_decay": 0.01, "gradient_clip": 1.0, "patience": 2,
    "min_delta": 0.0, "device": "cpu",
}  # fmt: skip
BLOCKS = {
    "mlp": {**NETWORK, "clip_sigma": 3.0},
    "gru": {**NETWORK, "sequence_length": 4, "normalization": "log_returns"},
}
# 120 days from 1 January 2020; validation begins at bar 72, 13 March
MARCH, APRIL = 72, 91


def stamp(bar: int) -> str:
    return (pd.Timestamp("2020-01-01", tz="UTC") + pd.Timedelta(days=bar)).isoformat()


def window(first: int = APRIL, last: int = 119, **changes: Any) -> Window:
    made = Window(
        number=2,
        train_start=stamp(0),
        train_end=stamp(first - 1),
        predict_start=stamp(first),
        predict_end=stamp(last),
        validation_share=0.2,
        min_rows=50,
    )
    return replace(made, **changes)


@pytest.fixture
def spoil(
    tmp_path: Path, panel: Panel, frames: Frames
) -> Callable[[TrainingJob, int], TrainingJob]:
    """The same job on tables in which everything from a bar on is another."""

    def change(made: TrainingJob, bar: int) -> TrainingJob:
        random = np.random.default_rng(9)
        day = pd.Timestamp(stamp(bar))
        features, labels = (frame.copy() for frame in frames)
        late = (features["timestamp"] >= day).to_numpy()
        names = [name for name in features if name not in ("timestamp", "symbol")]
        noise = random.normal(5, 3, (int(late.sum()), len(names)))
        features.loc[late, names] = noise.astype(np.float32)
        target = made.target
        known_late = (labels[f"{target}__end"] >= day).to_numpy()
        drawn = random.choice([-1.0, 0.0, 1.0], known_late.sum())
        labels.loc[known_late, target] = drawn.astype(np.float32)
        values = panel.values.copy()
        values[:, bar:] = random.random(values[:, bar:].shape) * 50 + 1
        tradable = panel.tradable.copy()
        values[~tradable] = np.nan
        folder = tmp_path / "spoilt"
        folder.mkdir(exist_ok=True)
        write_panel(replace(panel, values=values), folder / "panel.safetensors")
        write_table(features, folder / "features.parquet")
        write_table(labels, folder / "labels.parquet")
        return replace(
            made,
            panel=_handle(PanelHandle, folder / "panel.safetensors"),
            features_table=_handle(TableHandle, folder / "features.parquet"),
            labels_table=_handle(TableHandle, folder / "labels.parquet"),
        )

    return change


def _handle(kind: Any, path: Path) -> Any:
    return kind(str(path), sha256_file(path))


def _files(made: TrainingJob, key: str) -> dict[str, str]:
    """Digests of the fitted model; what it predicts may differ."""
    files = ModelStore(Path(made.store_root)).verified(key).files
    return {name: digest for name, digest in files.items() if name != PREDICTIONS}


FAMILIES = ["lightgbm", "xgboost", "random_forest", "ridge", "mlp", "gru"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", ["raw", "rank"])
def test_what_comes_after_its_training_does_not_move_a_model(
    job: Make, spoil: Callable[..., TrainingJob], family: str, scale: str
) -> None:
    embargo = 2
    made = job(
        family=family,
        window=window(train_end=stamp(APRIL - 1 - embargo)),
        feature_scale=scale,
        stage=registry.listing(family).device,
        **({"parameters": BLOCKS[family]} if family in BLOCKS else {}),
    )
    made = replace(made, splits={**made.splits, "embargo_bars": embargo})
    other = spoil(made, APRIL - embargo)
    results = [run_training_job(made), run_training_job(other)]
    assert results[0]["key"] != results[1]["key"]
    files = [_files(made, result["key"]) for result in results]
    assert files[0] == files[1]
    assert files[0]
    assert results[0]["sha256"] != results[1]["sha256"]
    assert results[0]["calibration"] == results[1]["calibration"]
    # and one bar earlier it does: the rows held out, or those fitted, are others
    third = run_training_job(spoil(made, APRIL - 30))
    assert _files(made, third["key"]) != files[0]


@pytest.mark.parametrize("task", ["binary", "three_class"])
def test_classes_too(job: Make, spoil: Callable[..., TrainingJob], task: str) -> None:
    target = {"binary": "up", "three_class": "touch"}[task]
    made = job(target=target, task=task, window=window())
    other = spoil(made, APRIL)
    if task == "binary":
        # spoilt classes are -1, 0 and 1; only the future holds them
        assert other.labels_table != made.labels_table
    files = [_files(made, run_training_job(j)["key"]) for j in (made, other)]
    assert files[0] == files[1]


def test_rows_of_a_window(job: Make) -> None:
    rows = training_rows(job(window=window(APRIL, 100)))
    assert (rows.fit.label_end < 91 - 18).all()
    assert rows.held_out.bars.min() == 91 - 18  # a fifth of 91 bars
    assert rows.held_out.label_end.max() == 90
    assert set(rows.scored.bars) == set(range(91, 101))
    # the last three months: bars from 60 on
    rows = training_rows(job(window=window(APRIL, 100, train_start=stamp(60))))
    assert rows.fit.bars.min() == 60
    without = training_rows(job(window=window(APRIL, 100, validation_share=0.0)))
    assert len(without.held_out) == 0
    assert without.fit.label_end.max() == 90


def test_labels_known_too_late_take_no_part_in_their_cross_section(
    job: Make, tmp_path: Path, frames: Frames
) -> None:
    """Half of a bar's labels end later: the others are ranked without them."""
    features, labels = frames
    day = pd.Timestamp(stamp(80))
    late = (labels["timestamp"] == day) & (labels["symbol"] > "S09")
    changed = labels.copy()
    changed.loc[late, "fwd_ret_2d__end"] = pd.Timestamp(stamp(110))
    del features
    write_table(changed, tmp_path / "late.parquet")
    handle = _handle(TableHandle, tmp_path / "late.parquet")
    rows = training_rows(job(window=window(), labels_table=handle))
    learned = rows.held_out.take(rows.held_out.bars == 80)
    assert set(learned.symbols) <= set(range(10))
    assert abs(float(learned.target.mean())) < 1e-6


def test_a_window_must_be_before_what_it_predicts(job: Make) -> None:
    made = job(window=window(train_end=stamp(APRIL)))
    with pytest.raises(UserError, match="reaches predict_start"):
        run_training_job(made)
    made = job(window=window(train_end="2020-03-30T12:00:00+00:00"))
    with pytest.raises(UserError, match="no bar of the panel"):
        run_training_job(made)


def test_the_window_is_part_of_the_key_and_its_number_is_not(job: Make) -> None:
    one = job(window=window())
    assert one.key != job().key
    assert one.key != job(window=window(validation_share=0.1)).key
    assert one.key == job(window=replace(window(), number=7)).key


def _config(parameters: Any, **changes: Any) -> ModelTrainingConfig:
    refits = {"refit_months": 1, "train_months": None, "validation_share": 0.2}
    return ModelTrainingConfig(
        model_types="all",
        targets=(),
        symbols=(),
        strategy="single_task",
        ensembles=EnsemblesConfig(methods=(), folds=3, families=()),
        walk_forward=WalkForwardConfig(**{**refits, "min_train_rows": 50, **changes}),
        families=("lightgbm", "ridge"),
        symbol_families=("ridge",),
        learning_target="cs_gauss",
        feature_scale="raw",
        sample_weights="none",
        max_train_rows=10_000,
        seeds=(1,),
        on_error="raise",
        parameters=parameters,
    )


@pytest.fixture
def run(
    job: Make, panel: Panel, parameters: Any
) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """Plan, train and collect a target over windows."""
    from ranking_pipeline.routing.setting import Setting
    from ranking_pipeline.training.plan import expand_plan

    manifest = pd.DataFrame({"target": ["fwd_ret_2d"], "task": ["regression"]})

    def call(**changes: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        stored, config = job(), _config(parameters, **changes)
        where = Setting.of(panel, stored.splits, manifest, config)
        plan = plan_everything({"fwd_ret_2d": ["alpha", "beta"]}, {}, where)
        jobs = expand_plan(
            plan,
            config,
            target_manifest=manifest,
            splits=stored.splits,
            panel=stored.panel,
            features=stored.features_table,
            labels=stored.labels_table,
            store_root=stored.store_root,
            threads=1,
        )
        how = JobsConfig(
            engine="serial", workers=None, max_attempts=1, timeout_seconds=None,
            family_timeout_seconds={},
            address=None, store=stored.store_root, ledger=f"{stored.store_root}/l",
            checkpoints="c", checkpoint_seconds=30,
        )  # fmt: skip
        outcomes = train(jobs, "CPU", how).outcomes
        return collect_routed(jobs, outcomes, {"targets": {}}, on_error="raise")

    return call


def test_windows_are_stitched_under_one_model(run: Any, panel: Panel) -> None:
    models, predictions, outcomes = run()
    assert list(models["model_id"].unique()) == [
        "lightgbm:fwd_ret_2d", "ridge:fwd_ret_2d",
    ]  # fmt: skip
    assert list(outcomes["window"]) == [1, 1, 2, 2]
    assert set(outcomes["status"]) == {"done"}
    own = models[models["model_id"] == "ridge:fwd_ret_2d"]
    assert list(own["window"]) == [1, 2]
    # a bar that ends at midnight belongs to the day before
    starts = [str(day)[:10] for day in own["predict_first"]]
    assert starts == ["2020-03-13", "2020-04-02"]
    assert (own["train_last"] < own["predict_first"]).all()
    assert own["path"].nunique() == 2
    scores = predictions[predictions["model_id"].astype(str) == "ridge:fwd_ret_2d"]
    assert not scores.duplicated(["timestamp", "symbol"]).any()
    assert len(scores) == int(panel.tradable[:, MARCH:].sum())


def test_each_month_is_predicted_by_its_own_window(run: Any, job: Make) -> None:
    models, predictions, _ = run()
    store = ModelStore(Path(job().store_root))
    own = models[models["model_id"] == "ridge:fwd_ret_2d"]
    scores = predictions[predictions["model_id"].astype(str) == "ridge:fwd_ret_2d"]
    for _, row in own.iterrows():
        stored = store.read_predictions(Path(row["path"]).name)
        span = (scores["timestamp"] >= row["predict_first"]) & (
            scores["timestamp"] <= row["predict_last"]
        )
        np.testing.assert_array_equal(scores.loc[span, "score"], stored["score"])


def test_a_window_with_too_few_rows_is_recorded(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # the span of March has 72 bars of some 19 rows, that of April 91: were all labels
    # known in time, 1088 rows could be fitted in March
    models, predictions, outcomes = run(min_train_rows=1088)
    assert list(outcomes["status"]) == ["skipped", "skipped", "done", "done"]
    reason = outcomes["error"].iloc[0]
    assert "window 1 (2020-01-01 to 2020-03-12) has 10" in reason
    assert "fewer than model_training.walk_forward.min_train_rows 1088" in reason
    assert "from 2020-03-13 to 2020-04-01 have no prediction" in reason
    assert set(models["window"]) == {2}
    assert predictions["timestamp"].min() == pd.Timestamp(stamp(APRIL + 1))
    told = "2 of 4 CPU models were skipped, first cs_fwd_ret_2d_w001:lightgbm: window 1"
    assert told in caplog.text


def test_a_window_that_cannot_have_the_rows_is_not_planned(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    models, _, outcomes = run(min_train_rows=1089)
    assert list(outcomes["window"]) == [2, 2]
    assert list(outcomes["status"]) == ["done", "done"]
    assert set(models["window"]) == {2}
    assert "1 of 2 jobs have fewer rows to fit" in caplog.text
    assert "first cs_fwd_ret_2d_w001 with 1088" in caplog.text
    with pytest.raises(UserError, match=r"2 of 2 jobs .* nothing is left to plan"):
        run(min_train_rows=100_000)


def test_all_windows_skipped_are_an_error(run: Any) -> None:
    # 1368 rows could be fitted in April; the labels of two bars are known too late
    with pytest.raises(UserError, match="2 of 2 training jobs were skipped"):
        run(min_train_rows=1350)


def test_without_refits_the_results_are_those_of_a_job_without_a_window(
    run: Any, job: Make, parameters: Any
) -> None:
    models, _, _ = run(refit_months=None)
    assert list(models["window"]) == [0, 0]
    plain = job(
        family="ridge", features=("alpha", "beta"), seed=1, max_train_rows=10_000,
        parameters=parameters["ridge"],
    )  # fmt: skip
    row = models[models["family"] == "ridge"].iloc[0]
    assert Path(row["path"]).name == plain.key
    assert run_training_job(plain)["reused"]
