"""RunReporter: the record that ties a run together, and the last words on the screen."""

from __future__ import annotations

import logging
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ranking_pipeline import __version__
from ranking_pipeline.datasets import ArtefactDataset
from ranking_pipeline.errors import mendable
from ranking_pipeline.storage import sha256_json, write_json
from ranking_pipeline.wording import counted

log = logging.getLogger(__name__)


class RunReporter:
    """Write ``run_manifest.json`` and print what the run found.

    The manifest ties run id, commit, environment, parameters and the content of every
    dataset together. Clocks live here and in the job ledger, nowhere else.
    """

    def __init__(self) -> None:
        self._root = Path()
        self._project = Path()
        self._parameters: dict[str, Any] = {}
        self._env = ""
        self._started = datetime.now(UTC)
        self._clock = 0.0
        self._seconds: dict[str, float] = {}
        self._n_nodes = 0
        self._at_work = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Learn where the record goes and what the parameters are."""
        self._project = Path(context.project_path)
        self._root = self._project / context.config_loader["globals"]["data_root"]
        self._parameters = dict(context.config_loader["parameters"])
        self._env = context.env or "local"

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Say what runs, and which stages of the whole job are left out."""
        self._started = datetime.now(UTC)
        self._seconds, self._n_nodes = {}, len(pipeline.nodes)
        left_out = skipped_stages(pipeline)
        if left_out:
            log.info("Left out of this run: %s", ", ".join(left_out))

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which node is at work."""
        self._clock, self._at_work = time.perf_counter(), node.name
        done = len(self._seconds) + 1
        log.info("%2d/%d  %s", done, self._n_nodes, node.name)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Take the node's time for the manifest."""
        self._seconds[node.name] = round(time.perf_counter() - self._clock, 3)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Write the manifest, then print the leaderboard and where the report is."""
        self._record(run_params, pipeline, catalog, "finished", None)
        if "report" in pipeline.outputs():
            click.echo(closing_words(catalog))

    @hook_impl
    def on_pipeline_error(
        self,
        error: Exception,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: DataCatalog,
    ) -> None:
        """Record the failure; show what a user can mend without a traceback."""
        # A full disk is told below, and refuses the record too.
        with suppress(OSError):
            self._record(run_params, pipeline, catalog, "failed", repr(error))
        told = mendable(error)
        if told is not None:
            raise click.ClickException(told) from error
        log.error("%s failed", self._at_work)

    def _record(
        self,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: DataCatalog,
        status: str,
        error: str | None,
    ) -> None:
        manifest = {
            "run_id": run_params["run_id"],
            "status": status,
            "error": error,
            "pipelines": run_params.get("pipeline_names") or ["__default__"],
            "skipped_stages": skipped_stages(pipeline),
            "environment": self._env,
            "started_at": self._started.isoformat(),
            "finished_at": datetime.now(UTC).isoformat(),
            "version": __version__,
            "commit": _commit(self._project),
            "parameters_sha256": sha256_json(self._parameters),
            "parameters": self._parameters,
            "node_seconds": self._seconds,
            "datasets": _contents(pipeline, catalog),
        }
        runs = self._root / "08_reporting" / "runs"
        write_json(runs / f"{run_params['run_id']}.json", manifest)
        write_json(self._root / "08_reporting" / "run_manifest.json", manifest)


def skipped_stages(pipeline: Pipeline) -> list[str]:
    """Stages of the whole job none of whose nodes are in ``pipeline``."""
    ours = _stages(pipeline)
    whole = pipelines["__default__"] if "__default__" in pipelines else Pipeline([])
    return [stage for stage in _stages(whole) if stage not in ours]


def _stages(pipeline: Pipeline) -> list[str]:
    return list(dict.fromkeys(tag for node in pipeline.nodes for tag in node.tags))


def _contents(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, Any]:
    contents = {}
    for name in sorted(pipeline.datasets()):
        dataset = catalog[name] if not name.startswith("params:") else None
        manifest = dataset.manifest() if isinstance(dataset, ArtefactDataset) else None
        if manifest and isinstance(dataset, ArtefactDataset):
            version = dataset.resolve_load_version()
            contents[name] = {"sha256": manifest.sha256, "version": version}
    return contents


def _commit(project: Path) -> str | None:
    command = ["git", "-C", str(project), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def closing_words(catalog: DataCatalog) -> str:
    """What became of the rows, the leaderboard, the openings, and the report's place."""
    from ranking_pipeline.evaluation.console import leaderboard_text

    report, rows = catalog["report"], catalog["data_summary"].load()
    assert isinstance(report, ArtefactDataset)
    openings = catalog["test_openings"].load()
    return "\n".join(
        [
            leaderboard_text(catalog["leaderboard"].load()),
            "",
            f"Rows: {rows['rows_in']:,} in = {rows['rows_kept']:,} kept + "
            f"{rows['rows_repaired']:,} repaired + "
            f"{rows['rows_quarantined']:,} quarantined.",
            f"Test split opened {counted(openings['count'], 'time')} on these bars.",
            *_failures(catalog),
            f"Report: {report.load_path()}",
        ]
    )


def _failures(catalog: DataCatalog) -> list[str]:
    """One line where training jobs of this run or of an earlier one have failed."""
    outcomes = catalog["training_outcomes"]
    if not outcomes.exists():
        return []
    rows = outcomes.load()
    failed = rows[rows["status"] == "failed"]
    if failed.empty:
        return []
    first = failed.iloc[0]
    return [
        f"{len(failed)} of {len(rows)} training jobs FAILED (training_outcomes), first "
        f"{first['job_id']}: {first['error']}"
    ]
