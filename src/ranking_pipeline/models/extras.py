"""Extras: optional packages of model families, and how to install them."""

from __future__ import annotations

from importlib.util import find_spec

from ranking_pipeline.errors import UserError

# Packages that a family imports, by the extra of ours that installs them.
PACKAGES: dict[str, tuple[str, ...]] = {
    "catboost": ("catboost",),
    "ngboost": ("ngboost",),
    "timesfm": ("transformers",),
}


def missing(extra: str) -> tuple[str, ...]:
    """Packages of an extra that are not installed; nothing is imported."""
    wanted = PACKAGES.get(extra, ())
    return tuple(package for package in wanted if find_spec(package) is None)


def require(family: str, extra: str) -> None:
    """Refuse a family whose optional packages are not installed.

    Raises
    ------
    UserError
        One line that names the packages and the extra that installs them.
    """
    if missing(extra):
        raise UserError(absent_text(family, extra))


def absent_text(family: str, extra: str) -> str:
    """Say which packages a family lacks, and what installs them."""
    return (
        f"model family {family!r} needs the package {', '.join(missing(extra))}, which "
        f"is not installed: pip install 'ranking_pipeline[{extra}]', or take "
        f"{family!r} out of the list of families."
    )
