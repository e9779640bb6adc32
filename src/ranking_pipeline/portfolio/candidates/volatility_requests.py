"""Requests for volatility: a name's as-of bars of one year, and what decides the fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.cache.origin import code_of, library_versions
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.garch import GarchConfig, fit_months
from ranking_pipeline.portfolio.candidates.indicators import traded_closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.storage import sha256_bytes

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
GARCH = fit_months.__module__


@dataclass(frozen=True)
class OwnReturns:
    """Returns of one symbol from close to close, halts skipped.

    Attributes
    ----------
    returns : ndarray, shape (n,)
        As shares; a move over a halt is one return.
    bars : ndarray of int, shape (n,)
        Bar of the panel at whose close each is known.
    """

    returns: Array
    bars: npt.NDArray[np.intp]

    @classmethod
    def of(cls, closes: Array) -> OwnReturns:
        """Take the returns of a row (T,) of closes, NaN where none traded."""
        bars = np.flatnonzero(np.isfinite(closes))
        seen = closes[bars]
        return cls(seen[1:] / seen[:-1] - 1.0, bars[1:])

    def counts(self, asof: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Count the returns that are known at some bars, shape of ``asof``."""
        return np.searchsorted(self.bars, asof, side="right")


@dataclass(frozen=True)
class YearRequest:
    """The as-of bars of one symbol in one calendar year.

    A year, so that a new month asks for one year again and not for all; each fit rests
    on its own window, whatever other months are asked for.
    """

    symbol: int
    months: tuple[int, ...]
    bars: tuple[int, ...]
    made_from: Mapping[str, Any]


def year_requests(
    panel: Panel, months: TradeMonths, wanted: Mask, options: GarchConfig
) -> Iterator[YearRequest]:
    """Ask for the cells that are marked in ``wanted``, (M, S), name by name."""
    closes = traded_closes(panel)
    years = panel.trading_dates[months.bars].astype("M8[Y]")
    for symbol in np.flatnonzero(wanted.any(axis=0)):
        own = OwnReturns.of(closes[symbol])
        for year in np.unique(years):
            asked = np.flatnonzero(wanted[:, symbol] & (years == year))
            if len(asked):
                bars = months.bars[asked]
                yield YearRequest(
                    int(symbol), tuple(asked.tolist()), tuple(bars.tolist()),
                    _made_from(own, own.counts(bars), options),
                )  # fmt: skip


def _made_from(
    own: OwnReturns, counts: npt.NDArray[np.intp], options: GarchConfig
) -> dict[str, Any]:
    """Name all that decides the fits: the returns that their windows hold."""
    first = max(int(counts[0]) - options.window_returns, 0)
    seen = own.returns[first : counts[-1]]
    return {
        "volatility": f"{GARCH}.{fit_months.__qualname__}",
        "returns": sha256_bytes(seen.tobytes()),
        "ends": (counts - first).tolist(),
        "options": options.model_dump(mode="json"),
        "code": code_of(GARCH),
        "solver": library_versions([options.solver]),
    }
