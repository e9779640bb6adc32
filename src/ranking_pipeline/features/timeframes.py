"""Factors of coarser bars on the axis of finer ones: ``ret_5@1h``, ``vol_20@1d``.

A coarse bar is used only once it has ended. Its end is counted from the opening of its
session, whatever is traded then, so that no later bar can move it; the close of a
session is not part of the bars, hence a daily bar ends 24 hours after its opening and is
used from the first bar of the next session.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.interval import interval_minutes
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

SEPARATOR = "@"
FEW_BARS = 20  # so short a panel may end before a coarse bar holds two of its bars

Positions = npt.NDArray[np.intp]


def parse_name(name: str) -> tuple[str, str | None]:
    """Split the name of a factor from the bars that it is computed on.

    Parameters
    ----------
    name : str
        ``ret_5`` or ``ret_5@1h``.

    Returns
    -------
    base : str
        The name in the library.
    interval : str or None
        ``1h``; None for the bars of the panel.

    Raises
    ------
    UserError
        When what follows the @ is not the length of a bar.
    """
    base, separator, interval = name.partition(SEPARATOR)
    if not separator:
        return base, None
    try:
        interval_minutes(interval)
    except UserError as error:
        raise UserError(f"features.factors: {name!r}: {error}") from error
    return base, interval


def coarse_values(
    panel: Panel, factor_names: Sequence[str], interval: str
) -> npt.NDArray[np.float32]:
    """Compute factors of coarser bars as they are known at each bar of the panel.

    Parameters
    ----------
    panel : Panel
        The fine bars.
    factor_names : sequence of str
        Names in the library, without the @.
    interval : str
        Length of the coarser bars: ``30m``, ``1h``, ``1d``.

    Returns
    -------
    ndarray of float32, shape (S, T, F)
        At t the value at the last coarse bar that has ended by the end of bar t. NaN
        where the symbol has no bar at t, and where the coarse factor is unknown.

    Raises
    ------
    UserError
        When the interval is not longer than the bars of the panel.

    Notes
    -----
    The first coarse bar of the panel is left out, because it may have begun before the
    panel did. What is known at t therefore depends on the bars
    t - :func:`fine_lookback_bars` ... t alone.
    """
    from ranking_pipeline.bars.resampling import resample_panel
    from ranking_pipeline.features.compute import compute_features

    coarse = resample_panel(panel, interval)
    if coarse.n_bars == panel.n_bars > FEW_BARS:
        raise UserError(
            f"features.factors: {factor_names[0]}{SEPARATOR}{interval} asks for bars "
            "that are no longer than those of the panel; name a longer interval"
        )
    values = np.full((*panel.tradable.shape, len(factor_names)), np.nan, np.float32)
    last = last_ended(panel.timestamps, coarse.timestamps)
    known = last > 0
    if known.any():
        computed = compute_features(coarse.cut(slice(1, None)), factor_names)
        values[:, known] = computed[:, last[known] - 1]
    values[~panel.present] = np.nan
    return values


def last_ended(
    timestamps: npt.NDArray[np.datetime64], ends: npt.NDArray[np.datetime64]
) -> Positions:
    """Find the last coarse bar that has ended by the end of each fine one.

    Parameters
    ----------
    timestamps : ndarray of datetime64[ns], shape (T,)
        Ends of the fine bars.
    ends : ndarray of datetime64[ns], shape (B,)
        Ends of the coarse bars, strictly increasing.

    Returns
    -------
    ndarray of int, shape (T,)
        -1 where none has ended.
    """
    return np.searchsorted(ends, timestamps, side="right") - 1


def fine_lookback_bars(panel: Panel, lookback_bars: int, interval: str) -> int:
    """Count the bars before t that a factor of coarser bars may need.

    Parameters
    ----------
    panel : Panel
        The fine bars; their calendar alone is read.
    lookback_bars : int
        Look-back of the factor in coarse bars.
    interval : str

    Returns
    -------
    int
        The most that any bar of this panel needs: the bars of ``lookback_bars + 1``
        coarse bars, those of the ones that have not ended, and one bar more, which
        shows the beginning of the oldest. All bars where the panel is shorter.
    """
    from ranking_pipeline.bars.resampling import bucket_of

    bucket, ends = bucket_of(panel, interval)
    oldest = last_ended(panel.timestamps, ends) - lookback_bars
    reached = np.flatnonzero(oldest > 0)
    if not len(reached):
        return panel.n_bars
    first = np.searchsorted(bucket, oldest[reached])
    return int((reached - first).max()) + 1
