"""The whole job on the smoke market: what a user gets, alone, again, and interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.datasets import ArtefactDataset
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.learning.checkpoints import decode
from ranking_pipeline.pipeline_registry import register_pipelines
from ranking_pipeline.storage import manifest_path
from tests.running import PROJECT, Place, write_bars

# An audit at a size for tests.
FEW = {
    "every_bar": False,
    "event_cuts": 2,
    "random_cuts": 3,
    "modes_at_a_cut": 2,
    "label_cuts": 2,
    "warm_up_cuts": 1,
    "score_cuts": 1,
    "month_cuts": 1,
    "month_bars": 170,
    "garch_symbols": 0,
    "network": False,
    "planted": False,
}
LITTLE = {"audit": {"ingest_cuts": 2, "full": FEW}}
ONE_EPOCH = {"training": {"epochs": 1}}
BASELINES = {
    "random",
    "reversal_1",
    "reversal_5",
    "momentum_20",
    "momentum_250_20",
    "low_volatility_60",
}
STAGES = (
    "data_preparation",
    "target_ranking",
    "feature_selection",
    "routing",
    "model_training",
    "cs_ranking",
    "evaluation",
    "backtest",
)


def test_every_stage_ran_and_left_its_outputs(finished: Place) -> None:
    record = finished.manifest()
    assert (record["status"], record["skipped_stages"]) == ("finished", [])
    catalog = finished.catalog()
    names = register_pipelines()["__default__"].datasets()
    kept = {n for n in names if isinstance(catalog.get(n), ArtefactDataset)}
    lacking = kept - set(record["datasets"])
    assert lacking == set()


def test_no_row_is_lost(finished: Place) -> None:
    summary = finished.load("data_summary")
    parts = ("rows_kept", "rows_repaired", "rows_quarantined")
    assert summary["rows_in"] == sum(summary[part] for part in parts)
    assert len(finished.load("quarantine")) == summary["rows_quarantined"] > 0
    assert len(finished.load("bars").read()) == summary["rows_kept"]


def test_the_leaderboard_shows_baselines_costs_and_t_values(finished: Place) -> None:
    board = finished.load("leaderboard")
    primary = board[board["target"] == "fwd_ret_1d"]
    assert set(primary.loc[primary["kind"] == "baseline", "model_id"]) == BASELINES
    assert {"oracle", "model"} <= set(primary["kind"])
    assert primary["ic_t"].notna().all()
    assert (primary["cost_bps_per_bar"] > 0).all()
    assert primary["chosen"].sum() == 1
    models = primary[primary["kind"] == "model"]
    best = models.loc[models["validation_ic"].idxmax(), "model_id"]
    assert models.loc[models["chosen"], "model_id"].tolist() == [best]


def test_training_ran_exactly_the_plan(finished: Place) -> None:
    plan = finished.load("training_plan")
    planned = {
        (job["target"], job["symbol"] or "", family)
        for job in plan["jobs"]
        for family in job["families"]
    }
    outcomes = finished.load("training_outcomes")
    assert set(outcomes["status"]) == {"done"}
    trained = outcomes[["target", "symbol", "family"]].astype(str)
    assert set(trained.itertuples(index=False, name=None)) == planned


def test_predictions_lie_after_the_train_span(finished: Place) -> None:
    splits = finished.load("splits")
    first = pd.Timestamp(splits["validation"]["first"])
    for name in ("predictions", "cs_predictions"):
        frame = finished.load(name).read()
        assert frame["timestamp"].min() >= first, name
        assert np.isfinite(frame["score"]).all(), name


def test_the_report_is_one_file_with_all_sections(finished: Place) -> None:
    report = finished.load("report")
    for title in (
        "Leaderboard",
        "Data",
        "Target ranking",
        "Feature selection",
        "Routing",
        "Model training",
        "Cross-sectional ranking",
        "No look-ahead",
    ):
        assert f">{title}</h2>" in report, title
    assert "<script src" not in report
    assert "http://" not in report.split("<main>")[1].split("</main>")[0]
    assert str(finished.folder) not in report


def test_every_stage_runs_alone_and_changes_nothing(copied: Place) -> None:
    before = copied.digests()
    for stage in STAGES:
        copied.run(stage)
        now = copied.digests()
        assert now == {name: before[name] for name in now}, stage


@pytest.fixture(scope="module")
def evaluated(finished: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same outputs, evaluated once more."""
    place = finished.copy(tmp_path_factory.mktemp("evaluated"))
    place.run("evaluation")
    return place


