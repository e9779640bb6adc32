"""Commands of the project besides Kedro's own: ``kedro models list``."""

from __future__ import annotations

import click
from kedro.framework.cli.project import run

from ranking_pipeline.errors import UserError

__all__ = ["cli", "run"]


@click.group()
def cli() -> None:
    """Commands of ranking_pipeline."""


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
