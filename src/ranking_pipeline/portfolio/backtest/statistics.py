"""Statistics: what a book earned, at what risk and cost, in one set of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import BlockTest, block_test
from ranking_pipeline.evaluation.metrics import hit_rate
from ranking_pipeline.portfolio.backtest.drawdown import (
    equity_curve,
    max_drawdown,
)
from ranking_pipeline.portfolio.backtest.market import (
    MarketExposure,
    market_exposure,
)
from ranking_pipeline.portfolio.backtest.path import BookPath
from ranking_pipeline.portfolio.backtest.sharpe_ratio import (
    DeflatedSharpe,
    deflated_sharpe,
    probabilistic_sharpe,
    sharpe,
)

Series = npt.NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True)
class BookStatistics:
    """Numbers of one book over the bars on which it was held.

    Returns are shares of the capital that ``BookPath.rules`` states. A number that has
    no value is NaN.

    Attributes
    ----------
    n_bars, n_bars_before : int
        Bars held, and bars before the first trade, which count nowhere.
    periods_per_year : float
    gross_per_bar, cost_per_bar, borrow_per_bar, net_per_bar : float
        Means.
    annual_return, annual_volatility : float
        Mean net return times the periods of a year; its standard deviation (ddof 1)
        times their root.
    compound_annual_return : float
        Growth a year of an account that reinvests; -1 where it lost everything.
    total_return : float
        Growth of that account over all bars.
    sharpe, gross_sharpe : float
        Annual, of net and of gross returns.
    probabilistic_sharpe : float
        Probability that the true net ratio is above 0.
    deflated_sharpe : DeflatedSharpe
    net_test : BlockTest
        Of the mean net return per bar.
    max_drawdown : float
        Deepest fall of the account that reinvests, as a share of its highest value.
    win_rate : float
        Share of bars with a net return above 0.
    profit_factor : float
        Sum of net gains over sum of net losses; NaN without a loss.
    turnover_per_trade, turnover_per_year : float
        Mean over the bars on which a book trades, as a share of that book's capital (at
        the exit of all books, their mean); and a year, as a share of the whole capital.
        Both sides count: 2 is a ±1 book once.
    n_trade_bars : int
    cost_share : float
        Costs and borrow over gross gains; NaN where the sum of gross is not above 0.
    market : MarketExposure
        Of net returns on the equal-weight market.
    n_insolvent, n_settled : int
    unsold : float
    """

    n_bars: int
    n_bars_before: int
    periods_per_year: float
    gross_per_bar: float
    cost_per_bar: float
    borrow_per_bar: float
    net_per_bar: float
    annual_return: float
    annual_volatility: float
    compound_annual_return: float
    total_return: float
    sharpe: float
    gross_sharpe: float
    probabilistic_sharpe: float
    deflated_sharpe: DeflatedSharpe
    net_test: BlockTest
    max_drawdown: float
    win_rate: float
    profit_factor: float
    turnover_per_trade: float
    turnover_per_year: float
    n_trade_bars: int
    cost_share: float
    market: MarketExposure
    n_insolvent: int
    n_settled: int
    unsold: float


def book_statistics(
    path: BookPath,
    market: npt.NDArray[np.floating],
    *,
    periods_per_year: float,
    block_bars: int,
    n_trials: int,
    trial_sharpes: npt.NDArray[np.floating] | None = None,
) -> BookStatistics:
    """Measure a book.

    Parameters
    ----------
    path : BookPath
    market : ndarray, shape (T,)
        Return of the market per bar; see ``market_return``.
    periods_per_year : float
        Bars in a year; see ``portfolio.returns.periods_per_year``.
    block_bars : int
        Bars per block of the test of the mean, and lags of the errors of the beta.
    n_trials : int
        Independent trials among which the book was chosen, itself included.
    trial_sharpes : ndarray, optional
        Per-bar ratios of the trials that are known; see ``deflated_sharpe``.

    Returns
    -------
    BookStatistics
    """
    net = path.net
    n_bars = int(np.isfinite(net).sum())
    traded = path.turnover[np.isfinite(path.turnover)]
    costs = float(np.nansum(path.cost) + np.nansum(path.borrow))
    total = total_growth(net)
    per_book = float(traded.sum()) / path.rules.n_books
    return BookStatistics(
        n_bars=n_bars,
        n_bars_before=len(net) - n_bars,
        periods_per_year=periods_per_year,
        gross_per_bar=_mean(path.gross),
        cost_per_bar=_mean(path.cost),
        borrow_per_bar=_mean(path.borrow),
        net_per_bar=_mean(net),
        annual_return=_mean(net) * periods_per_year,
        annual_volatility=annual_volatility(net, periods_per_year),
        compound_annual_return=compound_annual_return(net, periods_per_year),
        total_return=total - 1.0,
        sharpe=sharpe(net, periods_per_year),
        gross_sharpe=sharpe(path.gross, periods_per_year),
        probabilistic_sharpe=probabilistic_sharpe(net),
        deflated_sharpe=deflated_sharpe(net, n_trials, trial_sharpes),
        net_test=block_test(net, block_bars),
        max_drawdown=max_drawdown(net),
        win_rate=hit_rate(net),
        profit_factor=profit_factor(net),
        turnover_per_trade=_mean(path.turnover_of_a_book),
        turnover_per_year=_over(per_book, n_bars) * periods_per_year,
        n_trade_bars=len(traded),
        cost_share=_over(costs, float(np.nansum(path.gross))),
        market=market_exposure(net, market, block_bars),
        n_insolvent=path.n_insolvent,
        n_settled=path.n_settled,
        unsold=path.unsold,
    )


def annual_volatility(returns: npt.NDArray[np.floating], periods: float) -> float:
    """Standard deviation (ddof 1) per bar times √periods; NaN under two bars."""
    finite = returns[np.isfinite(returns)]
    if len(finite) < 2:
        return NAN
    return float(finite.std(ddof=1)) * float(np.sqrt(periods))


def total_growth(returns: npt.NDArray[np.floating]) -> float:
    """What 1 has become at the end, reinvested; NaN without a bar."""
    equity = equity_curve(returns)
    return float(equity[-1]) if len(equity) else NAN


def compound_annual_return(returns: npt.NDArray[np.floating], periods: float) -> float:
    """Growth a year at which 1 becomes :func:`total_growth`; NaN without a bar."""
    n_bars = int(np.isfinite(returns).sum())
    if n_bars == 0:
        return NAN
    return float(total_growth(returns) ** (periods / n_bars)) - 1.0


def profit_factor(returns: npt.NDArray[np.floating]) -> float:
    """Sum of the gains over the sum of the losses; NaN without a loss."""
    finite = returns[np.isfinite(returns)]
    losses = -float(np.minimum(finite, 0.0).sum())
    return _over(float(np.maximum(finite, 0.0).sum()), losses)


def _mean(series: npt.NDArray[np.floating]) -> float:
    finite = series[np.isfinite(series)]
    return float(finite.mean()) if len(finite) else NAN


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else NAN
