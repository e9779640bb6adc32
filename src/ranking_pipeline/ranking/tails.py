"""The two tails of a cross-section: who is in them, and what they earn and cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.ranking.ordering import CrossSectionOrder, order_of

IntArray = npt.NDArray[np.signedinteger]


def tail_size(count: Tensor, share: float) -> Tensor:
    """Names in one tail of ``count`` names, never so many that two tails overlap."""
    # A share such as 0.29 of 100 names is 28.999999999999996 in floating point.
    wanted = torch.floor(count.double() * share + 1e-9).long().clamp(min=1)
    return torch.minimum(wanted, count // 2)


def tail_members(
    order: CrossSectionOrder, top_pct: float, bottom_pct: float
) -> tuple[Tensor, Tensor]:
    """Mark the highest and the lowest names of each bar; disjoint, each (B, M).

    Both tails are cut from one order, so that equal scores never put a name in both.
    """
    top = order.first(tail_size(order.count, top_pct))
    return top, order.last(tail_size(order.count, bottom_pct))


def tail_weights(
    order: CrossSectionOrder, top_pct: float, bottom_pct: float, min_symbols: int = 2
) -> Tensor:
    """Equal weights, +1 over the top tail and -1 over the bottom tail, (B, M).

    Returns
    -------
    Tensor of float64, shape (B, M); a row of zeros below ``min_symbols`` or two names.
    """
    top, bottom = tail_members(order, top_pct, bottom_pct)
    weights = _equal_weights(top) - _equal_weights(bottom)
    return torch.where((order.count >= min_symbols).unsqueeze(1), weights, 0.0)


def tail_spread(
    scores: Tensor,
    payoffs: Tensor,
    mask: Tensor,
    top_pct: float,
    bottom_pct: float,
    min_symbols: int = 2,
) -> Tensor:
    """Mean payoff of the best-scored names minus that of the worst, per bar.

    A tail holds min(max(1, floor(n * share)), n // 2) names, cut from one order in
    which equal scores go by slot.

    Parameters
    ----------
    scores : Tensor, shape (B, M)
    payoffs : Tensor, shape (B, M)
        Raw forward returns. A percentile or a z-score has no unit of money.
    mask : Tensor of bool, shape (B, M)
    top_pct, bottom_pct : float
    min_symbols : int

    Returns
    -------
    Tensor of float64, shape (B,), in the unit of ``payoffs``; NaN below
    ``min_symbols`` or two names.
    """
    mask = mask & torch.isfinite(scores) & torch.isfinite(payoffs)
    weights = tail_weights(order_of(scores, mask), top_pct, bottom_pct, min_symbols)
    return book_payoff(weights, payoffs)


def book_payoff(weights: Tensor, payoffs: Tensor) -> Tensor:
    """Payoff of each bar's book (B, M), shape (B,); NaN where there is no book."""
    held = weights != 0
    earned = weights * torch.where(held, payoffs, 0.0).double()
    return torch.where(held.any(dim=1), earned.sum(dim=1), torch.nan)


def tail_precision(
    scores: Tensor,
    outcomes: Tensor,
    mask: Tensor,
    top_pct: float,
    bottom_pct: float,
    min_symbols: int = 2,
) -> tuple[Tensor, Tensor]:
    """Share of each tail by score that is in the same tail by outcome, per bar.

    Parameters
    ----------
    scores, outcomes : Tensor, shape (B, M)
    mask : Tensor of bool, shape (B, M)
    top_pct, bottom_pct : float
        Also what a skill-less score reaches on average.
    min_symbols : int

    Returns
    -------
    (top, bottom) : Tensors of float64, shape (B,)
        NaN below ``min_symbols`` or two names. Equal values at a cut go by slot, in
        the scores and in the outcomes alike.
    """
    mask = mask & torch.isfinite(scores) & torch.isfinite(outcomes)
    return precision_of(
        order_of(scores, mask),
        order_of(outcomes, mask),
        top_pct,
        bottom_pct,
        min_symbols,
    )


def precision_of(
    scores: CrossSectionOrder,
    outcomes: CrossSectionOrder,
    top_pct: float,
    bottom_pct: float,
    min_symbols: int = 2,
) -> tuple[Tensor, Tensor]:
    """:func:`tail_precision` of values that are in order already, under one mask."""
    chosen = tail_members(scores, top_pct, bottom_pct)
    wanted = tail_members(outcomes, top_pct, bottom_pct)
    enough = (scores.count >= min_symbols) & (scores.count >= 2)
    top, bottom = (
        torch.where(
            enough, (mine & best).sum(dim=1) / mine.sum(dim=1).double(), torch.nan
        )
        for mine, best in zip(chosen, wanted, strict=True)
    )
    return top, bottom


def tail_turnover(
    weights: Tensor,
    payoffs: Tensor,
    bars: IntArray,
    horizon_bars: int = 1,
) -> Tensor:
    """Traded notional of each rebalance: sum of |weight - drifted weight|, per bar.

    A horizon of H bars is held as H staggered books: the book of bar t replaces that
    of the last earlier bar with the same t mod H, whose weights have drifted with its
    payoff to w (1 + r) / (1 + sum of w r); a book that lost all is closed. Before
    the first book of a phase there is none, so that entry counts: 2.

    Parameters
    ----------
    weights : Tensor of float64, shape (B, M)
        Of :func:`tail_weights`; a row of zeros holds what is there.
    payoffs : Tensor, shape (B, M)
        Simple returns over the H bars that a book is held.
    bars : ndarray of int, shape (B,)
        Place of each row on the axis of time, ascending; on the host.
    horizon_bars : int

    Returns
    -------
    Tensor of float64, shape (B,)
        From 0 to about 4; NaN where no book trades. Where bars are missing between two
        books of a phase, the drift is that of the first book's own payoff.
    """
    device = weights.device
    if len(weights) == 0:
        return weights.new_empty(0)
    order, start = _phases(bars, horizon_bars)
    rows = torch.from_numpy(order).to(device)  # (B,) rows, one phase after the other
    weights, payoffs = weights.index_select(0, rows), payoffs.index_select(0, rows)
    traded = (weights != 0).any(dim=1)
    place = torch.arange(len(order), device=device)
    latest = torch.where(traded, place, -1).cummax(dim=0).values
    before = torch.cat([latest.new_full((1,), -1), latest[:-1]])  # (B,)
    held = before >= torch.from_numpy(start).to(device)
    drifted = _drifted(weights, payoffs).index_select(0, before.clamp(min=0))
    drifted = torch.where(held.unsqueeze(1), drifted, 0.0)  # (B, M)
    change = torch.where(traded, (weights - drifted).abs().sum(dim=1), torch.nan)
    return torch.empty_like(change).index_copy(0, rows, change)


def _equal_weights(members: Tensor) -> Tensor:
    return members.double() / members.sum(dim=1, keepdim=True).clamp(min=1)


def _drifted(weights: Tensor, payoffs: Tensor) -> Tensor:
    moves = torch.where(weights != 0, payoffs, 0.0).double()
    equity = 1.0 + (weights * moves).sum(dim=1, keepdim=True)
    return torch.where(equity > 0, weights * (1.0 + moves) / equity, 0.0)


def _phases(bars: IntArray, horizon_bars: int) -> tuple[IntArray, IntArray]:
    """Rows sorted by phase, and where the phase of each of them starts, (B,) each."""
    phase = np.asarray(bars) % horizon_bars
    order = np.argsort(phase, kind="stable").astype(np.int64)
    grouped = phase[order]
    return order, np.searchsorted(grouped, grouped, side="left").astype(np.int64)
