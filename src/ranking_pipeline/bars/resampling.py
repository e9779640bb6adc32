"""Coarser bars from finer ones, anchored at the open of each session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.calendar import Sessions
from ranking_pipeline.bars.interval import MINUTES_OF_DAY, interval_minutes
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import OHLCV, Panel

IntArray = npt.NDArray[np.signedinteger]
DateArray = npt.NDArray[np.datetime64]
# Symbols at a time: the intermediate arrays stay small beside the panel.
_BLOCK_SYMBOLS = 32


def bucket_of(
    panel: Panel, interval: str, sessions: Sessions | None = None
) -> tuple[npt.NDArray[np.int32], DateArray]:
    """Bucket of each bar, and the END of each bucket.

    Bucket k of a session holds the bars that end in (open + (k - 1) x interval,
    open + k x interval]; a daily bucket holds its whole session. The end is nominal, so
    that it does not depend on which bars came: ``open + k x interval``, for daily
    buckets ``open + 24 h``; at most the close where ``sessions`` tell it. So a bucket
    whose end is at or before bar t is complete at bar t, and a shorter panel with the
    same beginning gives the same buckets.

    Parameters
    ----------
    panel
        Bars finer than ``interval``; a coarser bar gets a bucket of its own.
    interval
        Length of a bucket, as ``5m``, ``1h`` or ``1d``.
    sessions
        Sessions whose closes cut the ends; None = the closes are not known. Dates they
        lack keep the nominal end.

    Returns
    -------
    bucket : ndarray of int32, shape (T,)
        Position of the bucket, never decreasing; only buckets that hold a bar count.
    ends : ndarray of datetime64[ns], shape (B,)
        Strictly increasing.

    Raises
    ------
    UserError
        ``interval`` is no length of a bar, or a bar ends after the close of its session.
    """
    number, end_minutes = _buckets_of_sessions(panel, interval, sessions)
    session = panel.session
    opens_bucket = np.append(
        True, (session[1:] != session[:-1]) | (number[1:] != number[:-1])
    )[: panel.n_bars]
    first = np.flatnonzero(opens_bucket)
    bucket = np.cumsum(opens_bucket, dtype=np.int32) - np.int32(1)
    opens = panel.timestamps - _minutes(panel.session_minutes)
    ends = (opens[first] + _minutes(end_minutes[first])).astype("M8[ns]")
    return bucket, ends


def resample_panel(
    panel: Panel, interval: str, sessions: Sessions | None = None
) -> Panel:
    """Panel of coarser bars.

    Open is the first present bar's, close the last one's, high the maximum, low the
    minimum and volume the sum of the present bars; a bucket without a present bar stays
    missing. A bucket is tradable where one of its bars is, and its sector is that of
    its last bar. Sessions never mix.

    Parameters
    ----------
    panel, interval, sessions
        See :func:`bucket_of`, which also raises the errors.

    Returns
    -------
    Panel
        Shape (S, B, F); its timestamps are the ends of the buckets.
    """
    bucket, ends = bucket_of(panel, interval, sessions)
    first = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1])[: panel.n_bars])
    last = np.append(first[1:], panel.n_bars)[: len(first)] - 1
    opens = panel.timestamps - _minutes(panel.session_minutes)
    since_open = (ends - opens[first]).astype("m8[m]").view("i8")
    return replace(
        panel,
        timestamps=ends,
        values=_resample_values(panel, first),
        tradable=_any(panel.tradable, first),
        trading_dates=panel.trading_dates[first],
        session_minutes=since_open.astype(np.int32),
        sectors=panel.sectors[:, last],
    )


def _minutes(counts: npt.NDArray[np.signedinteger]) -> npt.NDArray[np.timedelta64]:
    return counts.astype("m8[m]").astype("m8[ns]")


def _buckets_of_sessions(
    panel: Panel, interval: str, sessions: Sessions | None
) -> tuple[IntArray, IntArray]:
    """Number of each bar's bucket in its session, and minutes from open to its end."""
    length = interval_minutes(interval)
    since_open = panel.session_minutes.astype(np.int64)
    # A bar that ends on a boundary closes its bucket: rounded up, also before the open.
    number = -(-since_open // length)
    if length == MINUTES_OF_DAY:
        number = np.zeros_like(number)
        end_minutes = np.full_like(number, MINUTES_OF_DAY)
    else:
        end_minutes = number * length
    if sessions is None or not len(sessions.dates):
        return number, end_minutes
    return number, np.minimum(end_minutes, _minutes_to_close(panel, sessions))


def _minutes_to_close(panel: Panel, sessions: Sessions) -> IntArray:
    """Minutes from the open to the close of each bar's session, shape (T,)."""
    place = np.searchsorted(sessions.dates, panel.trading_dates)
    place = np.minimum(place, len(sessions.dates) - 1)
    known = sessions.dates[place] == panel.trading_dates
    late = known & (panel.timestamps > sessions.closes[place])
    if late.any():
        bar = int(np.argmax(late))
        raise UserError(
            f"the bar that ends at {panel.timestamps[bar]} lies after the close of "
            f"{sessions.name} ({sessions.closes[place[bar]]}): keep the regular session "
            "alone (data.session: regular), or use no calendar."
        )
    opens = panel.timestamps - _minutes(panel.session_minutes)
    to_close = (sessions.closes[place] - opens).astype("m8[m]").view("i8")
    return np.where(known, to_close, np.iinfo(np.int64).max)


def _resample_values(
    panel: Panel, first: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    if panel.fields != OHLCV:
        raise ValueError(f"fields {panel.fields}: rules are known for {OHLCV}")
    shape = (panel.n_symbols, len(first), len(panel.fields))
    values = np.empty(shape, dtype=np.float32)
    if len(first):
        present = panel.present
        for start in range(0, panel.n_symbols, _BLOCK_SYMBOLS):
            block = slice(start, start + _BLOCK_SYMBOLS)
            _resample_block(panel.values[block], present[block], first, values[block])
    return values


def _resample_block(
    fine: npt.NDArray[np.float32],
    present: npt.NDArray[np.bool_],
    first: npt.NDArray[np.intp],
    coarse: npt.NDArray[np.float32],
) -> None:
    """Fill ``coarse`` (s, B, 5) from ``fine`` (s, T, 5), fields in the order of OHLCV."""
    n_bars = fine.shape[1]
    position = np.arange(n_bars, dtype=np.int32)
    opening = np.where(present, position, np.int32(n_bars))
    opening = np.minimum.reduceat(opening, first, axis=1)  # (s, B)
    closing = np.where(present, position, np.int32(-1))
    closing = np.maximum.reduceat(closing, first, axis=1)  # (s, B)
    row = np.arange(len(fine))[:, None]
    # An empty bucket must read a cell that exists before it is blanked.
    coarse[..., 0] = fine[row, np.minimum(opening, n_bars - 1), 0]
    coarse[..., 1] = np.fmax.reduceat(fine[..., 1], first, axis=1)
    coarse[..., 2] = np.fmin.reduceat(fine[..., 2], first, axis=1)
    coarse[..., 3] = fine[row, closing, 3]
    # Summed in double precision: a day of large volumes exceeds 24 bits.
    volume = np.where(present, fine[..., 4], np.float32(0)).astype(np.float64)
    coarse[..., 4] = np.add.reduceat(volume, first, axis=1)
    coarse[closing < 0] = np.nan


def _any(
    mask: npt.NDArray[np.bool_], first: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    if not len(first):
        return mask[:, :0]
    return np.asarray(np.logical_or.reduceat(mask, first, axis=1))
