"""Symbol slopes: what one unit of a score is worth for each symbol, with its error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import MIN_BLOCKS

Series = npt.NDArray[np.float64]
Positions = npt.NDArray[np.integer]


def symbol_slopes(
    x: Series, y: Series, symbols: Positions, blocks: Positions, n_symbols: int
) -> tuple[Series, Series]:
    """Least squares slope through the origin, and its standard error, per symbol.

    Labels overlap, so that rows are not independent. The error is that of independent
    rows times the design effect: the variance from sums over blocks of bars, over the
    plain one, averaged over the symbols, at least 1. A single symbol has too few blocks
    to tell its own, and the overlap is the same for all.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Score and outcome; finite.
    symbols : ndarray of int, shape (n,)
        Position of each row's symbol.
    blocks : ndarray of int, shape (n,)
        Number of the block of bars of each row, from 0.
    n_symbols : int

    Returns
    -------
    slope, error : ndarray of float64, shape (n_symbols,)
        NaN for a symbol with fewer than two rows or a score that is always 0.

    References
    ----------
    Liang and Zeger (1986) for the sums over blocks; Kish (1965) for the design effect.
    """
    rows = np.bincount(symbols, minlength=n_symbols)
    # of no rows at all, a weighted count would be of integers
    square = np.bincount(symbols, x * x, n_symbols).astype(np.float64)
    square[(rows < 2) | (square <= 1e-12 * rows)] = np.nan
    slope = np.bincount(symbols, x * y, n_symbols) / square
    rest = np.nan_to_num(y - slope[symbols] * x)
    spread = np.bincount(symbols, rest**2, n_symbols) / np.maximum(rows - 1, 1)
    variance = spread / square
    n_blocks = int(blocks.max(initial=0)) + 1
    cells = symbols * n_blocks + blocks
    shape = (n_symbols, n_blocks)
    sums = np.bincount(cells, x * rest, n_symbols * n_blocks).reshape(shape)
    seen = np.bincount(cells, minlength=n_symbols * n_blocks).reshape(shape) > 0
    k = seen.sum(axis=1)
    robust = (sums**2).sum(axis=1) / square**2 * k / np.maximum(k - 1, 1)
    usable = (k >= MIN_BLOCKS) & np.isfinite(robust) & (variance > 0)
    ratios = robust[usable] / variance[usable]
    effect = max(1.0, float(ratios.mean())) if len(ratios) else 1.0
    return np.asarray(slope), np.sqrt(variance * effect)
