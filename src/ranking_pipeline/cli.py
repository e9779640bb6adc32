"""Commands of the project: ``kedro run``, ``kedro models list``."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ranking_pipeline.errors import UserError, mendable

__all__ = ["cli", "run"]


@click.group(name="kedro")  # beside its commands, and before them
def cli() -> None:
    """Commands of ranking_pipeline."""


def _in_one_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """Tell what a user can mend in one line, wherever in a run it happens."""

    @wraps(command)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except click.ClickException:
            raise
        except Exception as error:
            line = mendable(error)
            if line is None:
                raise
            raise click.ClickException(line) from error

    return told


def _naming_the_item(read: Callable[..., Any]) -> Callable[..., Any]:
    """Name the item of ``--params`` whose value is no YAML."""

    def named(context: click.Context, option: click.Parameter, value: Any) -> Any:
        try:
            return read(context, option, value)
        except (YAMLError, OmegaConfBaseException) as problem:
            items = value.split(",")
            if len(items) > 1:
                for item in items:
                    named(context, option, item)
            reason = getattr(problem, "problem", None) or str(problem).splitlines()[0]
            raise click.ClickException(
                f"{option.opts[0]}: the value of {value.strip()} cannot be read "
                f"({reason}): close its quotes and brackets, or leave them out."
            ) from None

    return named


def _run_command() -> click.Command:
    """Kedro's own command, with words for people."""
    command = copy(kedro_run)
    command.params = [copy(option) for option in kedro_run.params]
    for option in command.params:
        if option.name in ("params", "runner_params") and option.callback:
            option.callback = _naming_the_item(option.callback)
    assert command.callback is not None
    command.callback = _in_one_line(command.callback)
    return command


run = _run_command()
cli.add_command(run)


@cli.group()
def models() -> None:
    """Model families that can be trained."""


@models.command("list")
@click.option("--group", help="Only the families of this group, as boosting.")
@click.option("--names", is_flag=True, help="Only the names, one per line.")
def list_models(group: str | None, names: bool) -> None:
    """Print every model family; only those of other packages are imported."""
    from ranking_pipeline.models import family_list, registry

    try:
        rows = registry.list_models(group)
    except UserError as error:
        raise click.ClickException(str(error)) from None
    if names:
        click.echo("\n".join(rows))
    else:
        click.echo(family_list.table(map(family_list.tried, rows.values())))
