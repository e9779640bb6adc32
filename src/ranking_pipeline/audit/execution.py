"""Check of the backtest: a score earns nothing before it can have been traded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.check import Check, check_of
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.lookahead import AuditResult, audit_function
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import backtest
from ranking_pipeline.portfolio.returns import bar_returns, panel_returns

HORIZON_BARS, TAIL_SHARE, COST_BPS = 2, 0.25, 5.0

Values = npt.NDArray[np.float64]


def execution_checks(
    panel: Panel, cuts: Sequence[Cut], modes: Sequence[str], lag_bars: int, seed: int
) -> list[Check]:
    """Check the returns that a holder sees, and when a score first counts.

    The score is a number of the bar itself: where bars after t are altered, so is
    every later score, and what the book earned and paid up to t may not change. With
    the returns as they are and the scores of the bars after t reversed, nothing changes
    up to bar t + lag, at whose close the score of t is traded, nor in the gross return
    of the bar after it.
    """
    held = audit_function(_returns, panel, cuts, modes, ("return",), seed=seed)
    book = audit_function(
        partial(_held, panel.n_symbols),
        panel,
        cuts,
        modes,
        ("gross", "cost"),
        seed=seed,
    )
    traded, claim = (
        _traded(panel, cuts, lag_bars),
        "returns and books ignore later bars",
    )
    return [
        check_of(claim, "returns", held),
        check_of(claim, "backtest", _counted_once(book, panel)),
        check_of(
            f"a score earns nothing before the close of t + {lag_bars}",
            "backtest",
            _counted_once(traded, panel),
        ),
    ]


def _counted_once(result: AuditResult, panel: Panel) -> AuditResult:
    """Count a book once: its numbers stand in the row of each symbol alike."""
    each = panel.n_symbols
    once = np.where(result.different > 0, result.different // each, result.different)
    compared, known = result.compared // each, result.known // each
    return replace(result, different=once, compared=compared, known=known)


def _returns(panel: Panel) -> Values:
    return panel_returns(panel).T


def _held(n_symbols: int, panel: Panel) -> Values:
    """Gross return and cost of the book, in the row of each symbol; (S, T, 2).

    A symbol that is listed later is left out: a sum over one more may round otherwise.
    """
    known = panel.cut(slice(None), slice(n_symbols))
    returns = panel_returns(known)
    # On the scale of returns, so that one that slipped in would change the order.
    score = np.where(known.tradable.T, -returns, np.nan)
    shape = (panel.n_symbols, panel.n_bars, 2)
    # Without a lag: a decision that knew the next bar would otherwise not show in time.
    return np.broadcast_to(_book(score, returns, 0)[None], shape).copy()


def _book(score: Values, returns: Values, lag_bars: int) -> Values:
    """Gross return and cost of each bar, shape (T, 2)."""
    book = backtest(
        score,
        returns,
        horizon_bars=HORIZON_BARS,
        lag_bars=lag_bars,
        tail_share=TAIL_SHARE,
        cost_bps_per_side=COST_BPS,
    )
    return np.stack([book.gross, book.cost], axis=-1)


def _traded(panel: Panel, cuts: Sequence[Cut], lag_bars: int) -> AuditResult:
    """Alter scores alone: the book may not move before the lag is over."""
    returns = bar_returns(panel.cross_sections("close"), panel.tradable.T)
    return audit_function(
        partial(_book_of_close, returns, lag_bars),
        panel,
        cuts,
        ("random_walk", "shuffled"),
        ("gross", "cost"),
        # The scores after t are traded at the close of t + 1 + lag at the earliest.
        reach=(-1 - lag_bars, -lag_bars),
    )


def _book_of_close(returns: Values, lag_bars: int, panel: Panel) -> Values:
    close = panel.cross_sections("close").astype(np.float64)
    score = np.where(panel.tradable.T, close, np.nan)
    book = _book(score, returns, lag_bars)
    shape = (panel.n_symbols, panel.n_bars, 2)
    return np.broadcast_to(book[None], shape).copy()
