"""Training jobs: blocks, resume, thinning, and equal results on every engine."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.models import registry
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training import rows as training_rows
from ranking_pipeline.training.fit import TrainingJob, run_training_job

Make = Callable[..., TrainingJob]
Samplers = Callable[[str], tuple[Samples, Samples, Samples]]


def _predictions(job: TrainingJob, key: str) -> pd.DataFrame:
    return ModelStore(Path(job.store_root)).read_predictions(key)


def test_a_job_is_small_and_survives_pickling(job: Make) -> None:
    made = job()
    assert pickle.loads(pickle.dumps(made)) == made
    assert len(pickle.dumps(made)) < 5000
    assert pickle.loads(pickle.dumps(made)).key == made.key


def test_every_tradable_row_of_validation_and_test_is_scored(
    job: Make, panel: Panel
) -> None:
    made = job()
    table = _predictions(made, run_training_job(made)["key"])
    first = Splits.from_dict(made.splits).validation.first_bar
    bars, symbols = panel.rows()
    wanted = bars >= first
    stamps = pd.DatetimeIndex(panel.timestamps[bars[wanted]]).tz_localize("UTC")
    assert (pd.DatetimeIndex(table["timestamp"]) == stamps).all()
    assert list(table["symbol"]) == [panel.symbols[s] for s in symbols[wanted]]
    assert np.isfinite(table["score"]).all()
    assert table[["prob_short", "prob_neutral", "prob_long"]].isna().all().all()


def test_class_probabilities_have_columns_by_meaning(job: Make) -> None:
    up = job(target="up", task="binary")
    table = _predictions(up, run_training_job(up)["key"])
    assert table["prob_short"].isna().all()
    np.testing.assert_array_equal(table["score"], table["prob_long"])
    touch = job(target="touch", task="three_class")
    table = _predictions(touch, run_training_job(touch)["key"])
    np.testing.assert_allclose(
        table["score"], table["prob_long"] - table["prob_short"], atol=1e-6
    )


def test_only_rows_whose_label_ends_inside_train_are_learned(
    job: Make, frames: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    made = job()
    before = run_training_job(made)
    last_bar = Splits.from_dict(made.splits).train.last_bar
    labels = frames[1]
    stamps = np.unique(labels["timestamp"])
    late = (labels["fwd_ret_2d__end"] > stamps[last_bar]).to_numpy()
    n_inside = int((labels["fwd_ret_2d__end"] <= stamps[last_bar]).sum())
    assert before["n_rows"] == n_inside
    assert before["train_last"] < str(stamps[last_bar])
    # Ridge takes nothing from validation: late labels may not move one bit of it.
    spoilt = labels.copy()
    spoilt.loc[late, "fwd_ret_2d"] *= -7
    write_table(spoilt, tmp_path / "spoilt.parquet")
    handle = TableHandle(
        str(tmp_path / "spoilt.parquet"), sha256_file(tmp_path / "spoilt.parquet")
    )
    clean, dirty = job(family="ridge"), job(family="ridge", labels_table=handle)
    results = [run_training_job(clean), run_training_job(dirty)]
    assert results[0]["key"] != results[1]["key"]
    assert results[0]["sha256"] == results[1]["sha256"]


def test_one_symbol_learns_and_scores_its_own_rows(job: Make, panel: Panel) -> None:
    made = job(family="ridge", route="symbol_specific", symbol="S07")
    result = run_training_job(made)
    table = _predictions(made, result["key"])
    assert set(table["symbol"]) == {"S07"}
    assert 50 < result["n_rows"] < 80
    with pytest.raises(UserError, match="'XX' is not in the panel"):
        run_training_job(replace(made, symbol="XX"))


def test_a_finished_job_is_reused_and_a_damaged_one_made_again(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job()
    first = run_training_job(made)
    assert not first["reused"]
    cls = registry.family_type("lightgbm")
    with monkeypatch.context() as patch:
        patch.setattr(cls, "fit", lambda *_: pytest.fail("trained again"))
        again = run_training_job(replace(made, job_id="x", model_id="y", threads=2))
    assert again == {**first, "reused": True, "model_id": "y"}
    path = ModelStore(Path(made.store_root)).folder(first["key"]) / "model.txt"
    content = path.read_text()
    path.write_text(content[:-40])
    assert run_training_job(made) == first
    assert path.read_text() == content


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"symbol": "S01"},
        {"features": ("alpha",)},
        {"learning_target": "raw"},
        {"max_train_rows": 500},
        {"feature_scale": "rank"},
        {"family": "ridge"},
    ],
)
def test_what_changes_the_result_changes_the_key(job: Make, change: dict) -> None:
    assert job().key != job(**change).key


def test_without_a_window_the_key_is_made_of_what_it_always_was(job: Make) -> None:
    """Stored models stay valid; a window is part of the key only where there is one."""
    assert list(job().made_from) == [
        "panel", "features_table", "labels_table", "splits", "target", "task",
        "family", "symbol", "features", "parameters", "seed", "learning_target",
        "feature_scale", "max_train_rows",
    ]  # fmt: skip


def test_the_key_follows_an_optional_package_only_where_it_is_needed(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: job(family=name).key for name in ("ridge", "catboost", "ngboost")}

    def newer(names: tuple[str, ...]) -> dict[str, str]:
        return {name: "99" for name in names if name == "catboost"}

    monkeypatch.setattr("ranking_pipeline.training.job.library_versions", newer)
    assert job(family="ridge").key == keys["ridge"]
    assert job(family="catboost").key != keys["catboost"]
    assert job(family="catboost").made_from["packages"] == {"catboost": "99"}


def test_the_key_follows_the_files_of_a_pretrained_encoder(
    job: Make, tmp_path: Path
) -> None:
    """The folder keeps its name when other weights are put there."""
    made = job(family="timesfm", parameters={"weights": str(tmp_path)})
    with pytest.raises(UserError, match="holds no pretrained model"):
        _ = made.key
    (tmp_path / "config.json").write_text("{}")
    keys = set()
    for content in (b"one", b"two", b"three"):
        (tmp_path / "model.safetensors").write_bytes(content)
        keys.add(made.key)
    assert len(keys) == 3
    assert made.key in keys


def test_a_family_of_other_tasks_is_refused_before_it_is_fitted(job: Make) -> None:
    with pytest.raises(UserError, match="cannot be made: task 'binary' is not one of"):
        run_training_job(
            job(family="low_rank", target="up", task="binary", parameters={})
        )


def test_an_edited_loss_of_ones_own_changes_the_key(
    job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name stays the same; a stored model of the older one must not be reused."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = job(parameters={"regression_loss": "own_key_loss:loss"})
    keys = {made.key}
    for number in (1, 2):
        (tmp_path / "own_key_loss.py").write_text(f"def loss(s, t, m): return {number}")
        importlib.invalidate_caches()
        keys.add(made.key)
    assert len(keys) == 3


def test_changed_data_and_an_empty_block_are_refused(job: Make) -> None:
    made = job()
    training_rows.samples_of.cache_clear()
    stale = replace(made, labels_table=replace(made.labels_table, sha256="0" * 64))
    with pytest.raises(UserError, match="has changed"):
        run_training_job(stale)
    other = {**made.splits, "timestamps_sha256": "0" * 64}
    with pytest.raises(UserError, match="another time axis"):
        run_training_job(replace(made, splits=other))


def test_results_do_not_depend_on_the_engine(job: Make, tmp_path: Path) -> None:
    def jobs(store: str) -> list[TrainingJob]:
        root = str(tmp_path / store)
        pooled = [
            job(family=f, store_root=root)
            for f in ("lightgbm", "xgboost", "random_forest", "ridge")
        ]
        own = [
            job(
                family="ridge",
                symbol=s,
                route="symbol_specific",
                job_id=f"own:{s}",
                store_root=root,
            )
            for s in ("S00", "S01")
        ]
        return [*pooled, *own]

    def hashes(store: str, engine: str, workers: int) -> dict[str, object]:
        ended = run_jobs(
            jobs(store), run_training_job, engine=engine, workers=workers, threads=1
        )
        results = {name: outcome.value for name, outcome in ended}
        return {
            name: (value["sha256"], _model_hashes(tmp_path / store, value["key"]))
            for name, value in results.items()
        }

    serial = hashes("serial", "serial", 1)
    assert len(serial) == 6
    assert hashes("loky", "loky", 2) == serial


def _model_hashes(root: Path, key: str) -> dict[str, str]:
    return dict(ModelStore(root).verified(key).files)
