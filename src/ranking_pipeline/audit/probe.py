"""Probe: a small function of a panel of which it is known whether it looks ahead."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import Panel

Array = npt.NDArray[np.float64]

PRICES = ("random_walk", "missing", "scaled", "constant", "shuffled")


@dataclass(frozen=True)
class Probe:
    """A small function of a panel of which it is known whether it looks ahead.

    Attributes
    ----------
    name : str
    compute : callable
        Panel to values (S, T).
    caught_by : tuple of str
        Ways of altering the future that must catch it; none for an honest one.
    at : str
        Reason of the cuts at which it shows; empty where any cut will do.
    reach : int
        Bars ahead that it may see; below 0 where even later bars may not change, such
        as those between a decision and what it first earns.
    """

    name: str
    compute: Callable[[Panel], Array]
    caught_by: tuple[str, ...] = ()
    at: str = ""
    reach: int = 0


def stacked(probes: Sequence[Probe]) -> Callable[[Panel], Array]:
    """Make one function of a panel, (S, T, K), out of K probes."""

    def compute(panel: Panel) -> Array:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of empty slices
            return np.stack([probe.compute(panel) for probe in probes], axis=-1)

    return compute


def close_of(panel: Panel) -> Array:
    """Closes as numbers of 64 bits, shape (S, T)."""
    return np.asarray(panel.field("close"), dtype=np.float64)


def lagged(values: Array, bars: int) -> Array:
    """Values of so many bars before, NaN at first."""
    behind = np.full_like(values, np.nan)
    kept = max(0, values.shape[-1] - bars)
    behind[..., bars:] = values[..., :kept]
    return behind


def returns_of(panel: Panel) -> Array:
    """Return of each bar over the bar before."""
    close = close_of(panel)
    return close / lagged(close, 1) - 1.0


def mean_over(panel: Panel, members: npt.NDArray[np.bool_]) -> Array:
    """Deviation of each symbol's return from the mean of the members of its bar."""
    ret = returns_of(panel)
    used = members & np.isfinite(ret)
    total = np.where(used, ret, 0.0).sum(axis=0)
    mean: Array = total / used.sum(axis=0)
    return ret - mean
