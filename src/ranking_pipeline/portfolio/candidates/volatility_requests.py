"""Requests for volatility: a name's as-of bars, and what decides the fit at each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
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
        As finite shares; a move over a halt is one return.
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
        returns = seen[1:] / seen[:-1] - 1.0
        known = np.isfinite(returns)
        return cls(returns[known], bars[1:][known])

    def counts(self, asof: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Count the returns that are known at some bars, shape of ``asof``."""
        return np.searchsorted(self.bars, asof, side="right")


@dataclass(frozen=True)
class SymbolRequest:
    """The as-of bars of one symbol.

    Attributes
    ----------
    symbol : int
    months, bars : tuple of int
        Positions of the trade months, and the as-of bar of each.
    windows : tuple of str
        Hex SHA-256 of the returns on which the fit at each bar rests: it depends on
        nothing else of the bars.
    made_from : mapping
        What decides the fits but for these returns.
    """

    symbol: int
    months: tuple[int, ...]
    bars: tuple[int, ...]
    windows: tuple[str, ...]
    made_from: Mapping[str, Any]

    def without(self, known: Collection[str]) -> SymbolRequest:
        """Ask for the bars whose windows are not known."""
        left = [p for p, window in enumerate(self.windows) if window not in known]
        return replace(
            self,
            months=tuple(self.months[place] for place in left),
            bars=tuple(self.bars[place] for place in left),
            windows=tuple(self.windows[place] for place in left),
        )


def symbol_requests(
    panel: Panel, months: TradeMonths, wanted: Mask, options: GarchConfig
) -> Iterator[SymbolRequest]:
    """Ask for the cells that are marked in ``wanted``, (M, S), name by name."""
    closes = traded_closes(panel)
    for symbol in np.flatnonzero(wanted.any(axis=0)):
        own = OwnReturns.of(closes[symbol])
        asked = np.flatnonzero(wanted[:, symbol])
        bars = months.bars[asked]
        yield SymbolRequest(
            int(symbol), tuple(asked.tolist()), tuple(bars.tolist()),
            _windows(own.returns, own.counts(bars), options.window_returns),
            _made_from(panel.symbols[symbol], options),
        )  # fmt: skip


def _windows(
    returns: Array, counts: npt.NDArray[np.intp], width: int
) -> tuple[str, ...]:
    return tuple(
        sha256_bytes(returns[max(count - width, 0) : count].tobytes())
        for count in counts.tolist()
    )


def _made_from(symbol: str, options: GarchConfig) -> dict[str, Any]:
    return {
        "volatility": f"{GARCH}.{fit_months.__qualname__}",
        "symbol": symbol,
        "options": options.model_dump(mode="json"),
        "code": code_of(GARCH),
        "solver": library_versions([options.solver]),
    }
