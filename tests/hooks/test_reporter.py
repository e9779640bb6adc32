"""RunReporter: each thing is said once."""

from __future__ import annotations

import errno
import logging

import click
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline, node

from ranking_pipeline.errors import UserError
from ranking_pipeline.hooks import reporter
from ranking_pipeline.hooks.reporter import RunReporter


def test_stages_left_out_are_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reporter, "skipped_stages", lambda pipeline: ["one", "two"])
    with caplog.at_level(logging.INFO):
        RunReporter().before_pipeline_run(Pipeline([]))
    assert caplog.messages == ["Left out of this run: one, two"]


def _wrapped(cause: Exception) -> DatasetError:
    """As Kedro's datasets and catalog do."""
    error = DatasetError("panel: failed")
    error.__cause__ = cause
    return error


def test_what_a_user_can_mend_is_told_once_and_other_faults_name_their_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    teller = RunReporter()
    monkeypatch.setattr(teller, "_record", lambda *_: None)
    teller.before_node_run(node(lambda: 1, None, "one", name="first"))
    rest: tuple[dict[str, str], Pipeline, DataCatalog] = (
        {},
        Pipeline([]),
        DataCatalog(),
    )
    with pytest.raises(click.ClickException, match="no such file"):
        teller.on_pipeline_error(UserError("no such file"), *rest)
    assert "failed" not in caplog.text
    with pytest.raises(click.ClickException, match="cannot hold more"):
        teller.on_pipeline_error(
            _wrapped(_wrapped(UserError("cannot hold more"))), *rest
        )
    teller.on_pipeline_error(_wrapped(ValueError("x")), *rest)
    assert caplog.messages[-1] == "first failed"


def test_a_full_disk_is_told_though_it_refuses_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "panel.safetensors")

    def refuse(*_: object) -> None:
        raise full

    teller = RunReporter()
    monkeypatch.setattr(teller, "_record", refuse)
    with pytest.raises(click.ClickException, match="safetensors: No space left"):
        teller.on_pipeline_error(full, {}, Pipeline([]), DataCatalog())
