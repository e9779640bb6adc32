"""Doubtful bars that are kept: stale runs, no volume, likely splits, lone spikes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.rules import PRICES

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

_SPLIT_RATIOS = np.log([1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0])
_SPLIT_TOLERANCE = 0.03
_NORMAL_MAD = 1.4826


def stale_bars(values: Mapping[str, Array], codes: Codes, run_bars: int) -> Mask:
    """Bars that repeat their four prices for more than ``run_bars`` bars.

    A run is known only once it is long enough, so its first ``run_bars`` bars are not
    marked: no bar is judged by a later one.

    Parameters
    ----------
    values : mapping of ndarray, each of shape (n,)
        Bars sorted by symbol and time.
    codes : ndarray, shape (n,)
        Symbol of each row.
    run_bars
        Longest run that is not stale.
    """
    changed = np.ones(len(codes), dtype=bool)
    changed[1:] = codes[1:] != codes[:-1]
    for name in PRICES:
        changed[1:] |= values[name][1:] != values[name][:-1]
    position = np.arange(len(codes))
    start = np.maximum.accumulate(np.where(changed, position, 0))
    mask: Mask = position - start >= run_bars
    return mask


def likely_splits(values: Mapping[str, Array], codes: Codes) -> Mask:
    """Bars whose close and open jump by a split's ratio while volume jumps back."""
    mask = np.zeros(len(codes), dtype=bool)
    same = codes[1:] == codes[:-1]
    jump = _log_step(values["close"], values["close"])
    opening = _log_step(values["open"], values["close"])
    volume = np.maximum(values["volume"], 1.0)
    answer = -_log_step(volume, volume) * np.sign(jump)
    ratio = np.abs(np.abs(jump)[:, None] - _SPLIT_RATIOS).min(axis=1)
    at_once = np.abs(jump - opening) < 2 * _SPLIT_TOLERANCE
    answered = answer > 0.5 * np.abs(jump)
    mask[1:] = same & (ratio < _SPLIT_TOLERANCE) & at_once & answered
    return mask


def reverting_outliers(
    values: Mapping[str, Array], codes: Codes, sigmas: float
) -> Mask:
    """Bars whose return exceeds ``sigmas`` robust deviations and is at once undone.

    The deviation of a symbol is 1.4826 times its median absolute return. Only for a
    flag: the next bar is needed to see that a move was undone.
    """
    mask = np.zeros(len(codes), dtype=bool)
    if len(codes) < 3:
        return mask
    step = np.where(
        codes[1:] == codes[:-1], _log_step(values["close"], values["close"]), np.nan
    )
    scale = _typical_move(step, codes[1:])
    move, back = step[:-1], step[1:]
    undone = np.abs(move + back) < 0.5 * np.abs(move)
    mask[1:-1] = (np.abs(move) > sigmas * scale[:-1]) & undone
    return mask


def _typical_move(step: Array, codes: Codes) -> Array:
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    scale = np.full(len(step), np.inf)
    for first, last in zip(starts, [*starts[1:], len(step)], strict=True):
        moves = np.abs(step[first:last])
        moves = moves[~np.isnan(moves)]
        if len(moves) and np.median(moves) > 0:
            scale[first:last] = _NORMAL_MAD * np.median(moves)
    return scale


def _log_step(now: Array, before: Array) -> Array:
    return np.asarray(np.log(now[1:] / before[:-1]))
