"""Fill the dense panel from the numbers of the rows, judging each row on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.duplicates import judge_duplicates
from ranking_pipeline.bars.raw import RawBars
from ranking_pipeline.bars.refusals import refuse_stored_types
from ranking_pipeline.bars.rows import Rows, rows_in, shared_cells
from ranking_pipeline.bars.rules import (
    PRICES,
    Array,
    Mask,
    Numbers,
    judge_numbers,
    outside_range,
    plainly_sound,
    read_numbers,
)
from ranking_pipeline.panel import OHLCV

Positions = npt.NDArray[np.intp]
Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Filled:
    """The panel's values, and what was noticed of the rows.

    Attributes
    ----------
    values : ndarray of float32, shape (S, T, 5)
        NaN where no sound row was found.
    from_text, widened, imprecise : ndarray of int
        Rows with numbers stored as text; with a range that was widened by more than
        rounding; with high and low that 32 bits cannot tell apart.
    """

    values: npt.NDArray[np.float32]
    from_text: Positions
    widened: Positions
    imprecise: Positions


def fill_values(raw: RawBars, rows: Rows, config: ChecksConfig) -> Filled:
    """Judge the numbers of all rows and put the sound ones where they belong.

    ``rows.verdict`` is written to. Rows that share a cell are judged once all are read.

    Raises
    ------
    UserError
        Text, or numbers too fine for 32 bits, where the parameters refuse them.
    """
    values = np.full((*rows.shape, len(OHLCV)), np.nan, dtype=np.float32)
    flat = values.reshape(-1, len(OHLCV))
    noticed: list[_Noticed] = []
    for piece, columns in raw.numbers():
        numbers = read_numbers(columns)
        block, seen = _judge_piece(numbers, rows.verdict[piece], config)
        selected = rows.verdict[piece] >= 0
        refuse_stored_types(columns, selected, config, raw.reading.source)
        noticed.append(seen.moved(piece.start, selected))
        sound = rows.verdict[piece] == 0
        cells = rows.cells(piece)
        if sound.all():
            flat[cells] = block
        else:
            flat[cells[sound]] = block[sound]
    filled = Filled(
        values,
        _join(seen.from_text for seen in noticed),
        _join(seen.widened for seen in noticed),
        _join(seen.imprecise for seen in noticed),
    )
    _settle_duplicates(raw, rows, values, config)
    sound_rows = rows.verdict == 0
    return replace(
        filled,
        widened=filled.widened[sound_rows[filled.widened]],
        imprecise=filled.imprecise[sound_rows[filled.imprecise]],
    )


@dataclass(frozen=True)
class _Noticed:
    """Rows of one piece, by their positions."""

    from_text: Positions
    widened: Positions
    imprecise: Positions

    def moved(self, start: int, selected: Mask) -> _Noticed:
        """Positions in the whole source, of the selected rows alone."""
        parts = (self.from_text, self.widened, self.imprecise)
        return _Noticed(*(part[selected[part]] + start for part in parts))


def _judge_piece(
    numbers: Numbers, verdict: npt.NDArray[np.int8], config: ChecksConfig
) -> tuple[Block, _Noticed]:
    """Write the verdicts of one piece in place; its values, and what was noticed."""
    top, bottom = _extremes(numbers)
    doubtful = np.flatnonzero(
        ~plainly_sound(numbers, top, bottom, config) & (verdict == 0)
    )
    if len(doubtful):
        verdict[doubtful] = judge_numbers(take_numbers(numbers, doubtful), config)
    block = _block(numbers, top, bottom, config)
    nothing = np.empty(0, dtype=np.intp)
    widened = nothing
    if config.defects.price_range == "repair":
        tolerance = config.defects.price_range_tolerance
        widened = np.flatnonzero(outside_range(numbers.values, tolerance))
    from_text = np.flatnonzero(numbers.from_text)
    return block, _Noticed(from_text, widened, _imprecise(numbers))


def _extremes(numbers: Numbers) -> tuple[Array, Array]:
    """Largest and smallest of the four prices; NaN where one is missing."""
    open_, high, low, close = (numbers.values[name] for name in PRICES)
    top = np.maximum(np.maximum(open_, close), np.maximum(high, low))
    bottom = np.minimum(np.minimum(open_, close), np.minimum(high, low))
    return top, bottom


def take_numbers(numbers: Numbers, rows: Positions) -> Numbers:
    """Numbers of some rows only."""
    return Numbers(
        {name: column[rows] for name, column in numbers.values.items()},
        numbers.unreadable[rows],
        numbers.from_text[rows],
        numbers.single,
    )


def _block(numbers: Numbers, top: Array, bottom: Array, config: ChecksConfig) -> Block:
    """Open, high, low, close and volume as the panel holds them, shape (n, 5).

    High and low are widened to hold open and close: repairs, and excess within the
    tolerance. All prices are scaled by adj_close / close, so that returns include
    dividends; the factor knows of later ones. Volume is divided by it, so that the
    traded value, price times volume, stays what it was on the day.
    """
    values = numbers.values
    columns = [values["open"], top, bottom, values["close"], values["volume"]]
    if config.adjust_by_adj_close and "adj_close" in values:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factor = values["adj_close"] / values["close"]
            columns = [column * factor for column in columns[:4]]
            columns.append(values["volume"] / factor)
    block = np.empty((len(top), len(OHLCV)), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for position, column in enumerate(columns):
            block[:, position] = column
    return block


def _imprecise(numbers: Numbers) -> Positions:
    """Rows whose high and low differ as they are stored, and not in 32 bits."""
    if numbers.single:
        return np.empty(0, dtype=np.intp)
    high, low = numbers.values["high"], numbers.values["low"]
    with np.errstate(over="ignore"):
        merged = high.astype(np.float32) == low.astype(np.float32)
    return np.flatnonzero(merged & (high > low))


def _join(parts: Iterable[Positions]) -> Positions:
    return np.concatenate([np.empty(0, dtype=np.intp), *parts])


def _settle_duplicates(
    raw: RawBars, rows: Rows, values: npt.NDArray[np.float32], config: ChecksConfig
) -> None:
    """Judge sound rows that share a cell, and leave in each cell what was decided."""
    close = OHLCV.index("close")
    n_sound = np.count_nonzero(rows.verdict == 0)
    if n_sound == np.count_nonzero(~np.isnan(values[:, :, close])):
        return
    twins = rows_in(shared_cells(rows), rows)
    cells = rows.cells(twins)
    again = raw.rows(twins)
    numbers = read_numbers({name: again[name] for name in raw.columns})
    keep_last = config.defects.conflicts == "keep_last"
    verdict = judge_duplicates(cells, numbers.values, keep_last=keep_last)
    rows.verdict[twins] = verdict
    flat = values.reshape(-1, len(OHLCV))
    flat[cells] = np.nan
    block = _block(numbers, *_extremes(numbers), config)
    flat[cells[verdict == 0]] = block[verdict == 0]
