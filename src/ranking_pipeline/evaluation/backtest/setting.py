"""Backtest setup: what every backtest reads, by what rules, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.backtest.exchange import Exchange
from ranking_pipeline.evaluation.backtest.tables import Backtest
from ranking_pipeline.evaluation.backtest.trials import TrialCount
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import Rules, panel_settlement
from ranking_pipeline.portfolio.returns import holder_returns, periods_per_year
from ranking_pipeline.splits import Splits


@dataclass(frozen=True)
class Stored:
    """What every backtest reads.

    Attributes
    ----------
    panel : Panel
    splits : mapping
        The document ``splits``.
    delistings : DataFrame
        What holders of ended names got, as the labels were made with it; see
        ``labels.delisting``. A name that it does not know is settled at its last price.
    ledger : mapping
        The trials so far on these bars; see ``trials.count_trials``. Empty while the
        inputs are only checked.
    """

    panel: Panel
    splits: Mapping[str, Any]
    delistings: pd.DataFrame
    ledger: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """What the model behind a monthly portfolio foretells, and how that is used.

    Attributes
    ----------
    target, unit : str
        Unit of the scores, as ``metadata.score_unit`` of a selection.
    horizon_bars : int or None
        Bars that the target looks ahead; None where the targets of now lack it.
    held_bars : int or None
        Bars from one portfolio to the next, at the median; None for a single one.
    informed_until : str or None
        End of the last bar that the model knows, ISO 8601 in UTC; None where its
        record does not tell.
    """

    target: str
    unit: str
    horizon_bars: int | None
    held_bars: int | None
    informed_until: str | None


@dataclass(frozen=True)
class Found:
    """A backtest and the facts that its section tells.

    Attributes
    ----------
    backtest : Backtest
    source : str
        ``predictions`` or ``portfolio``.
    chosen, rival, target : str
        The book that the report is about, the baseline beside it and the target of
        both; "" where there is none.
    trials : TrialCount
    tail_share : float
    band_share : float or None
    over_time : bool
        Whether the books follow each symbol's own past, for want of a cross-section.
    unheld : tuple of str
        Months of a portfolio that no split has the bars for.
    months : mapping of split to tuple of str
        Months of a portfolio that were held, in order; empty for predictions.
    score_source, model_version : str
        Of a portfolio: ``model`` with its version, or ``algorithmic_only`` without;
        empty for predictions, whose row names its model.
    forecast : Forecast or None
        What the scores of a portfolio foretell; None where no model took part.
    names_per_leg : int or None
        Of a book that follows a row, at the median decision.
    """

    backtest: Backtest
    source: str
    chosen: str
    rival: str
    target: str
    trials: TrialCount
    tail_share: float
    band_share: float | None
    over_time: bool
    unheld: tuple[str, ...] = ()
    months: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    score_source: str = ""
    model_version: str = ""
    forecast: Forecast | None = None
    names_per_leg: int | None = None


def rules_of(
    panel: Panel,
    horizon_bars: int,
    lag_bars: int,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
) -> Rules:
    """Rules of all books; those that do not fit the horizon are refused."""
    cost = config.cost_bps_per_side
    periods = evaluation.periods_per_year or periods_per_year(panel.timestamps)
    try:
        return Rules(
            horizon_bars=horizon_bars,
            lag_bars=lag_bars,
            cost_bps_per_side=evaluation.cost_bps_per_side if cost is None else cost,
            borrow_bps_per_year=config.borrow_bps_per_year,
            rebalance_bars=config.rebalance_bars or 1,
            exit_at_end=config.exit_at_end,
            capital_base=config.capital_base,
            legs=config.legs,
            periods_per_year=periods,
        )
    except ValueError as problem:
        raise UserError(f"backtest: {problem}") from None


def exchange_of(
    stored: Stored, rules: Rules, config: BacktestConfig, names: Sequence[str]
) -> Exchange:
    """Place where books are held on the bars of some splits.

    A name that leaves the universe stays in the book, with its returns, until it is
    sold; one that stops trading for good is settled.
    """
    splits = Splits.from_dict(stored.splits)
    splits.verify(stored.panel.timestamps)
    returns = holder_returns(stored.panel)
    blocks = {name: splits.block(name) for name in names}
    return Exchange(
        stored.panel,
        returns,
        panel_settlement(stored.panel, returns, stored.delistings),
        {n: slice(b.first_bar, b.last_bar + 1) for n, b in blocks.items()},
        rules.periods_per_year,
        config.volume_share,
        config.volume_bars,
    )
