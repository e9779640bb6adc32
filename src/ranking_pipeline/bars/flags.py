"""Doubtful bars of the dense panel: no volume, stale runs, splits, lone spikes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.panel import OHLCV

Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]
Cells = npt.NDArray[np.int64]

FLAGS = (
    "zero_volume",
    "missing_volume",
    "stale_run",
    "likely_split",
    "reverting_outlier",
)
_SPLIT_RATIOS = np.log([1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0])
_SPLIT_TOLERANCE = 0.03
_NORMAL_MAD = 1.4826
# Bars of some symbols that stay in the cache while all flags are computed.
_BLOCK_BARS = 1 << 17


@dataclass(frozen=True)
class Flagged:
    """Which bars take part in the cross-section, and why others do not.

    Attributes
    ----------
    tradable : ndarray of bool, shape (S, T)
    cells : dict of ndarray of int64
        ``symbol * T + bar`` of the bars that each of ``FLAGS`` found, in that order.
    """

    tradable: Mask
    cells: dict[str, Cells]

    def without(self, removed: Cells) -> Flagged:
        """Forget bars that were taken out of the panel."""
        tradable = self.tradable.copy()
        tradable.reshape(-1)[removed] = False
        cells = {name: np.setdiff1d(own, removed) for name, own in self.cells.items()}
        return Flagged(tradable, cells)


def flag_bars(values: Values, config: ChecksConfig) -> Flagged:
    """Look at the bars of each symbol in the order of time, gaps left out.

    Parameters
    ----------
    values : ndarray of float32, shape (S, T, 5)
        NaN where there is no bar.
    config
        Lengths and limits.
    """
    n_symbols, n_bars, _ = values.shape
    tradable = np.zeros((n_symbols, n_bars), dtype=bool)
    cells: dict[str, list[Cells]] = {name: [] for name in FLAGS}
    for block in _blocks(n_symbols, n_bars):
        present = ~np.isnan(values[block, :, OHLCV.index("close")])
        codes, bars = np.nonzero(present)
        columns = _columns(values[block], present)
        # A price near the limits of 32 bits gives an infinite ratio, which is no flag.
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            masks = _masks(columns, codes, config)
        for name, mask in masks.items():
            found = np.flatnonzero(mask)
            cells[name].append((codes[found] + block.start) * n_bars + bars[found])
        out = masks["zero_volume"] | masks["missing_volume"]
        if config.defects.stale_runs == "not_tradable":
            out |= masks["stale_run"]
        tradable[block] = present
        tradable[codes[out] + block.start, bars[out]] = False
    return Flagged(tradable, {name: _join(parts) for name, parts in cells.items()})


def _blocks(n_symbols: int, n_bars: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BARS // max(n_bars, 1))
    for start in range(0, n_symbols, step):
        yield slice(start, min(start + step, n_symbols))


def _columns(values: Values, present: Mask) -> dict[str, Values]:
    bars = values.reshape(-1, len(OHLCV)) if present.all() else values[present]
    return dict(zip(OHLCV, np.ascontiguousarray(bars.T), strict=True))


def _join(parts: list[Cells]) -> Cells:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _masks(
    bars: dict[str, Values], codes: Codes, config: ChecksConfig
) -> dict[str, Mask]:
    rules = config.defects
    fresh = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
    return {
        "zero_volume": bars["volume"] == 0,
        "missing_volume": np.isnan(bars["volume"]),
        "stale_run": stale_bars(bars, fresh, rules.stale_run_bars),
        "likely_split": likely_splits(bars, fresh),
        "reverting_outlier": reverting_outliers(bars, fresh, rules.outlier_sigmas),
    }


def stale_bars(bars: dict[str, Values], fresh: Mask, run_bars: int) -> Mask:
    """Bars that repeat their four prices for more than ``run_bars`` bars.

    A run is known only once it is long enough, so its first ``run_bars`` bars are not
    marked: no bar is judged by a later one.

    Parameters
    ----------
    bars : dict of ndarray, each of shape (n,)
        Bars sorted by symbol and time.
    fresh : ndarray of bool, shape (n,)
        The first bar of each symbol.
    run_bars
        Longest run that is not stale.
    """
    changed = fresh.copy()
    for name in OHLCV[:4]:
        changed[1:] |= bars[name][1:] != bars[name][:-1]
    if changed.all():
        return ~changed
    position = np.arange(len(changed))
    start = np.maximum.accumulate(np.where(changed, position, 0))
    mask: Mask = position - start >= run_bars
    return mask


def likely_splits(bars: dict[str, Values], fresh: Mask) -> Mask:
    """Bars whose close and open jump by a split's ratio while volume jumps back."""
    mask = np.zeros(len(fresh), dtype=bool)
    close = bars["close"]
    ratio = close[1:] / close[:-1]
    least = np.exp(_SPLIT_RATIOS[0] - _SPLIT_TOLERANCE)
    # Only bars with a jump large enough need logarithms.
    large = np.flatnonzero(((ratio > least) | (ratio < 1 / least)) & ~fresh[1:])
    jump = np.log(ratio[large].astype(np.float64))
    opening = np.log(bars["open"][large + 1].astype(np.float64) / close[large])
    volume = np.maximum(np.nan_to_num(bars["volume"].astype(np.float64)), 1.0)
    answer = -np.log(volume[large + 1] / volume[large]) * np.sign(jump)
    distance = np.abs(np.abs(jump)[:, None] - _SPLIT_RATIOS).min(axis=1)
    at_once = np.abs(jump - opening) < 2 * _SPLIT_TOLERANCE
    like_split = (distance < _SPLIT_TOLERANCE) & at_once
    mask[large[like_split & (answer > 0.5 * np.abs(jump))] + 1] = True
    return mask


def reverting_outliers(bars: dict[str, Values], fresh: Mask, sigmas: float) -> Mask:
    """Bars whose return exceeds ``sigmas`` robust deviations and is at once undone.

    The deviation of a symbol is 1.4826 times its median absolute return. The next bar
    is needed to see that a move was undone.
    """
    mask = np.zeros(len(fresh), dtype=bool)
    if len(fresh) < 3:
        return mask
    close = bars["close"]
    step = np.log(close[1:] / close[:-1])
    # The step into the first bar of a symbol leads from another one.
    step[fresh[1:]] = np.nan
    limit = sigmas * _typical_move(np.abs(step), np.flatnonzero(fresh))
    move, back = step[:-1], step[1:]
    undone = np.abs(move + back) < 0.5 * np.abs(move)
    mask[1:-1] = (np.abs(move) > limit[:-1]) & undone
    return mask


def _typical_move(moves: Values, firsts: Codes) -> Values:
    """Robust deviation of each step's symbol; infinite where most steps are zero."""
    scale = np.full(len(moves), np.inf, dtype=np.float32)
    for first, last in zip(firsts, [*firsts[1:], len(moves) + 1], strict=True):
        own = moves[first : last - 1]
        if len(own):
            median = np.median(own)
            if median > 0:
                scale[first : last - 1] = _NORMAL_MAD * median
    return scale
