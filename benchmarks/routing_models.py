"""Models of the routing benchmark: what every plan says about the same cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.routing_market import TARGET, RoutingMarket, parameters
from ranking_pipeline.evaluation import metrics
from ranking_pipeline.evaluation.baselines import forward_returns
from ranking_pipeline.evaluation.measure import fill_with_median
from ranking_pipeline.models import registry
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.routing.partial_pooling import apply_slopes, slopes_of
from ranking_pipeline.training.calibration import (
    UNKNOWN,
    Calibration,
    calibrate,
    shrunk_slope,
)
from ranking_pipeline.training.routed import stitch

Series = npt.NDArray[np.float64]
Block = Literal["validation", "test"]
MIN_SYMBOLS = 20
OWN_ROUTES = frozenset({"SYMBOL_SPECIFIC", "BOTH", "EXPERIMENTAL"})


class Fitted(NamedTuple):
    """Scores by cell (bar x S + symbol), and what one unit of them is worth."""

    score: pd.Series
    worth: Calibration


@dataclass(frozen=True)
class MarketModels:
    """Models of a market, fitted to its train block when they are asked for.

    Scores belong to every tradable cell from the first validation bar on.

    Attributes
    ----------
    market : RoutingMarket
    """

    market: RoutingMarket
    _pooled: dict[str, Fitted] = field(default_factory=dict)

    @cached_property
    def scored(self) -> Samples:
        """Rows of the validation and the test block."""
        rows, first = self.market.rows, self.market.splits.validation.first_bar
        return rows.take(rows.bars >= first)

    def pooled(self, family: str) -> Fitted:
        """One model of a family for all symbols."""
        if family not in self._pooled:
            self._pooled[family] = self._fitted(family)
        return self._pooled[family]

    @cached_property
    def own(self) -> dict[str, Fitted]:
        """One ridge per symbol."""
        names = self.market.panel.symbols
        return {name: self._fitted("ridge", k) for k, name in enumerate(names)}

    def routed(self, plan: Mapping[str, Any], family: str) -> pd.Series:
        """Scores that a plan gives; a blocked cell takes the median of its bar."""
        routes = {
            name: entry["route"]
            for name, entry in plan["targets"][TARGET]["symbols"].items()
        }
        route = self._names.map(routes).fillna("").astype("str")
        base = self._in_units(self.pooled(family))
        pooled = base if pooled_trained(plan) else base * np.nan
        own = self._own_scores([k for k, v in routes.items() if v in OWN_ROUTES])
        return stitch(pooled, own, route, pd.Series(self._bars))

    def partially_pooled(self, plan: Mapping[str, Any], family: str) -> pd.Series:
        """Pooled scores times the slope of each symbol."""
        slopes = slopes_of(
            plan["targets"][TARGET]["partial_pooling"], self._names.tolist()
        )
        score = self.pooled(family).score
        values = apply_slopes(score.to_numpy(), self._bars, slopes)
        return pd.Series(values, index=score.index)

    def rank_ic(self, score: pd.Series, block: Block) -> Series:
        """Rank IC of each bar of a block, every tradable cell counted.

        A bar without any opinion earns 0.
        """
        market = self.market
        shape = (market.panel.n_bars, market.panel.n_symbols)
        matrix = np.full(shape, np.nan)
        matrix.flat[score.index.to_numpy()] = score.to_numpy(np.float64)
        span = getattr(market.splits, block)
        bars = slice(span.first_bar, span.last_bar + 1)
        cells, payoff = market.panel.tradable.T[bars], self._payoff[bars]
        filled = fill_with_median(matrix[bars], cells)
        measured = np.isfinite(payoff).sum(axis=1) >= MIN_SYMBOLS
        found = metrics.rank_ic(filled, payoff, MIN_SYMBOLS)
        return np.asarray(np.nan_to_num(found[measured]))

    @cached_property
    def _payoff(self) -> Series:
        market = self.market
        returns = forward_returns(market.panel, market.lag, 1)
        return np.where(market.panel.tradable.T, returns, np.nan)

    @cached_property
    def _cells(self) -> npt.NDArray[np.intp]:
        width = self.market.panel.n_symbols
        return np.asarray(self.scored.bars * width + self.scored.symbols, np.intp)

    @cached_property
    def _bars(self) -> npt.NDArray[np.intp]:
        return self._cells // self.market.panel.n_symbols

    @cached_property
    def _names(self) -> pd.Series:
        """Symbol of each scored cell."""
        symbols = self._cells % self.market.panel.n_symbols
        names = np.array(self.market.panel.symbols, dtype=object)[symbols]
        return pd.Series(names, index=self._cells)

    def _fitted(self, family: str, symbol: int | None = None) -> Fitted:
        rows, scored = self.market.rows, self.scored
        if symbol is not None:
            rows = rows.take(rows.symbols == symbol)
            scored = scored.take(scored.symbols == symbol)
        splits, training = self.market.splits, parameters("model_training")
        train, validation = (
            rows.take(splits.mask(name, rows.bars, rows.label_end)).labelled()
            for name in ("train", "validation")
        )
        if not len(train) or not len(scored):
            return Fitted(pd.Series(dtype=np.float64), UNKNOWN)
        block = training["parameters"][family]
        model = registry.create(family, block, self.market.seed, 1)
        held_out = validation if len(validation) else None
        model.fit(thin(train, training["max_train_rows"]), held_out)
        worth = UNKNOWN
        if held_out is not None:
            known = model.predict(validation).score
            worth = calibrate(known, validation, pooled=symbol is None)
        cells = scored.bars * self.market.panel.n_symbols + scored.symbols
        score = model.predict(scored).score.astype(np.float64)
        return Fitted(pd.Series(score, index=cells), worth)

    def _in_units(self, pooled: Fitted) -> pd.Series:
        """Pooled scores in units of the payoff."""
        centred = pooled.score - pooled.score.groupby(self._bars).transform("mean")
        return centred * shrunk_slope([pooled.worth.slope], [pooled.worth.error])

    def _own_scores(self, names: Collection[str]) -> pd.Series:
        """Scores of the named symbols' own models, in units of the payoff.

        The models that a plan trains share one slope, as they do after training.
        """
        parts = [self.own[name] for name in names if len(self.own[name].score)]
        if not parts:
            return pd.Series(np.nan, index=self._cells)
        slope = shrunk_slope(
            [part.worth.slope for part in parts], [part.worth.error for part in parts]
        )
        found: pd.Series = pd.concat([part.score for part in parts]) * slope
        return found.reindex(self._cells)


def pooled_trained(plan: Mapping[str, Any]) -> bool:
    """Whether a plan trains models for all symbols."""
    pooled = plan["targets"][TARGET]["pooled"]
    disallowed = plan["mode"] == "auto" and pooled["state"] == "DISALLOWED"
    return plan["mode"] != "symbol_specific" and not disallowed
