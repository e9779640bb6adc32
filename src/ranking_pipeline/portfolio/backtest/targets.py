"""Targets: the weights that scores ask for, bar by bar."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.metrics import (
    descending_places,
    tail_size,
    tails,
)

Matrix = npt.NDArray[np.float64]


def target_weights(
    score: npt.NDArray[np.floating], tail_share: float, min_symbols: int = 2
) -> Matrix:
    """Equal weights, +1 over the top tail and -1 over the bottom tail of each bar.

    Parameters
    ----------
    score : ndarray, shape (T, S)
        NaN where a symbol cannot be chosen; ties go by (-score, column).
    tail_share : float
        Share of the symbols in each tail.
    min_symbols : int
        A bar with fewer scores has no target.

    Returns
    -------
    ndarray of float64, shape (T, S); a row of NaN where there is no target.
    """
    longs, shorts = tails(score, tail_share)
    size = longs.sum(axis=1)
    signs = longs.astype(np.float64) - shorts.astype(np.float64)
    weights: Matrix = signs / np.maximum(size, 1)[:, None]
    untargeted = (size == 0) | (np.isfinite(score).sum(axis=1) < min_symbols)
    weights[untargeted] = np.nan
    return weights


def banded_weights(
    score: npt.NDArray[np.floating],
    tail_share: float,
    band_share: float,
    *,
    horizon_bars: int = 1,
    min_symbols: int = 2,
) -> Matrix:
    """Weights like :func:`target_weights` that hold on to names near the tail.

    A name that is held stays while its place is inside the wider band; only the places
    that it leaves are filled, with the best names that are not held. Turnover falls, at
    the price of a slightly weaker score in the book.

    Parameters
    ----------
    score : ndarray, shape (T, S)
    tail_share : float
        Share of the symbols in each tail.
    band_share : float
        Share of the symbols, ``tail_share`` ... 0.5, within which a held name stays.
        At ``tail_share`` the result is :func:`target_weights`.
    horizon_bars : int
        A book is renewed every so many bars: it holds on to its own names.
    min_symbols : int

    Returns
    -------
    ndarray of float64, shape (T, S); a row of NaN where there is no target.
    """
    if not tail_share <= band_share <= 0.5:
        raise ValueError(f"band_share must be in [{tail_share}, 0.5], not {band_share}")
    place, n = descending_places(score)
    order = np.empty_like(place)
    np.put_along_axis(order, place, np.arange(score.shape[1])[None, :], axis=1)
    size, band = tail_size(n, tail_share), tail_size(n, band_share)
    weights = np.full(score.shape, np.nan)
    held = np.zeros((horizon_bars, 2, score.shape[1]), dtype=np.bool_)
    for bar in np.flatnonzero((n >= min_symbols) & (size > 0)):
        best = order[bar, : n[bar]]
        wanted, each = weights[bar], 1.0 / size[bar]
        wanted[:] = 0.0
        legs = zip(
            held[bar % horizon_bars], (best, best[::-1]), (each, -each), strict=True
        )
        for own, names, weight in legs:
            chosen = _kept_and_filled(own, names, size[bar], band[bar])
            own[:] = False
            own[chosen] = True
            wanted[chosen] = weight
    return weights


def _kept_and_filled(
    held: npt.NDArray[np.bool_], names: npt.NDArray[np.intp], size: int, band: int
) -> npt.NDArray[np.intp]:
    """Held names inside the band, and the best others up to ``size``.

    A place that is filled lies inside the tail: all better names are in the book.
    """
    inside = names[:band]
    stays = held[inside]
    kept = inside[stays][:size]
    others = inside[:size][~stays[:size]]
    return np.concatenate([kept, others[: size - len(kept)]])


def equal_weights(members: npt.NDArray[np.bool_]) -> Matrix:
    """Long the whole market in equal parts: the benchmark as a book.

    Parameters
    ----------
    members : ndarray of bool, shape (T, S)
        Names that can be held at each bar.

    Returns
    -------
    ndarray of float64, shape (T, S)
        Rows sum to 1; NaN where there is no member.
    """
    count = members.sum(axis=1, keepdims=True)
    return np.where(count > 0, members / np.maximum(count, 1), np.nan)
