"""Backtest: what a book that follows target weights earns, and what it costs."""

from ranking_pipeline.portfolio.backtest.book import Book, backtest, hold
from ranking_pipeline.portfolio.backtest.capacity import (
    Capacity,
    trading_capacity,
    usual_dollar_volume,
)
from ranking_pipeline.portfolio.backtest.drawdown import (
    drawdown_curve,
    equity_curve,
    max_drawdown,
)
from ranking_pipeline.portfolio.backtest.engine import run_book
from ranking_pipeline.portfolio.backtest.exposure import Exposure, sector_exposure
from ranking_pipeline.portfolio.backtest.market import (
    MarketExposure,
    market_exposure,
    market_return,
)
from ranking_pipeline.portfolio.backtest.path import BookPath
from ranking_pipeline.portfolio.backtest.rules import BPS, Rules
from ranking_pipeline.portfolio.backtest.settlement import Settlement, panel_settlement
from ranking_pipeline.portfolio.backtest.sharpe_ratio import (
    DeflatedSharpe,
    deflated_sharpe,
    expected_best_sharpe,
    probabilistic_sharpe,
    sharpe,
)
from ranking_pipeline.portfolio.backtest.statistics import (
    BookStatistics,
    book_statistics,
    profit_factor,
)
from ranking_pipeline.portfolio.backtest.targets import (
    banded_weights,
    equal_weights,
    target_weights,
)

__all__ = [
    "BPS",
    "Book",
    "BookPath",
    "BookStatistics",
    "Capacity",
    "DeflatedSharpe",
    "Exposure",
    "MarketExposure",
    "Rules",
    "Settlement",
    "backtest",
    "banded_weights",
    "book_statistics",
    "deflated_sharpe",
    "drawdown_curve",
    "equal_weights",
    "equity_curve",
    "expected_best_sharpe",
    "hold",
    "market_exposure",
    "market_return",
    "max_drawdown",
    "panel_settlement",
    "probabilistic_sharpe",
    "profit_factor",
    "run_book",
    "sector_exposure",
    "sharpe",
    "target_weights",
    "trading_capacity",
    "usual_dollar_volume",
]
