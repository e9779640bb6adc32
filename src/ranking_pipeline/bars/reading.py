"""Reading: what a reader saw besides the rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ranking_pipeline.errors import UserError


@dataclass(frozen=True)
class Reading:
    """What a reader saw besides the rows.

    Attributes
    ----------
    source : str
        Name of the file or folder, without its path.
    columns_ignored : tuple of str
        Columns that are none of ours.
    unreadable_files : tuple of (str, str)
        Files of a folder, or symbols of a wide table, that could not be read, each
        with the reason.
    layout : str
        ``long``, ``wide`` or ``qlib``.
    notes : tuple of str
        What a user should know of the values, as that prices come adjusted.
    empty_files : tuple of str
        Files of a folder that have our columns and no rows.
    """

    source: str
    columns_ignored: tuple[str, ...] = ()
    unreadable_files: tuple[tuple[str, str], ...] = ()
    layout: str = "long"
    notes: tuple[str, ...] = ()
    empty_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Raw rows of one file, and what was left out of it.

    Attributes
    ----------
    rows : DataFrame
        Raw bars in the layout of :func:`~ranking_pipeline.bars.readers.read_bars`.
    columns_ignored : tuple of str
    left_out : tuple of (str, str)
        Symbols of a wide table that lack a column, each with the reason.
    layout : str
    """

    rows: pd.DataFrame
    columns_ignored: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    layout: str = "long"


def require_some(
    n_files: int,
    parts: Sequence[Part],
    reasons: Sequence[tuple[str, str]],
    first: str,
) -> None:
    """Refuse a source of which nothing can be read, or which has no rows.

    Raises
    ------
    UserError
        Names the first damaged file with its reason, or the ``first`` file when all
        are empty.
    """
    if not parts:
        name, reason = reasons[0]
        none = "its one file cannot" if n_files == 1 else f"none of {n_files} files can"
        raise UserError(
            f"data.source: {none} be read; {name}: {reason}. Copy or export it again."
        )
    if not any(len(part.rows) for part in parts):
        raise UserError(
            f"data.source: {first} has the right columns but zero rows"
            f"{'' if n_files == 1 else f', as have all {n_files} files'}. "
            "Export it again with data."
        )


def one_line(error: Exception) -> str:
    """Shorten the text of an error to one line."""
    return re.sub(r"\s+", " ", str(error)).strip()[:200] or type(error).__name__
