"""One-step-ahead volatility of a symbol: a GARCH(1,1), refitted at each end asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.panel import IntArray
from ranking_pipeline.portfolio.candidates.ewma import ewma_volatility
from ranking_pipeline.portfolio.candidates.garch_fit import GarchFit, fit_garch

Array = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]

GARCH, EWMA, UNKNOWN = "garch", "ewma", ""
FEW_RETURNS, CONSTANT_PRICE = "few_returns", "constant_price"
# Long enough for every source and every reason: NumPy cuts what is longer.
SOURCE_TYPE, REASON_TYPE = "U5", "U17"

# The likelihood and its start are kindest to returns of about one: arch asks for it too.
_PERCENT = 100.0


class GarchConfig(Config):
    """How the next bar's volatility is forecast."""

    solver: Literal["own", "arch"] = Field(
        description="own: search by the analytic gradient; arch: the package arch, which "
        "takes 1.6 times as long and stops early in a tenth of the fits"
    )
    window_returns: int = Field(gt=0, description="latest known returns of a fit")
    min_returns: int = Field(
        ge=100,
        description="known returns under which the EWMA takes the place of GARCH",
    )
    ewma_decay: float = Field(
        gt=0, lt=1, description="weight of a squared return relative to the next one's"
    )
    ewma_min_returns: int = Field(
        gt=0, description="known returns under which there is no forecast at all"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        names = ("ewma_min_returns", "min_returns", "window_returns")
        for low, high in pairwise(names):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}: "
                    "lower the one or raise the other"
                )
        return self


class GarchPath(NamedTuple):
    """Forecasts of one symbol, each array of shape (n,): one element per end.

    Attributes
    ----------
    volatility : ndarray of float64
        Standard deviation of the return of the bar after the end, as a share; NaN where
        the source is empty.
    source : ndarray of str
        ``garch``, ``ewma``, or empty where there is no forecast.
    reason : ndarray of str
        Why it is not GARCH: ``few_returns``, ``constant_price``, or a reason of
        :func:`~ranking_pipeline.portfolio.candidates.garch_fit.fit_garch`.
    n_returns : ndarray of int64
        Known returns in the window.
    persistence : ndarray of float64
        alpha + beta; NaN unless GARCH.
    at_bound : ndarray of bool
        Whether alpha + beta ended at 1, where shocks never fade.
    log_likelihood : ndarray of float64
        Of the returns in percent; NaN unless GARCH.
    """

    volatility: Array
    source: Names
    reason: Names
    n_returns: npt.NDArray[np.int64]
    persistence: Array
    at_bound: npt.NDArray[np.bool_]
    log_likelihood: Array


class _Forecast(NamedTuple):
    """One element of a path."""

    volatility: float
    source: str
    reason: str
    n_returns: int
    persistence: float
    at_bound: bool
    log_likelihood: float


def fit_months(returns: Array, ends: IntArray, options: GarchConfig) -> GarchPath:
    """Forecast the volatility of the bar after each end.

    Parameters
    ----------
    returns : ndarray of float64, shape (T,)
        Simple returns of one symbol as shares. One that is not finite is no return: the
        window takes the one before it instead.
    ends : ndarray of int, shape (n,)
        Last bars that are known, from 0 to T - 1, in any order.
    options : GarchConfig

    Returns
    -------
    GarchPath
        Each element follows from the known returns up to its own end alone: neither
        later returns nor the other ends touch a bit of it.

    Raises
    ------
    IndexError
        When an end lies outside the returns.
    """
    ends = np.asarray(ends, dtype=np.int64)
    if ends.size and not (0 <= ends.min() and ends.max() < len(returns)):
        raise IndexError(f"an end lies outside the {len(returns)} returns: {ends}")
    known = np.flatnonzero(np.isfinite(returns))
    counts, place = np.unique(
        np.searchsorted(known, ends, side="right"), return_inverse=True
    )
    width = options.window_returns
    windows = (returns[known[max(count - width, 0) : count]] for count in counts)
    return _path([_forecast(window, options) for window in windows], place)


def _path(forecasts: list[_Forecast], place: IntArray) -> GarchPath:
    types = ("f8", SOURCE_TYPE, REASON_TYPE, "i8", "f8", "?", "f8")
    columns = zip(*forecasts, strict=True) if forecasts else ((),) * len(types)
    arrays = (
        np.array(column, dtype=kind)[place]
        for column, kind in zip(columns, types, strict=True)
    )
    return GarchPath(*arrays)


def _forecast(window: Array, options: GarchConfig) -> _Forecast:
    n = len(window)
    if n < options.ewma_min_returns:
        return _without_garch(np.nan, UNKNOWN, FEW_RETURNS, n)
    if not window.any():
        return _without_garch(np.nan, UNKNOWN, CONSTANT_PRICE, n)
    found: GarchFit | str = FEW_RETURNS
    if n >= options.min_returns:
        found = fit_garch(window * _PERCENT, options.solver)
    if isinstance(found, str):
        return _without_garch(
            ewma_volatility(window, options.ewma_decay), EWMA, found, n
        )
    return _Forecast(
        found.volatility / _PERCENT, GARCH, "", n, found.persistence,
        found.at_bound, found.log_likelihood,
    )  # fmt: skip


def _without_garch(volatility: float, source: str, reason: str, n: int) -> _Forecast:
    return _Forecast(volatility, source, reason, n, np.nan, False, np.nan)


NO_PATH = _path([], np.empty(0, dtype=np.int64))
