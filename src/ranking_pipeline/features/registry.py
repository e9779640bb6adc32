"""The registry of factors: what one declares, and the two decorators that add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from ranking_pipeline.features.windows import Array

F = TypeVar("F", bound=Callable[..., Array])


@dataclass(frozen=True)
class Factor:
    """One column of the feature table.

    Attributes
    ----------
    name, group, formula, source : str
        What it is called, where it belongs, what it computes, who proposed it.
    lookback_bars : int
        Bars before t that are needed: the window is t-lookback_bars ... t.
    inputs : tuple of str
        Fields of the bars; ``close`` for the clock of a session, which is known where
        there is a bar.
    compute : callable
        ``compute(bars)`` for a factor of a symbol's own bars;
        ``compute(sectors, *values)`` for one of the cross-section.
    bases : tuple of str
        The factors that a cross-sectional one is made from; empty for the others.
    sets : tuple of str
        The named sets to which it belongs, besides ``all``.
    session : bool
        The window reaches back to the opening of a session: of the session of bar t,
        or of the one ``lookback_sessions`` before it. It is unknown where the bars
        do not show that opening, hence in the first session of every panel.
    lookback_sessions : int
        Whole sessions before that of bar t that are needed; for ``session`` only.
    expanding : bool
        The window is the whole history up to t. Then ``lookback_bars`` bars are the
        least, and all that is needed besides :meth:`Bars.so_far`.
    interval : str or None
        Length of the coarser bars on which it is computed, and in which its look-back
        counts; None for the bars of the panel.
    """

    name: str
    group: str
    formula: str
    lookback_bars: int
    inputs: tuple[str, ...]
    source: str
    compute: Callable[..., Array]
    bases: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    session: bool = False
    lookback_sessions: int = 0
    expanding: bool = False
    interval: str | None = None

    @property
    def window(self) -> str:
        """What the look-back counts from: ``bars``, ``session`` or ``history``."""
        return "history" if self.expanding else "session" if self.session else "bars"


CORE = ("core",)  # the set of the default run
Sets = Sequence[str] | Mapping[str, Sequence[int]]

FACTORS: dict[str, Factor] = {}


def _add(factor: Factor) -> None:
    if factor.name in FACTORS:
        raise ValueError(f"factor {factor.name} is registered twice")
    FACTORS[factor.name] = factor


def _sets_of(sets: Sets, width: int) -> tuple[str, ...]:
    if isinstance(sets, Mapping):
        return tuple(name for name, widths in sets.items() if width in widths)
    return tuple(sets)


def factor(
    name: str,
    *,
    group: str,
    formula: str,
    inputs: Sequence[str],
    source: str,
    lookback_bars: int = 0,
    windows: Sequence[int] = (),
    sets: Sets = (),
    session: bool = False,
    lookback_sessions: int = 0,
    expanding: bool = False,
) -> Callable[[F], F]:
    """Register a factor of a symbol's own bars.

    Parameters
    ----------
    name, formula : str
        With ``{w}`` where ``windows`` are given: one factor per window.
    lookback_bars : int
        Bars before t; with ``windows`` these are added to the window (-1 where a window
        of w bars ends at t).
    windows : sequence of int
        Passed to the function as ``w``.
    sets : sequence of str, or mapping of str to windows
        Named sets; a mapping gives the windows that belong to each.
    session, lookback_sessions, expanding
        See :class:`Factor`.

    Notes
    -----
    The function takes :class:`~ranking_pipeline.features.series.Bars` and returns
    (s, T) values; it may use the declared window only. The library sets the first
    ``lookback_bars`` bars of a symbol, and all that is not finite, to NaN.
    """

    def register(function: F) -> F:
        for width in windows or (0,):
            bound = partial(function, w=width) if windows else function
            _add(
                Factor(
                    name.format(w=width),
                    group,
                    formula.format(w=width),
                    width + lookback_bars,
                    tuple(inputs),
                    source,
                    bound,
                    sets=_sets_of(sets, width),
                    session=session,
                    lookback_sessions=lookback_sessions,
                    expanding=expanding,
                )
            )
        return function

    return register


def cross_sectional(
    name: str,
    *,
    formula: str,
    source: str,
    of: Sequence[str | tuple[str, ...]],
    sets: Sequence[str] = (),
) -> Callable[[F], F]:
    """Register a factor that compares the symbols of one bar.

    Parameters
    ----------
    name, formula : str
        With ``{base}`` where several bases are given: one factor per base.
    of : sequence of str or tuple of str
        The factors it is made from. Look-back, inputs and flags are theirs.
    sets : sequence of str

    Notes
    -----
    The function takes the codes of the sectors (S, T), which are those of
    ``Panel.sectors`` (-1 = unknown), and the values of each base (S, T), NaN outside
    the tradable cross-section; it returns (S, T).
    """

    def register(function: F) -> F:
        for base in of:
            names = (base,) if isinstance(base, str) else base
            parts = [FACTORS[part] for part in names]
            _add(
                Factor(
                    name.format(base=names[0]),
                    "cross-section",
                    formula.format(base=names[0]),
                    max(part.lookback_bars for part in parts),
                    tuple(dict.fromkeys(sum((part.inputs for part in parts), ()))),
                    source,
                    function,
                    names,
                    tuple(sets),
                    any(part.session for part in parts),
                    max(part.lookback_sessions for part in parts),
                    any(part.expanding for part in parts),
                )
            )
        return function

    return register
