"""Coverage: the names whose latest bars suffice, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.formats import percent
from ranking_pipeline.panel import IntArray, Panel
from ranking_pipeline.portfolio.returns import holder_returns, traded_bars
from ranking_pipeline.ranking.exclusion import Exclusion

# Rounding must not cost a name its place: 0.9 x 30 is 27.000000000000004.
_SLACK = 1e-9


def coverage_exclusions(
    panel: Panel, bar: int, symbols: IntArray, length: int, share: float
) -> dict[str, Exclusion]:
    """Find the names that lack the as-of bar, or too many of the bars before it.

    Parameters
    ----------
    panel : Panel
    bar : int
        The as-of bar; nothing after it is read.
    symbols : ndarray of int, shape (n,)
        Places of the names on the symbol axis.
    length : int
        Bars up to the as-of bar that count; bars before the panel begins are missing.
    share : float
        Share of them that a name needs.

    Returns
    -------
    dict
        Symbol -> why it is excluded, as ``missing_bar``, ``not_member`` (of the
        universe), ``not_tradable`` or ``low_coverage``; names that suffice are not in
        it.
    """
    window = panel.cut(slice(max(0, bar + 1 - length), bar + 1))
    present = window.present[symbols]  # (n, length at most)
    counts = present.sum(axis=1)
    tradable = panel.tradable[symbols, bar]
    # a bar is told from a stale one by the bar before it
    recent = panel.cut(slice(max(0, bar - length), bar + 1))
    traded = traded_bars(recent)[-1, symbols]
    found: dict[str, Exclusion] = {}
    for row, place in enumerate(symbols.tolist()):
        name = panel.symbols[place]
        if not present[row, -1]:
            found[name] = Exclusion("missing_bar", "no bar at the as-of bar")
        elif not tradable[row] and traded[row]:
            found[name] = Exclusion(
                "not_member", "not a member of the universe at the as-of bar"
            )
        elif not tradable[row]:
            found[name] = Exclusion("not_tradable", "not tradable at the as-of bar")
        elif counts[row] < share * length - _SLACK:
            found[name] = Exclusion(
                "low_coverage",
                f"{counts[row]} of the last {length} bars, fewer than {percent(share)}",
            )
    return found


def past_returns(
    panel: Panel, bar: int, symbols: IntArray, length: int
) -> npt.NDArray[np.float64]:
    """Returns of the last ``length`` bars up to ``bar``, shape (length, n).

    Those from before a name joined the universe count. NaN where a name has none, also
    before the panel begins.
    """
    first = max(0, bar - length)
    window = panel.cut(slice(first, bar + 1))
    returns = holder_returns(window)[1:, symbols]
    missing = np.full((length - len(returns), len(symbols)), np.nan)
    return np.concatenate([missing, returns])


def history_exclusions(
    names: Sequence[str], returns: npt.NDArray[np.float64], share: float
) -> dict[str, Exclusion]:
    """Find the names whose returns (T, n) are too few, or do not vary."""
    length = len(returns)
    counts = np.isfinite(returns).sum(axis=0)
    found: dict[str, Exclusion] = {}
    for column, name in enumerate(names):
        if counts[column] < max(2, share * length - _SLACK):
            found[name] = Exclusion(
                "short_history",
                f"{counts[column]} of the last {length} returns, fewer than "
                f"{percent(share)}: too few to estimate its weight",
            )
        elif not np.nanstd(returns[:, column]) > 0:
            found[name] = Exclusion("no_variation", "its returns do not vary")
    return found
