"""Ingest: from raw bars to a panel that can be trusted, every row accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.account import check_account, refuse_too_many, summarise
from ranking_pipeline.bars.calendar import Sessions
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.fill import Filled, fill_values
from ranking_pipeline.bars.flags import FLAGS, Flagged, flag_bars
from ranking_pipeline.bars.gaps import fill_gaps, fill_missing_prices, gap_table
from ranking_pipeline.bars.quality import QualityLog, examples, quarantine_table
from ranking_pipeline.bars.raw import RawBars
from ranking_pipeline.bars.refusals import (
    refuse_files,
    refuse_imprecise,
    refuse_splits,
    refuse_survivors,
    refuse_unsorted,
    refuse_untradable,
)
from ranking_pipeline.bars.rows import Cells, Rows, goes_back, read_rows
from ranking_pipeline.bars.rules import ROW_RULES, RULE_CODE
from ranking_pipeline.bars.split_table import adjust_for_splits, read_splits
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import OHLCV, Panel

Positions = npt.NDArray[np.intp]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ingested:
    """A panel, and the account of every row that was read.

    Attributes
    ----------
    panel : Panel
        Checked bars, with trading dates and session minutes; sectors unknown.
    quarantine : DataFrame
        The rows set aside with their original values, the rule and the action.
    quality : DataFrame
        rule, action, rows, symbols, example.
    gaps : DataFrame
        symbol, first_missing, last_missing, n_bars: spans of the axis that a symbol
        lacks between its first and last bar, before any was filled.
    summary : dict
        Counts with rows_in = rows_kept + rows_repaired + rows_quarantined, and
        rows_filled bars that were added in gaps.
    """

    panel: Panel
    quarantine: pd.DataFrame
    quality: pd.DataFrame
    gaps: pd.DataFrame
    summary: dict[str, Any]


def ingest(
    raw: RawBars,
    config: ChecksConfig,
    *,
    now: pd.Timestamp | None,
    calendar: Sessions | None = None,
) -> Ingested:
    """Judge every raw row: keep, repair or set aside, and flag what is doubtful.

    Symbols and stamps are read first and give each row its cell of the panel; then the
    numbers are read once, judged, and put there. Only doubtful rows are read again.

    Parameters
    ----------
    raw
        Bars as their source holds them.
    config
        The rules.
    now
        An instant in UTC; bars that start later are refused. None leaves the rule out.
    calendar
        Sessions of the exchange; None takes those that ``config.calendar`` names.

    Raises
    ------
    UserError
        No rows are left, a requested symbol has none, or too many were set aside; a
        defect at which ``data.defects`` stops the run; and as
        :func:`~ranking_pipeline.bars.axis.read_axis`.
    """
    refuse_files(raw.reading, config)
    rows = read_rows(raw, config, now=now, sessions=calendar)
    filled = fill_values(raw, rows, config)
    log = QualityLog(rows)
    split = _adjust_for_splits(raw, rows, filled.values, config)
    flagged = flag_bars(filled.values, config)
    if config.defects.outliers == "quarantine":
        flagged = _remove_outliers(rows, filled.values, flagged)
    last_close = np.empty(0, dtype=np.intp)
    if config.defects.missing_prices == "forward_fill":
        limit = config.defects.max_fill_bars
        last_close = fill_missing_prices(rows, filled.values, limit)
    refuse_too_many(rows, config, raw.reading)
    _log_rows(raw, rows, filled, last_close, log=log, config=config)
    log.add_cells("split_table", "adjusted", split)
    _log_flags(raw, rows, filled.values, flagged, log=log, config=config)
    panel, gaps, n_filled = _panel(rows, filled.values, flagged, log, config)
    refuse_untradable(panel, raw.reading.source)
    _log_reading(raw, rows, filled, panel, log)
    widened = filled.widened[rows.verdict[filled.widened] == 0]
    summary = summarise(
        rows,
        panel,
        gaps,
        repaired=len(widened) + len(last_close),
        filled=n_filled,
        adjusted=config.adjust_by_adj_close and "adj_close" in raw.columns,
        config=config,
        reading=raw.reading,
    )
    refuse_survivors(summary["survivorship"]["warning"], config)
    keep_last = config.defects.conflicts == "keep_last"
    quarantine = quarantine_table(raw, rows, keep_last)
    check_account(summary, panel, quarantine)
    return Ingested(panel, quarantine, log.table(raw), gaps, summary)


def _adjust_for_splits(
    raw: RawBars, rows: Rows, values: Values, config: ChecksConfig
) -> Cells:
    table = config.defects.split_table
    if table is None:
        return np.empty(0, dtype=np.int64)
    if config.adjust_by_adj_close and "adj_close" in raw.columns:
        raise UserError(
            f"data.defects.split_table is {table}, but adj_close already adjusts for "
            "splits. Set the table to null, or data.adjust_by_adj_close=false."
        )
    splits = read_splits(table)
    return adjust_for_splits(values, rows.names, rows.axis.trading_dates, splits)


def _remove_outliers(rows: Rows, values: Values, flagged: Flagged) -> Flagged:
    """Set aside the rows of lone spikes, and forget their cells."""
    cells = flagged.cells["reverting_outlier"]
    rows.verdict[rows.find(cells)] = RULE_CODE["reverting_outlier"]
    values.reshape(-1, len(OHLCV))[cells] = np.nan
    return flagged.without(cells)


def _log_rows(
    raw: RawBars,
    rows: Rows,
    filled: Filled,
    last_close: Positions,
    *,
    log: QualityLog,
    config: ChecksConfig,
) -> None:
    out = np.flatnonzero(rows.verdict > 0)
    for code, rule in enumerate(ROW_RULES[1:], start=1):
        log.add(rule, "quarantined", out[rows.verdict[out] == code])
    widened = filled.widened[rows.verdict[filled.widened] == 0]
    log.add("price_outside_range", "repaired", widened)
    log.add("missing_price", "repaired", last_close)
    imprecise = filled.imprecise
    refuse_imprecise(len(imprecise), config, _example(raw, imprecise))
    log.add("precision_loss", "flagged", imprecise)
    back = goes_back(rows)
    refuse_unsorted(len(back), config, _example(raw, back))
    log.add("unsorted", "kept", back)


def _example(raw: RawBars, found: Positions) -> str:
    return "".join(examples(raw, [int(row) for row in found[:1]]))


def _log_flags(
    raw: RawBars,
    rows: Rows,
    values: Values,
    flagged: Flagged,
    *,
    log: QualityLog,
    config: ChecksConfig,
) -> None:
    for name in FLAGS:
        log.add_cells(name, "flagged", flagged.cells[name])
    splits = flagged.cells["likely_split"]
    whose = np.unique(splits // max(rows.shape[1], 1))
    example = _example(raw, rows.find(splits[:1]))
    refuse_splits(len(whose), len(rows.names), config, example)
    off_grid = np.flatnonzero(rows.axis.off_grid)
    if len(off_grid):
        present = ~np.isnan(values[:, off_grid, OHLCV.index("close")])
        symbol, bar = np.nonzero(present)
        cells = symbol * rows.shape[1] + off_grid[bar]
        log.add_cells("off_grid_timestamp", "flagged", cells)


def _panel(
    rows: Rows, values: Values, flagged: Flagged, log: QualityLog, config: ChecksConfig
) -> tuple[Panel, pd.DataFrame, int]:
    """Make the panel of the symbols and bars that are left, its gaps, bars filled."""
    present = ~np.isnan(values[:, :, OHLCV.index("close")])
    symbols = np.asarray(present.any(axis=1))
    bars = np.asarray(present.any(axis=0))
    tradable, axis = flagged.tradable, rows.axis
    if not (symbols.all() and bars.all()):
        used = np.ix_(symbols, bars)
        values, tradable, present = values[used], tradable[used], present[used]
    names = tuple(n for n, kept in zip(rows.names, symbols, strict=True) if kept)
    ends = axis.ends[bars]
    gaps, n_filled = gap_table(names, ends, present), 0
    if config.defects.gaps == "forward_fill":
        symbol, _ = fill_gaps(values, config.defects.max_fill_bars)
        n_filled = len(symbol)
        if n_filled:
            first = gaps.iloc[0]
            example = f"{first['symbol']} {first['first_missing']}"
            log.note("gap", "filled", example, n_filled, len(np.unique(symbol)))
    panel = Panel(
        symbols=names,
        timestamps=ends,
        fields=OHLCV,
        values=values,
        tradable=tradable,
        trading_dates=axis.trading_dates[bars],
        session_minutes=axis.session_minutes[bars],
    )
    return panel, gaps, n_filled


def _log_reading(
    raw: RawBars, rows: Rows, filled: Filled, panel: Panel, log: QualityLog
) -> None:
    log.add("number_stored_as_text", "kept", filled.from_text)
    for name, reason in raw.reading.unreadable_files:
        log.note("unreadable_file", "quarantined", f"{name}: {reason}")
    for note in raw.reading.notes:
        log.note("source_note", "kept", note)
    for name in raw.reading.empty_files:
        log.note("empty_file", "skipped", name)
    if panel.n_symbols == 1:
        text = f"only {panel.symbols[0]}: there is no cross-section to rank"
        log.note("one_symbol", "flagged", text)
    folded: dict[str, list[str]] = {}
    for name in rows.names:
        folded.setdefault(name.casefold(), []).append(name)
    for names in folded.values():
        if len(names) > 1:
            log.note("symbols_differ_by_case", "flagged", " / ".join(names))
