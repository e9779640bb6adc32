"""Parameters that a pipeline does not read are refused, and no others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from kedro.framework.cli.utils import _split_params
from kedro.pipeline import Pipeline
from tests.test_commands import printed

from ranking_pipeline.hooks import ParameterCheck, unread
from ranking_pipeline.hooks.unread import TAKEN_OVER, reads, unread_parameters
from ranking_pipeline.pipeline_registry import register_pipelines

PIPELINES = register_pipelines()
INTERPOLATED = re.compile(r"\$\{(?:runtime_params:)?([a-z_]+\.[a-z_.]+)")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "pipelines", PIPELINES)


def given(name: str) -> dict[str, Any]:
    value: Any = 1
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


@pytest.mark.parametrize(
    ("pipeline", "name", "read"),
    [
        ("train", "data.market.strength", False),
        ("train", "cache.force_refresh", False),
        ("train", "target_ranking.top_n_targets", False),
        ("train", "model_training.targets", True),
        ("train", "jobs.workers", True),
        ("train", "evaluation.cost_bps_per_side", True),
        ("plan", "data.market.strength", True),
        ("plan", "model_training.walk_forward.refit_months", True),
        ("plan", "model_training.families", True),
        ("plan", "model_training.on_error", False),
        ("evaluation", "run.seed", False),
        ("evaluation", "run.input_mode", True),
        ("model_training", "run.seed", True),
        ("target_ranking", "run.seed", True),
        ("feature_selection", "target_ranking.leakage.max_partial_ic", True),
        ("feature_selection", "target_ranking.top_n_targets", False),
        ("cs_full", "raw_sequence.training.epochs", False),
        ("raw_sequence", "raw_sequence.training.epochs", True),
        ("audit", "model_training.families", True),  # it runs all stages again
        ("__default__", "cs_ranking.enabled", True),
    ],
)
def test_what_a_pipeline_reads(pipeline: str, name: str, read: bool) -> None:
    assert reads(PIPELINES[pipeline], name) is read
    assert bool(unread_parameters(given(name), PIPELINES[pipeline])) is not read


def test_the_message_names_the_parameter_and_its_readers() -> None:
    names = {"data": {"market": {"strength": 0.1}}, "jobs": {"workers": 1}}
    [line] = unread_parameters(names, PIPELINES["train"])
    assert line.startswith("data.market.strength is read by audit, data_preparation, ")
    run = {"runtime_params": names, "pipeline_names": ["train"]}
    with pytest.raises(click.ClickException) as caught:
        ParameterCheck().before_pipeline_run(run, PIPELINES["train"])
    assert "this run (train)" in caught.value.message
    assert line in caught.value.message
    ParameterCheck().before_pipeline_run(run, PIPELINES["plan"])


@pytest.mark.parametrize("command", [c for c in printed() if "--params" in c])
def test_a_printed_command_gives_nothing_that_is_not_read(command: str) -> None:
    options = dict(
        word.removeprefix("--").split("=", 1)
        for word in shlex.split(command)
        if word.startswith("--")
    )
    names = options.get("pipelines", "__default__").split(",")
    whole = sum((PIPELINES[name] for name in names), Pipeline([]))
    assert unread_parameters(_split_params(None, None, options["params"]), whole) == []


def interpolations(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a section that is taken from another place: (where, from)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from interpolations(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from interpolations(inner, place)
    elif isinstance(value, str):
        yield from ((place, source) for source in INTERPOLATED.findall(value))


def test_every_value_taken_over_in_the_files_is_known(project: Path) -> None:
    found = set()
    for path in (project / "conf").rglob("parameters*.yml"):
        found |= set(interpolations(yaml.safe_load(path.read_text("utf-8")) or {}))
    assert {source for _, source in found} == set(TAKEN_OVER)
    for place, source in found:
        assert any(place.startswith(known) for known in TAKEN_OVER[source]), place
