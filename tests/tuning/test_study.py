"""Studies: deterministic, in batches, and resumed where they were cut off."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.journal import open_journal, repair
from ranking_pipeline.tuning.study import StudyResult, run_study
from ranking_pipeline.tuning.study_plan import StudyPlan

Config = Callable[..., TuningConfig]
How = Callable[..., JobsConfig]
Plan = Callable[..., StudyPlan]


def _told(result: StudyResult) -> list[Any]:
    return [
        (t.index, t.state, dict(t.parameters), t.skill.tobytes(), t.error)
        for t in result.trials
    ]


def _journal(config: TuningConfig) -> Path:
    return next(Path(config.studies).rglob("*.journal"))


def test_the_first_trial_has_the_defaults(
    config: Config, how: How, study_plan: Plan
) -> None:
    settings = config(pruner="none")
    plan = study_plan(settings)
    result = run_study(plan, settings, how())
    assert [t.index for t in result.trials] == list(range(8))
    assert result.default.parameters == dict(plan.base.parameters)
    assert {t.state for t in result.trials} == {"complete"}
    n_bars = sum(fold.last_bar - fold.first_bar + 1 for fold in plan.folds)
    assert all(t.skill.shape == (n_bars,) for t in result.trials)
    assert result.best.value == max(t.value for t in result.trials)
    assert len({json.dumps(dict(t.parameters)) for t in result.trials}) > 4


def test_the_result_does_not_depend_on_the_workers(
    config: Config, how: How, study_plan: Plan, tmp_path: Path
) -> None:
    told = []
    for name, jobs in (("serial", how()), ("loky", how(engine="loky", workers=2))):
        settings = config(studies=str(tmp_path / name), pruner="median")
        told.append(_told(run_study(study_plan(settings), settings, jobs)))
    assert told[0] == told[1]


@pytest.mark.slow
def test_the_result_is_that_of_dask(
    config: Config, how: How, study_plan: Plan, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    told = []
    for name, jobs in (("serial", how()), ("dask", how(engine="dask", workers=2))):
        settings = config(studies=str(tmp_path / name))
        told.append(_told(run_study(study_plan(settings), settings, jobs)))
    assert told[0] == told[1]


def test_more_trials_go_on_with_the_study(
    config: Config, how: How, study_plan: Plan, tmp_path: Path
) -> None:
    short, long = config(n_trials=3), config(n_trials=6)
    plan = study_plan(short)
    assert plan.key(short) == plan.key(long)
    first = run_study(plan, short, how())
    more = run_study(plan, long, how())
    assert _told(more)[:3] == _told(first)
    whole = config(n_trials=6, studies=str(tmp_path / "whole"))
    assert _told(run_study(plan, whole, how())) == _told(more)


def test_a_resumed_study_says_what_it_found(
    config: Config, how: How, study_plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    short, long = config(n_trials=2), config(n_trials=3)
    plan = study_plan(short)
    with caplog.at_level(logging.INFO):
        run_study(plan, short, how())
        assert "goes on" not in caplog.text
        run_study(plan, long, how())
    assert "ridge on fwd_ret_2d goes on: 2 trials found, 1 to go" in caplog.text


def test_a_changed_space_starts_another_study(config: Config, study_plan: Plan) -> None:
    settings = config()
    wider = config(
        spaces={"ridge": {"expected_r2": {"kind": "float", "low": 0.01, "high": 0.5}}}
    )
    keys = {
        study_plan(settings).key(settings),
        study_plan(wider).key(wider),
        study_plan(settings).key(config(seed=6)),
        study_plan(settings).key(config(batch_size=4)),
        study_plan(config(folds=3)).key(config(folds=3)),
        study_plan(settings, features=("alpha",)).key(settings),
    }
    assert len(keys) == 6


def test_trials_below_the_median_are_pruned_but_for_the_defaults(
    config: Config, how: How, study_plan: Plan
) -> None:
    settings = config(n_trials=9, startup_trials=2, sampler="random")
    result = run_study(study_plan(settings), settings, how())
    pruned = [t for t in result.trials if t.state == "pruned"]
    assert pruned
    n_first = result.plan.folds[0].last_bar - result.plan.folds[0].first_bar + 1
    complete = [t for t in result.trials if t.state == "complete"]
    for trial in pruned:
        assert len(trial.skill) == n_first
        batch = trial.index // 3 * 3
        earlier = [np.nanmean(t.skill[:n_first]) for t in complete if t.index < batch]
        assert trial.value < np.median(earlier)
    assert result.default.state == "complete"


def test_failing_defaults_are_told(config: Config, how: How, study_plan: Plan) -> None:
    settings = config()
    plan = study_plan(settings, features=("nowhere",))
    with pytest.raises(UserError, match="default parameters fail for ridge on fwd_ret"):
        run_study(plan, settings, how())


def test_a_failing_trial_is_a_row(
    config: Config, how: How, study_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranking_pipeline.models.families.ridge import RidgeModel

    settings, honest = config(), RidgeModel.fit

    def fit(self: Any, *rows: Any) -> None:
        if self.config.expected_r2 > 0.1:
            raise UserError("too bold")
        honest(self, *rows)

    monkeypatch.setattr(RidgeModel, "fit", fit)
    result = run_study(study_plan(settings), settings, how())
    failed = [t for t in result.trials if t.state == "failed"]
    assert failed
    assert all("too bold" in t.error and not len(t.skill) for t in failed)
    assert result.best.parameters["expected_r2"] <= 0.1


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    assert repair(path) == 0
    whole = b'{"op_code":0}\n{"op_code":1}\n'
    for tail, dropped in (
        (b"", 0),
        (b'{"op', 4),
        (b'{"op_code":2}', 13),
        (b"\0\0\n", 3),
    ):
        path.write_bytes(whole + tail)
        assert repair(path) == dropped
        assert path.read_bytes() == whole


def test_a_study_belongs_to_one_process(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "a.journal"),
        pytest.raises(UserError, match="another process works on the study"),
        open_journal(tmp_path / "a.journal"),
    ):
        pass


def test_a_study_cut_anywhere_ends_the_same(
    config: Config, how: How, study_plan: Plan
) -> None:
    """Cut the journal at byte positions all over it, and resume."""
    settings = config(n_trials=6, pruner="median", startup_trials=2)
    plan = study_plan(settings)
    whole = run_study(plan, settings, how())
    journal = _journal(settings)
    content = journal.read_bytes()
    cuts = np.linspace(0, len(content) - 1, 5).astype(int)
    for cut in cuts:
        journal.write_bytes(content[:cut])
        journal.with_name(f"{journal.name}.lock").touch()  # its holder is dead
        resumed = run_study(plan, settings, how())
        assert _told(resumed) == _told(whole), cut
        assert resumed.best.parameters == whole.best.parameters


PROGRAM = """
import pickle, sys
from ranking_pipeline.tuning.study import run_study
plan, config, jobs = pickle.load(open(sys.argv[1], "rb"))
print("ready", flush=True)
run_study(plan, config, jobs)
"""


def _killed(place: Path, arguments: Any, seconds: float) -> int:
    """Run a study in a process of its own and kill it after some seconds."""
    import pickle

    place.write_bytes(pickle.dumps(arguments))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((0.4,), id="once"),
        pytest.param((0.2, 0.5, 0.9, 1.3, 2.0), id="often", marks=pytest.mark.slow),
    ],
)
def test_a_killed_study_ends_as_if_nothing_had_happened(
    config: Config,
    how: How,
    study_plan: Plan,
    tmp_path: Path,
    moments: tuple[float, ...],
) -> None:
    many = {"n_trials": 8, "batch_size": 4}
    calm = config(**many, studies=str(tmp_path / "calm"))
    plan = study_plan(calm)
    whole = run_study(plan, calm, how())
    settings = config(**many, studies=str(tmp_path / "killed"))
    for moment in moments:
        code = _killed(tmp_path / "arguments", (plan, settings, how()), moment)
        assert code in (-signal.SIGKILL, 0)
    assert _told(run_study(plan, settings, how())) == _told(whole)


def test_a_time_limit_ends_a_run_and_the_next_goes_on(
    config: Config, how: How, study_plan: Plan
) -> None:
    hurried = config(timeout_seconds=1e-9)
    plan = study_plan(hurried)
    found = [len(run_study(plan, hurried, how()).trials) for _ in range(2)]
    assert found == [3, 6]
    assert len(run_study(plan, config(), how()).trials) == 8
