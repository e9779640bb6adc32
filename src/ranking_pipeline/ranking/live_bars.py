"""Live bars: from arrays by symbol to one checked block, and who falls out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import PRICES, VOLUME
from ranking_pipeline.ranking.exclusion import Exclusion

BarArray = npt.NDArray[np.float32]

_DTYPE, _SHAPE = attrgetter("dtype"), attrgetter("shape")

NO_FAULT = 0
# By number; of two faults the higher one is named.
FAULTS = {
    1: Exclusion("volume_negative", "a volume is negative"),
    2: Exclusion("price_not_positive", "a price is not positive"),
    3: Exclusion("infinite_value", "a value is infinite"),
}
MISSING = Exclusion(
    "missing_bar", "a bar of the window, or the history it needs, is missing"
)
NO_BARS = Exclusion("no_bars", "no bars")


def stack_bars(
    windows: Mapping[str, Any], expected: tuple[int, int]
) -> tuple[list[str], BarArray, dict[str, Exclusion]]:
    """Put the bars of all symbols into one block.

    Parameters
    ----------
    windows : mapping
        Symbol -> bars (R, 5), numbers of any width; None for none.
    expected : (R, 5)

    Returns
    -------
    names : list of str
        The S symbols of the block, sorted. Names are compared exactly: ``BRKa`` and
        ``BRKA`` are two symbols.
    bars : ndarray of float32, shape (5, R, S)
    exclusions : dict
        Symbols whose bars are no numbers of that shape.

    Raises
    ------
    UserError
        When ``windows`` is no mapping or a name is no text.
    """
    names = _sorted_names(windows)
    found = [windows[name] for name in names]
    exclusions: dict[str, Exclusion] = {}
    if not _all_plain(found, expected):
        checked = [_checked(bars, expected) for bars in found]
        rows = list(zip(names, checked, strict=True))
        exclusions = {n: bars for n, bars in rows if isinstance(bars, Exclusion)}
        kept = [(n, bars) for n, bars in rows if not isinstance(bars, Exclusion)]
        names, found = [n for n, _ in kept], [bars for _, bars in kept]
    stacked = np.empty((len(found), *expected), dtype=np.float32)
    if found:
        with np.errstate(over="ignore"):
            flat = stacked.reshape(-1, expected[1])
            np.concatenate(found, out=flat, casting="unsafe")
    return names, np.ascontiguousarray(stacked.transpose(2, 1, 0)), exclusions


def value_faults(bars: BarArray) -> npt.NDArray[np.uint8]:
    """Number the worst impossible value of each symbol; 0 for none.

    Parameters
    ----------
    bars : ndarray of float32, shape (5, R, S)
        NaN is missing, not impossible.

    Returns
    -------
    ndarray of uint8, shape (S,); a key of ``FAULTS`` or 0.
    """
    faults = np.zeros(bars.shape[2], dtype=np.uint8)
    if bars.size == 0 or _possible(bars):
        return faults
    # fmin and fmax pass over NaN; with only NaN there is nothing to compare.
    lowest_price = np.fmin.reduce(bars[PRICES], axis=(0, 1))
    lowest_volume = np.fmin.reduce(bars[VOLUME], axis=0)
    highest = np.fmax.reduce(bars, axis=(0, 1))
    faults[lowest_volume < 0] = 1
    faults[lowest_price <= 0] = 2
    infinite = np.isinf(highest) | np.isinf(lowest_price) | np.isinf(lowest_volume)
    faults[infinite] = 3
    return faults


def _possible(bars: BarArray) -> bool:
    """Whether nothing is missing or impossible: what most calls find, in three passes.

    A comparison with NaN is false.
    """
    return bool(
        bars[PRICES].min() > 0 and bars[VOLUME].min() >= 0 and bars.max() < np.inf
    )


def stale_symbols(
    names: Sequence[str],
    last_bars: Mapping[str, np.datetime64] | None,
    as_of: np.datetime64,
) -> dict[str, Exclusion]:
    """Find the symbols whose last bar is not that of ``as_of``."""
    known = last_bars or {}
    stale = {}
    for name in names:
        last = known.get(name)
        if last is None:
            stale[name] = Exclusion("stale_bar", "time of the last bar is not known")
        elif not last == as_of:  # a time that is not a time equals nothing
            stale[name] = Exclusion("stale_bar", f"last bar is {last}, not {as_of}")
    return stale


def _sorted_names(windows: Mapping[str, Any]) -> list[str]:
    if not isinstance(windows, Mapping):
        raise UserError(
            f"windows is a {type(windows).__name__}; give a mapping of symbol to bars."
        )
    others = {kind for kind in set(map(type, windows)) if not issubclass(kind, str)}
    for name in windows if others else ():
        if not isinstance(name, str):
            raise UserError(
                f"symbol {name!r} is a {type(name).__name__}; give symbols as text."
            )
    return sorted(windows)


def _all_plain(found: Sequence[object], expected: tuple[int, int]) -> bool:
    """Whether all bars are arrays of floats of the shape; no step in Python for each."""
    if set(map(type, found)) != {np.ndarray}:
        return False
    kinds = {dtype.kind for dtype in set(map(_DTYPE, found))}
    return kinds == {"f"} and set(map(_SHAPE, found)) == {expected}


def _checked(bars: object, expected: tuple[int, int]) -> npt.NDArray[Any] | Exclusion:
    if bars is None:
        return NO_BARS
    if isinstance(bars, np.ma.MaskedArray):
        return Exclusion(
            "not_numbers", "bars are a masked array; put NaN where a bar is missing"
        )
    try:
        values = np.asarray(bars)
    except (TypeError, ValueError, RuntimeError):
        return Exclusion("not_numbers", "bars are not an array of numbers")
    if values.dtype.kind not in "fiu":
        return Exclusion("not_numbers", f"bars have dtype {values.dtype}, not numbers")
    if values.shape != expected:
        return Exclusion(
            "wrong_shape", f"bars have shape {values.shape}, not {expected}"
        )
    return values
