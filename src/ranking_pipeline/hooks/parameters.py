"""ParameterCheck: every section of the parameters is checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from ranking_pipeline.config import Config, RunConfig
from ranking_pipeline.errors import UserError
from ranking_pipeline.hooks.consistency import contradictions, unlabelled, untrainable
from ranking_pipeline.hooks.unread import unread_parameters
from ranking_pipeline.jobs.check import check_jobs
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.sections import SECTIONS
from ranking_pipeline.wording import counted, fault_key, fault_text

FACTOR_STAGES = {"target_ranking", "feature_selection", "routing", "model_training"}
TRAINED = {"routing", "model_training"}


class ParameterCheck:
    """Refuse unknown keys, wrong types and values out of range, all errors at once.

    Kedro itself checks only the sections that the requested pipeline reads.
    """

    def __init__(self) -> None:
        self._input_mode = "features"
        self._jobs: JobsConfig | None = None
        self._typed: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all sections as merged from base, overlay and command line."""
        _refuse_lost_file()
        try:
            parameters = dict(context.config_loader["parameters"])
        except MissingConfigException:
            raise click.ClickException(_no_overlay(context)) from None
        except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as problem:
            raise click.ClickException(
                f"The parameters are unreadable: {problem}"
            ) from None
        conf = Path(context.config_loader.conf_source)
        errors = parameter_errors(parameters, SECTIONS)
        if not errors:
            typed = {k: v.model_validate(parameters[k]) for k, v in SECTIONS.items()}
            source = str(context.config_loader["catalog"]["raw_bars"]["source"])
            errors = contradictions(typed, source)
            self._typed = typed
            self._input_mode = RunConfig.model_validate(parameters["run"]).input_mode
            self._jobs = JobsConfig.model_validate(parameters["jobs"])
        if errors:
            where = _locations(conf, context.env)
            lines = [f"  {key}: {problem}" for key, problem in errors]
            raise click.ClickException(
                f"{counted(len(errors), 'problem')} in the parameters ({where}):\n"
                + "\n".join(lines)
            )

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline
    ) -> None:
        """Refuse what ``run.input_mode`` rules out, and parameters without effect.

        Workers that cannot be had, and families that could not be trained as asked, are
        told here, not after the stages before them.
        """
        stages = {tag for node in pipeline.nodes for tag in node.tags}
        ranking = sorted(stages & FACTOR_STAGES)
        if self._input_mode == "raw_sequence" and ranking:
            raise click.ClickException(
                "run.input_mode is raw_sequence, which learns from windows of bars "
                f"alone, and this pipeline has {', '.join(ranking)}: run "
                "--pipelines=raw_sequence (a pointwise loss) or --pipelines=cs_full (a "
                "ranking loss), or set run.input_mode to features."
            )
        if self._jobs is not None and "params:jobs" in pipeline.inputs():
            try:
                check_jobs(self._jobs)
            except UserError as error:
                raise click.ClickException(str(error)) from None
        if self._typed:
            read = {name for name in SECTIONS if f"params:{name}" in pipeline.inputs()}
            faults = unlabelled(self._typed, read)
            faults += untrainable(self._typed) if stages & TRAINED else []
            _refuse(faults)
        unread = unread_parameters(run_params.get("runtime_params") or {}, pipeline)
        if unread:
            names = ",".join(run_params.get("pipeline_names") or ["__default__"])
            raise click.ClickException(
                f"--params gives what the nodes of this run ({names}) do not read, so "
                "that it would change nothing; leave it out, or run a pipeline that "
                "reads it:\n" + "\n".join(f"  {line}" for line in unread)
            )


def _refuse_lost_file() -> None:
    """Refuse --params beside parameters of --config: Kedro would drop the file's."""
    command = click.get_current_context(silent=True)
    if command is None or "params" not in (command.default_map or {}):
        return
    if command.get_parameter_source("params") is ParameterSource.COMMANDLINE:
        raise click.ClickException(
            "--params would replace all parameters of the --config file, not add to "
            "them: write these into the file too, or give all of them by --params."
        )


def _refuse(faults: Sequence[tuple[str, str]]) -> None:
    if faults:
        lines = [f"  {key}: {problem}" for key, problem in faults]
        raise click.ClickException(
            f"{counted(len(faults), 'problem')} with what this run is to make:\n"
            + "\n".join(lines)
        )


def _no_overlay(context: KedroContext) -> str:
    conf = Path(context.config_loader.conf_source)
    known = sorted(p.name for p in conf.iterdir() if p.is_dir() and p.name != "base")
    hint = " Tuning writes it, where something won." if context.env == "tuned" else ""
    return (
        f"there are no parameters for --env={context.env} in {conf}.{hint} Overlays: "
        + ", ".join(known)
    )


def parameter_errors(
    parameters: Mapping[str, Any], sections: Mapping[str, type[Config]]
) -> list[tuple[str, str]]:
    """Everything that is wrong with ``parameters``, as (key, problem) pairs."""
    errors = [
        (name, f"no such section; the sections are {', '.join(sorted(sections))}")
        for name in parameters
        if name not in sections
    ]
    for name, model in sections.items():
        if name not in parameters:
            errors.append((name, "the section is missing"))
            continue
        try:
            model.model_validate(parameters[name])
        except ValidationError as problem:
            errors += [_describe(name, model, detail) for detail in problem.errors()]
    return errors


def _describe(name: str, model: type[Config], detail: Any) -> tuple[str, str]:
    key = ".".join(part for part in (name, fault_key(detail)) if part)
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(
            str(detail["loc"][-1]), _fields(model, detail["loc"]), 1
        )
        hint = f"did you mean {near[0]}? " if near else ""
        return key, f"unknown key; {hint}See docs/configuration.md for this section"
    text = fault_text(detail)
    if text.startswith(f"{key}."):  # a check of several values names the one meant
        key, _, text = text.partition(": ")
    return key, text


def _fields(model: type[Config], place: Sequence[Any]) -> list[str]:
    """Keys that exist where the last part of ``place`` was given."""
    for part in place[:-1]:
        inner = (
            model.model_fields[part].annotation if part in model.model_fields else None
        )
        if not (isinstance(inner, type) and issubclass(inner, Config)):
            return []
        model = inner
    return list(model.model_fields)


def _locations(conf: Path, env: str | None) -> str:
    return f"{conf / 'base'}, {conf / (env or 'local')}, --params, --config"
