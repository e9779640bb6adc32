"""Refusals: defects at which the parameters stop the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.bars.rules import Mask
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.wording import counted, shortened

_SHOWN = 10


def refuse_files(reading: Reading, config: ChecksConfig) -> None:
    """Stop at unknown columns, damaged files or empty files where that is asked for.

    Raises
    ------
    UserError
        Names the columns or the files.
    """
    rules, where = config.defects, reading.source
    if rules.unknown_columns == "error" and reading.columns_ignored:
        raise UserError(
            f"{where} has columns that are none of ours: "
            f"{shortened(reading.columns_ignored, _SHOWN)}. Remove them, name them in "
            "data.column_map, or set data.defects.unknown_columns=keep_aside."
        )
    if rules.unreadable_files == "error" and reading.unreadable_files:
        torn = [f"{name} ({reason})" for name, reason in reading.unreadable_files]
        raise UserError(
            f"{where}: {counted(len(torn), 'file')} cannot be read: "
            f"{shortened(torn, _SHOWN)}. Copy or export them again, or set "
            "data.defects.unreadable_files=skip."
        )
    if rules.empty_files == "error" and reading.empty_files:
        raise UserError(
            f"{where}: {counted(len(reading.empty_files), 'file')} without rows: "
            f"{shortened(reading.empty_files, _SHOWN)}. Export them again, or set "
            "data.defects.empty_files=skip."
        )


def refuse_stored_types(
    columns: Mapping[str, npt.NDArray[Any] | pd.Series],
    selected: Mask,
    config: ChecksConfig,
    where: str,
) -> None:
    """Stop at numbers stored as text, or as integers that 64-bit floats cannot hold.

    Raises
    ------
    UserError
        Names the column and one cell.
    """
    rules = config.defects
    for name, column in columns.items():
        text = column.dtype.kind == "O" or pd.api.types.is_string_dtype(column.dtype)
        if text and rules.text_numbers == "error":
            cell = _worst_text(pd.Series(column)[selected])
            if cell is not None:
                raise UserError(
                    f"{where}: the column {name} holds text, as {cell!r}. Store numbers "
                    "as numbers, or set data.defects.text_numbers=cast."
                )
        if column.dtype.kind in "iu" and rules.precision_loss == "error":
            cells = np.asarray(column)[selected]
            large = cells[np.abs(cells.astype(np.float64)) >= 2.0**53]
            if len(large):
                raise UserError(
                    f"{where}: {name} holds {large[0]}, which no 64-bit float can hold. "
                    "Use a smaller unit, or set data.defects.precision_loss=flag."
                )


def _worst_text(cells: pd.Series) -> str | None:
    """A text that is no number if there is one, else any text."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    return next(
        (t for t in texts if pd.isna(pd.to_numeric(t.strip(), errors="coerce"))),
        texts[0] if texts else None,
    )


def refuse_imprecise(count: int, config: ChecksConfig, example: str) -> None:
    """Stop where prices are too fine for the 32 bits of the panel.

    Raises
    ------
    UserError
        Names the first such bar.
    """
    if count and config.defects.precision_loss == "error":
        raise UserError(
            f"{count:,} bars have a high and a low that are one number in 32 bits, as "
            f"{example}. Scale the prices down, or set "
            "data.defects.precision_loss=flag."
        )


def refuse_unsorted(count: int, config: ChecksConfig, example: str) -> None:
    """Stop where rows of a symbol go back in time.

    Raises
    ------
    UserError
        Names the first such row.
    """
    if count and config.defects.unsorted_rows == "error":
        raise UserError(
            f"{count:,} rows lie before an earlier row of their symbol, as {example}. "
            "Sort the source by symbol and time, or set "
            "data.defects.unsorted_rows=sort."
        )


def refuse_splits(
    n_symbols: int, total: int, config: ChecksConfig, example: str
) -> None:
    """Stop where too many symbols seem to have an unadjusted split.

    Raises
    ------
    UserError
        Names the share, its limit and one such bar.
    """
    limit = config.defects.max_split_share
    if n_symbols > limit * total:
        raise UserError(
            f"{n_symbols} of {total} symbols have a jump like a split that prices were "
            f"not adjusted for, as {example}; data.defects.max_split_share allows "
            f"{limit:.0%}. Give adjusted prices, a column adj_close, or "
            "data.defects.split_table, or raise the limit."
        )


def refuse_untradable(panel: Panel, where: str) -> None:
    """Stop where no bar is tradable, so that nothing could be ranked.

    Raises
    ------
    UserError
        Says how many bars have no volume.
    """
    if panel.tradable.any():
        return
    volume = panel.values[:, :, panel.fields.index("volume")][panel.present]
    unknown, none = int(np.isnan(volume).sum()), int((volume == 0).sum())
    raise UserError(
        f"{where}: none of {len(volume):,} bars is tradable: {unknown:,} lack a volume, "
        f"{none:,} have a volume of zero, the others repeat the prices before. Give "
        "bars with their volume; if the column has another name, data.column_map."
    )


def refuse_survivors(warning: str, config: ChecksConfig) -> None:
    """Stop where nearly all symbols trade to the last day.

    Raises
    ------
    UserError
        Gives the figures.
    """
    if warning and config.defects.survivorship == "error":
        raise UserError(
            f"{warning} Add the names that left, or set data.defects.survivorship=warn."
        )
