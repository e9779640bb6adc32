"""Feature tables of long histories, block by block of bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.features.carried import Carried
from ranking_pipeline.features.compute import compute_columns, table_of
from ranking_pipeline.features.registry import Factor
from ranking_pipeline.features.selection import find_factors
from ranking_pipeline.features.timeframes import fine_lookback_bars
from ranking_pipeline.features.windows import Array
from ranking_pipeline.panel import Panel


def feature_blocks(
    panel: Panel, names: Sequence[str] | None = None, *, rows_per_block: int
) -> Iterator[pd.DataFrame]:
    """Compute the feature table in blocks that follow each other.

    Parameters
    ----------
    panel : Panel
    names : sequence of str, optional
        Factors in the order of the columns; all by default.
    rows_per_block : int
        Most rows of a block; a block holds whole bars, and at least one. It takes
        4 bytes x factors x (rows_per_block + symbols x look-back) of memory.

    Yields
    ------
    DataFrame
        Rows of :func:`compute_table`, bit for bit; each block counts its rows from 0.
        Drop it before asking for the next one: both would be held.

    Raises
    ------
    UserError
        For unknown or repeated names, and for a block without rows.

    Notes
    -----
    Each block is computed with the bars before it that its factors look back on. What
    accumulates over the whole history is handed from block to block.
    """
    if rows_per_block < 1:
        raise UserError(f"rows_per_block is {rows_per_block}; give 1 or more")
    factors = find_factors(names)
    reach = _Reach.of(panel, factors)
    accumulated: dict[str, Array] = {}
    for first, stop in _cuts(panel, rows_per_block):
        start = reach.start(first)
        carried = Carried(
            accumulated,
            first_bar=max(reach.accumulated_from(first) - start, 0),
            next_bar=reach.accumulated_from(stop) - start,
        )
        block = panel.cut(slice(start, stop))
        history = panel.cut(slice(min(start, reach.coarse_start(first)), stop))
        columns = compute_columns(block, factors, carried, history)
        accumulated = carried.after
        yield table_of(block, columns, factors, first - start)
        del columns, block


def _cuts(panel: Panel, rows_per_block: int) -> Iterator[tuple[int, int]]:
    """First bar and end of each block."""
    rows = np.append(0, np.cumsum(panel.tradable.sum(axis=0)))
    first = 0
    while first < panel.n_bars:
        last = np.searchsorted(rows, rows[first] + rows_per_block, side="right") - 1
        stop = max(int(last), first + 1)
        yield first, stop
        first = stop


@dataclass(frozen=True)
class _Reach:
    """How far before a block its factors look."""

    panel: Panel
    bars: int
    coarse_bars: int
    sessions: tuple[tuple[int, int], ...]
    expanding: bool

    @classmethod
    def of(cls, panel: Panel, factors: Sequence[Factor]) -> _Reach:
        fine = [factor for factor in factors if not factor.interval]
        sessions = {
            (factor.lookback_bars, factor.lookback_sessions)
            for factor in fine
            if factor.session
        }
        return cls(
            panel,
            # one bar at least: what accumulates is handed over before the block
            max((factor.lookback_bars for factor in fine), default=0) or 1,
            max((_coarse_bars(panel, factor) for factor in factors), default=0),
            tuple(sorted(sessions)),
            any(factor.expanding for factor in fine),
        )

    def accumulated_from(self, first: int) -> int:
        """Bar from which a block accumulates itself: all that it may look back on."""
        return first - self.bars

    def start(self, first: int) -> int:
        """First bar that a block needs."""
        # the series that accumulate look back themselves
        start = first - (2 if self.expanding else 1) * self.bars
        session = self.panel.session
        for bars, sessions in self.sessions:
            oldest = session[max(first - bars, 0)] - sessions
            # the bar before an opening shows that it is one
            start = min(start, int(np.searchsorted(session, oldest)) - 1)
        return max(start, 0)

    def coarse_start(self, first: int) -> int:
        """First bar from which the coarser bars of a block are made."""
        return max(first - self.coarse_bars, 0)


def _coarse_bars(panel: Panel, factor: Factor) -> int:
    if factor.interval is None:
        return 0
    if factor.window != "bars":
        return panel.n_bars
    return fine_lookback_bars(panel, factor.lookback_bars, factor.interval)
