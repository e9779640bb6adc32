"""The registry of factors: what one declares, and the two decorators that add one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

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
        Fields of the bars.
    compute : callable
        ``compute(bars)`` for a factor of a symbol's own bars;
        ``compute(sectors, *values)`` for one of the cross-section.
    bases : tuple of str
        The factors that a cross-sectional one is made from; empty for the others.
    """

    name: str
    group: str
    formula: str
    lookback_bars: int
    inputs: tuple[str, ...]
    source: str
    compute: Callable[..., Array]
    bases: tuple[str, ...] = ()


FACTORS: dict[str, Factor] = {}


def _add(factor: Factor) -> None:
    if factor.name in FACTORS:
        raise ValueError(f"factor {factor.name} is registered twice")
    FACTORS[factor.name] = factor


def factor(
    name: str,
    *,
    group: str,
    formula: str,
    inputs: Sequence[str],
    source: str,
    lookback_bars: int = 0,
    windows: Sequence[int] = (),
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
) -> Callable[[F], F]:
    """Register a factor that compares the symbols of one bar.

    Parameters
    ----------
    name, formula : str
        With ``{base}`` where several bases are given: one factor per base.
    of : sequence of str or tuple of str
        The factors it is made from. Look-back and inputs are theirs.

    Notes
    -----
    The function takes the sectors (S,) and the values of each base (S, T), NaN
    outside the tradable cross-section, and returns (S, T).
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
                )
            )
        return function

    return register


def sector_codes(sectors: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Give each sector a number 0 ... n-1, in alphabetical order."""
    _, codes = np.unique(np.asarray(sectors).astype(str), return_inverse=True)
    return codes.astype(np.intp)
