"""spread: outcomes in the order of the jobs, one bar, and what it all took."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.jobs.tasks import config, fail_on_three, hang_on_three, slow, tasks

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.outcome import Ledger
from ranking_pipeline.jobs.spread import spread


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_outcomes_come_in_the_order_of_the_jobs(engine: str, tmp_path: Path) -> None:
    jobs = tasks(9)[::-1]
    found = spread(jobs, fail_on_three, config(tmp_path, engine=engine), "Nine jobs")
    assert list(found.outcomes) == [job.job_id for job in jobs]
    assert [k for k, o in found.outcomes.items() if o.status != "done"] == ["job:3"]
    assert set(Ledger(tmp_path / "ledger" / "nine_jobs").read()) == set(found.outcomes)


def test_costs_add_up(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    costs = spread(tasks(8, made), slow, config(tmp_path), "eight").costs
    assert (costs.label, costs.n_jobs, costs.n_cached) == ("eight", 8, 0)
    assert (costs.engine, costs.workers, costs.saved_seconds) == ("loky", 2, 0)
    assert costs.busy_seconds >= 8 * 0.05
    assert costs.seconds >= costs.busy_seconds / 2
    assert costs.peak_megabytes > 10
    assert set(costs.to_dict()) == {
        *("label", "n_jobs", "n_cached", "seconds", "busy_seconds", "saved_seconds"),
        *("peak_megabytes", "engine", "workers"),
    }


def test_one_at_a_time_is_this_process_unless_it_may_have_to_end(
    tmp_path: Path,
) -> None:
    costs = spread(tasks(2), fail_on_three, config(tmp_path), "s", serial=True).costs
    assert (costs.engine, costs.workers) == ("serial", 1)
    made = tmp_path / "made"
    made.mkdir()
    limited = config(tmp_path, timeout_seconds=1.0)
    found = spread(tasks(5, made), hang_on_three, limited, "s", serial=True)
    assert (found.costs.engine, found.costs.workers) == ("loky", 1)
    assert found.outcomes["job:3"].error.startswith("timeout")
    assert [o.status for o in found.outcomes.values()].count("done") == 4


def test_a_job_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    patient = config(tmp_path, timeout_seconds=60.0)
    limits = {"job:3": 0.5}
    found = spread(tasks(5, made), hang_on_three, patient, "s", job_limits=limits)
    error = found.outcomes["job:3"].error
    assert error == "timeout: ended after 0.5 s (jobs.family_timeout_seconds)"
    assert [o.status for o in found.outcomes.values()].count("done") == 4
    serial = config(tmp_path, engine="serial")
    with pytest.raises(
        UserError, match=r"family_timeout_seconds \{'job:3': 0.5\} needs"
    ):
        spread(tasks(1), hang_on_three, serial, "s", job_limits=limits)


def test_the_bar_names_stage_total_and_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spread(tasks(5), fail_on_three, config(tmp_path, engine="serial"), "My stage")
    last = capsys.readouterr().err.split("\r")[-1]
    assert "My stage" in last
    assert "5/5" in last
    assert "failed=1" in last


def test_no_jobs_is_no_bar_and_no_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = spread([], fail_on_three, config(tmp_path, engine="dask"), "nothing")
    assert found.outcomes == {}
    assert (found.costs.n_jobs, found.costs.busy_seconds) == (0, 0)
    assert capsys.readouterr().err == ""


def test_a_ledger_of_the_callers_choice(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    how = config(tmp_path, engine="serial")
    spread(tasks(2), fail_on_three, how, "stage", ledger=folder)
    assert set(Ledger(folder).read()) == {"job:0", "job:1"}
    assert not (tmp_path / "ledger").exists()
