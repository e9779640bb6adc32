"""Label windows and trading sessions: which windows stay inside one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.labels.grammar import TargetSpec
from ranking_pipeline.panel import Panel


def stays_inside(
    session: npt.NDArray[np.integer], window: int
) -> npt.NDArray[np.bool_]:
    """Tell which bars t lie in the same session as t+window.

    Parameters
    ----------
    session : ndarray of int, shape (T,)
        Number of each bar's session, never decreasing.
    window : int
        Bars from the decision to the end of the label.

    Returns
    -------
    ndarray of bool, shape (T,), False where t+window lies beyond the last bar
    """
    inside = np.zeros(len(session), dtype=np.bool_)
    stop = len(session) - window
    if stop > 0:
        inside[:stop] = session[:stop] == session[window:]
    return inside


def require_room(panel: Panel, specs: Sequence[TargetSpec], lag: int) -> None:
    """Refuse targets whose window leaves every session of the panel.

    Raises
    ------
    UserError
        Naming all of them.
    """
    longest = int(np.bincount(panel.session).max(initial=0))
    too_long = [
        f"{spec.name} ({lag + spec.horizon_bars} bars)"
        for spec in specs
        if lag + spec.horizon_bars >= longest
    ]
    if too_long:
        raise UserError(
            "labels.cross_sessions is false, so that a label ends in the session of its "
            f"decision, but the longest session has {longest} bars: no label exists of "
            f"{', '.join(too_long)}. Set it to true, or give shorter horizons"
        )


def uneven_sessions(panel: Panel, bars_per_session: int) -> str | None:
    """Say how many sessions have another number of bars than day horizons count.

    Returns
    -------
    str or None
        None where all sessions between the first and the last one agree.
    """
    counts = np.bincount(panel.session)[1:-1]
    uneven = int((counts != bars_per_session).sum())
    if not uneven:
        return None
    return (
        f"{uneven} of {len(counts)} sessions do not have {bars_per_session} bars (they "
        f"have {counts.min()} to {counts.max()}): horizons in days that cross them end "
        "at another time of day"
    )