def test_the_test_split_is_counted_per_bars(finished: Place, evaluated: Place) -> None:
    openings = finished.load("test_openings")
    assert openings["key"] == finished.digests()["panel"]
    again = evaluated.load("test_openings")
    assert again == {**openings, "count": openings["count"] + 1}


def test_raw_sequences_end_in_a_report(copied: Place) -> None:
    copied.run("raw_sequence", params={"raw_sequence": ONE_EPOCH})
    record = copied.manifest()
    assert "report" in record["datasets"]
    assert "model_training" in record["skipped_stages"]
    assert "cs_ranking" not in record["skipped_stages"]


def test_training_ends_in_a_report_with_other_parameters_than_planned(
    copied: Place,
) -> None:
    rounds = {"parameters": {"lightgbm": {"n_rounds": 41}}}
    copied.run("train", params={"model_training": rounds})
    record = copied.manifest()
    assert record["status"] == "finished"
    assert "report" in record["datasets"]
    assert "model_training" not in record["skipped_stages"]
    assert "cs_ranking" in record["skipped_stages"]


def test_nothing_predictable_is_a_finished_run(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    market = {"market": {"strength": 0.0}}
    params = {"data": market, "cs_ranking": ONE_EPOCH, "audit": {"quick": FEW}}
    place.run(params=params)
    assert place.load("selected_targets")["status"] == "nothing_predictable"
    assert place.load("training_plan")["jobs"] == []
    board = place.load("leaderboard")
    assert BASELINES <= set(board["model_id"])
    assert "nothing" in place.load("report").lower()


@pytest.fixture(scope="module")
def bars(finished: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bars of the market, as a user brings his own."""
    return write_bars(finished, tmp_path_factory.mktemp("own") / "bars.parquet")


def test_own_bars_run_by_parameters_alone(
    finished: Place, bars: Path, tmp_path: Path
) -> None:
    place = Place.make(tmp_path)
    data = {"source": str(bars), "timezone": "America/New_York"}
    place.run("cs_full", params={"data": data, "cs_ranking": ONE_EPOCH})
    record = place.manifest()
    assert "report" in record["datasets"]
    assert "model_training" in record["skipped_stages"]
    assert "cs_ranking" not in record["skipped_stages"]
    summary = place.load("data_summary")
    assert summary["rows_in"] == len(finished.load("bars").read())
    assert "oracle" not in set(place.load("leaderboard")["model_id"])
    report = place.load("report")
    assert str(tmp_path) not in report
    assert str(bars.parent) not in report


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("wrong path", "not_there.parquet"),
        ("no time zone", "data.timezone"),
        ("missing column", "close"),
        ("sectors", "sectors: .*not_there.csv"),
        ("universe", "universe: .*not_there.csv"),
    ],
)
def test_unusable_bars_stop_the_run_before_any_work(
    bars: Path, tmp_path: Path, damage: str, words: str
) -> None:
    place = Place.make(tmp_path)
    data = {"source": str(bars), "timezone": "America/New_York"}
    if damage == "wrong path":
        data["source"] = str(tmp_path / "not_there.parquet")
    elif damage == "no time zone":
        del data["timezone"]
    elif damage in ("sectors", "universe"):
        data[damage] = str(tmp_path / "not_there.csv")
    else:
        data["source"] = str(tmp_path / "no_close.parquet")
        pd.read_parquet(bars).drop(columns="close").to_parquet(data["source"])
    with pytest.raises(click.ClickException, match=words):
        place.run(params={"data": data})
    assert not (place.data / "02_intermediate").exists()


def test_a_missing_input_is_refused_by_name(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    with pytest.raises(click.ClickException, match="features is missing") as refused:
        place.run("target_ranking")
    assert "kedro run --pipelines=data_preparation" in refused.value.message


def test_inputs_of_different_runs_are_refused(copied: Place) -> None:
    copied.run("data_preparation", params={"run": {"seed": 8}})
    with pytest.raises(click.ClickException, match="disagree about panel"):
        copied.run("feature_selection")


def test_an_unfinished_output_is_not_taken_for_good(copied: Place) -> None:
    manifest_path(copied.data / "04_feature" / "features.parquet").unlink()
    with pytest.raises(click.ClickException, match="features is missing"):
        copied.run("target_ranking")


def test_mistakes_in_parameters_come_at_once(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    wrong = {"evaluation": {"tail_share": 0.9, "typo": 1}, "cs_rankin": {}}
    with pytest.raises(click.ClickException) as refused:
        place.run(params=wrong)
    for key in ("cs_rankin", "evaluation.tail_share", "evaluation.typo"):
        assert key in refused.value.message
    assert not place.data.exists()


def start(place: Place, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kedro", "run", "--env=smoke", *options]
    return subprocess.Popen(
        [*command, f"--conf-source={place.conf}"],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_when(place: Place, run: subprocess.Popen[bytes], output: str) -> None:
    deadline = time.monotonic() + 120
    while not (place.data / output).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


@pytest.mark.parametrize(
    "moment",
    [
        "04_feature/features.parquet",
        pytest.param("05_model_input/splits.json", marks=pytest.mark.slow),
        pytest.param("06_models/store", marks=pytest.mark.slow),
        pytest.param("07_model_output/predictions.parquet", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_is_repeated_to_the_same_content(
    finished: Place, tmp_path: Path, moment: str
) -> None:
    """In one process, too, where the first run had two."""
    place = Place.make(tmp_path)
    kill_when(place, start(place), moment)
    with pytest.raises(click.ClickException):
        place.run("evaluation")
    place.run(params={"jobs": {"engine": "serial"}})
    assert place.digests() == finished.digests()
    assert not list(place.data.rglob(".tmp-*"))


def test_a_network_that_is_killed_in_training_ends_with_the_same_weights(
    finished: Place, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path)
    shutil.rmtree(place.data / "06_models" / "checkpoints")
    jobs = place.conf / "smoke" / "parameters_jobs.yml"
    jobs.write_text("jobs: { checkpoint_seconds: 0 }\n", encoding="utf-8")
    before = place.digests()["cs_model"]
    moment = "06_models/checkpoints/fwd_ret_1d/tcn+pairwise_hinge/seed-0.ckpt"
    kill_when(place, start(place, "--pipelines=cs_ranking"), moment)
    kept = place.data / moment
    saved = decode(kept.read_bytes())["state"]["shared"]["progress"]
    assert not saved["finished"]
    place.run("cs_ranking")
    assert place.digests()["cs_model"] == before


def test_raw_sequences_rule_out_pipelines_that_rank_factors(tmp_path: Path) -> None:
    only_windows = {"run": {"input_mode": "raw_sequence"}}
    with pytest.raises(
        click.ClickException, match=r"input_mode is raw_seq.*feature_sel"
    ):
        Place.make(tmp_path).run("feature_selection", params=only_windows)


def test_each_stage_that_is_left_out_is_named(
    copied: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        copied.run("backtest")
    said = [r.getMessage() for r in caplog.records if "Left out" in r.getMessage()]
    left_out = set(STAGES) - {"backtest"} | {"audit"}
    assert len(said) == 1
    assert set(said[0].partition(": ")[2].split(", ")) == left_out


def test_a_second_run_on_one_data_root_waits_its_turn(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    run = start(place)
    try:
        deadline = time.monotonic() + 60
        while not (place.data / "02_intermediate").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(click.ClickException, match=f"process {run.pid}"):
            place.run("data_preparation")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_the_run_manifest_ties_everything_together(evaluated: Place) -> None:
    record = evaluated.manifest()
    assert record["environment"] == "smoke"
    assert record["parameters"]["data"]["market"]["n_symbols"] == 24
    versions = record["datasets"]["leaderboard"]["version"]
    assert versions == record["run_id"]
    kept = evaluated.data / "08_reporting" / "runs" / f"{record['run_id']}.json"
    assert json.loads(kept.read_text("utf-8")) == record


def test_the_notebook_walks_through_a_run(
    finished: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("RANKING_ENV", finished.env)
    monkeypatch.setenv("RANKING_CONF", str(finished.conf))
    path = PROJECT / "notebooks" / "01_walk_through.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "strip the outputs"
    resources = {"metadata": {"path": str(PROJECT)}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    tables = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) >= 7


DECISIONS = (
    "target_rankings",
    "target_family_scores",
    "target_feature_importances",
    "selected_targets",
    "leakage_report",
    "feature_filters",
    "feature_importance",
    "symbol_importance",
    "importance_comparison",
    "feature_consensus",
    "feature_stability",
    "selected_features",
    "routing_candidates",
    "routing_plan",
    "training_plan",
)


def test_decisions_do_not_see_past_the_train_end(
    finished: Place, bars: Path, tmp_path: Path
) -> None:
    """Other bars after the train span: not one decision changes by a byte."""
    altered = pd.read_parquet(bars)
    train_end = pd.Timestamp(finished.load("splits")["train"]["last"])
    later = altered["timestamp"] >= train_end.tz_localize(None)
    prices = ["open", "high", "low", "close"]
    shock = np.random.default_rng(5).uniform(0.5, 2.0, later.sum())
    altered.loc[later, prices] = altered.loc[later, prices].mul(shock, axis=0)
    altered.loc[later, "volume"] *= shock
    altered.to_parquet(tmp_path / "altered.parquet", index=False)
    digests = []
    for source in (bars, tmp_path / "altered.parquet"):
        place = Place.make(tmp_path / source.stem)
        data: dict[str, Any] = {"source": str(source), "timezone": "UTC"}
        # The shocks look like splits.
        data["defects"] = {"max_split_share": 1.0}
        data["labels"] = {"targets": ["fwd_ret_1d", "label_h5"]}
        place.run("plan", params={"data": data, "jobs": {"engine": "serial"}})
        assert place.load("training_plan")["jobs"]
        digests.append(place.digests())
    first, second = digests
    assert first["features"] != second["features"]
    assert {n: first[n] for n in DECISIONS} == {n: second[n] for n in DECISIONS}


def test_every_run_proves_that_nothing_looks_ahead(finished: Place) -> None:
    report = finished.load("lookahead_report")
    planted = report[report["check"] == "planted look-ahead"]
    assert len(planted) >= 10
    assert set(planted["verdict"]) == {"caught"}
    rest = report.drop(planted.index)
    assert set(rest["verdict"]) <= {"clean", "not covered"}
    assert (rest["different"] == 0).all()
    assert rest.loc[rest["unit"] == "cells", "compared"].sum() > 1_000_000


def test_a_factor_that_looks_ahead_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = FACTORS["ret_1"]
    leaking = replace(
        honest, compute=lambda bars: np.roll(honest.compute(bars), -1, axis=-1)
    )
    monkeypatch.setitem(FACTORS, "ret_1", leaking)
    place = Place.make(tmp_path)
    few = {"factors": ["ret_1", "ret_5", "vol_20"]}
    data = {"features": few, "labels": {"targets": ["fwd_ret_1d"]}}
    params = {"data": data, **LITTLE}
    with pytest.raises(click.ClickException, match="ret_1"):
        place.run("data_preparation", "audit", params=params)
    report = place.load("lookahead_report")
    assert "looks ahead" in set(report["verdict"])


def test_the_full_audit_runs_all_stages_on_other_futures(tmp_path: Path) -> None:
    """On a few factors and targets: every run's own audit has them all."""
    place = Place.make(tmp_path)
    few = ["ret_1", "ret_5", "ret_20", "vol_20", "vol_60", "momentum_250_20"]
    targets = {"targets": ["fwd_ret_1d", "label_h5"]}
    data = {"features": {"factors": few}, "labels": targets}
    place.run("data_preparation", "audit", params={"data": data, **LITTLE})
    report = place.load("lookahead_report")
    for claim in (
        "bars ignore later bars",
        "decisions ignore what follows the train span",
        "models ignore what follows the validation span",
        "features, labels and scores ignore later bars",
        "the choice ignores what follows the validation span",
    ):
        rows = report[report["check"] == claim]
        assert len(rows) >= 1, claim
        assert set(rows["verdict"]) == {"clean"}, claim
        assert (rows["compared"] > 1).all(), claim


@pytest.mark.slow
def test_the_whole_job_runs_on_intraday_bars(tmp_path: Path) -> None:
    place = Place.make(tmp_path, "intraday")
    market = {"n_symbols": 16, "n_bars": 1560, "reversed_symbols": 2, "strength": 0.5}
    params = {
        "data": {"market": {**market, "late_listings": 1, "delistings": 1}},
        "model_training": {"families": ["lightgbm", "ridge"]},
        "cs_ranking": {"training": {"epochs": 2}},
        "routing": {"min_pooled_rows": 1000, "min_symbol_rows": 200},
    }
    place.run(params=params)
    summary = place.load("data_summary")
    assert (summary["interval"], summary["calendar"]) == ("5m", "XNYS")
    manifest = place.load("feature_manifest")
    assert {"session", "bars"} <= set(manifest["window"])
    assert {"ret_5@30m", "ret_5@1d"} <= set(manifest["name"])
    labels = place.load("labels").read(["timestamp", "fwd_ret_60m__end"]).dropna()
    local = [labels[c].dt.tz_convert("America/New_York").dt.date for c in labels]
    assert (local[0] == local[1]).all()
    board = place.load("leaderboard")
    assert {"model", "baseline", "oracle"} <= set(board["kind"])
    report = place.load("lookahead_report")
    wrong = report[~report["verdict"].isin(["clean", "caught", "not covered"])]
    assert wrong.empty


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run on a part of the simulated market, without the ranking network."""
    place = Place.make(tmp_path_factory.mktemp("cut"))
    data = {"first_date": "2019-06-03", "symbols": [f"SIM{i:03d}" for i in range(20)]}
    place.run("cs_full", params={"data": data, "cs_ranking": {"enabled": False}})
    return place


def test_the_network_can_be_switched_off(cut: Place) -> None:
    board = cut.load("leaderboard")
    assert set(board["kind"]) == {"baseline", "oracle"}
    assert len(cut.load("cs_predictions").read()) == 0
    assert "No ranking network was trained" in cut.load("report")


def test_the_simulated_market_may_be_cut_in_time(cut: Place) -> None:
    assert "oracle" in set(cut.load("leaderboard")["model_id"])
    truth = cut.load("market_truth")
    assert truth["timestamp"].min() >= pd.Timestamp("2019-06-03", tz="UTC")
    assert truth["symbol"].nunique() == 20


def test_other_splits_are_never_answered_from_memory(tmp_path: Path) -> None:
    """In one process, as in a notebook: the train cut follows the splits."""
    rankings = []
    for share in (0.7, 0.5):
        place = Place.make(tmp_path / str(share))
        params = {
            "data": {
                "splits": {"train_share": share},
                "labels": {"targets": ["fwd_ret_1d"]},
            },
            "target_ranking": {"model_families": ["lightgbm"]},
            "jobs": {"engine": "serial"},
        }
        place.run("data_preparation", "target_ranking", params=params)
        rankings.append(place.load("target_rankings"))
    assert rankings[0]["n_bars"].max() > 1.2 * rankings[1]["n_bars"].max()


def test_an_overlay_that_the_catalog_does_not_see_is_refused(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    overlay = place.conf / "smoke" / "parameters.yml"
    overlay.write_text(overlay.read_text() + "data: { source: bars.parquet }\n")
    with pytest.raises(click.ClickException, match=r"parameters_data\.yml"):
        place.run("data_preparation")


def test_a_device_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    place = Place.make(tmp_path)
    device = {"training": {"device": "cuda"}}
    with pytest.raises(click.ClickException, match=r"cs_ranking\.training: .*cuda"):
        place.run("cs_full", params={"cs_ranking": device})
    assert not (place.data / "02_intermediate").exists()
