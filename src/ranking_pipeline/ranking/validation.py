"""What a validation block says of a ranking: skill, certainty, money and cost."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.ranking import series
from ranking_pipeline.ranking.metrics import measured, pearson_ic, rank_ic_of
from ranking_pipeline.ranking.ordering import order_of
from ranking_pipeline.ranking.tails import (
    book_payoff,
    precision_of,
    tail_turnover,
    tail_weights,
)

BPS = 1e-4
VALIDATION_METRICS = (
    "best_ic",
    "pearson_ic",
    "ic_std",
    "ic_ir",
    "ic_t",
    "ic_t_newey_west",
    "ic_hit_rate",
    "best_spread",
    "turnover",
    "net_spread",
    "precision_top",
    "precision_bottom",
    "n_bars",
)
_FEWEST_TO_JUDGE = 20
_HIGHEST_MEDIAN_RETURN = 0.25


def validation_metrics(
    scores: Tensor,
    payoffs: Tensor,
    mask: Tensor,
    *,
    top_pct: float,
    bottom_pct: float,
    min_symbols: int = 2,
    cost_bps_per_side: float = 0.0,
    lag_bars: int = 0,
    horizon_bars: int = 1,
    bars: npt.NDArray[np.signedinteger] | None = None,
) -> dict[str, float]:
    """Measure the scores of a block against what came after.

    Parameters
    ----------
    scores : Tensor, shape (B, M)
    payoffs : Tensor, shape (B, M)
        Raw forward returns, simple; never the targets that were learned.
    mask : Tensor of bool, shape (B, M)
    top_pct, bottom_pct : float
        Tails of the spread, the precision and the book.
    min_symbols : int
        Bars with fewer names are not measured.
    cost_bps_per_side : float
        Basis points of the traded notional, entry included.
    lag_bars, horizon_bars : int
        Bars from the decision to the entry, and from there to the exit.
    bars : ndarray of int, shape (B,), optional
        Place of each row on the axis of time, ascending; consecutive by default.

    Returns
    -------
    dict
        ``best_ic`` mean rank IC; ``pearson_ic`` mean Pearson correlation; ``ic_std`` the
        deviation of the rank IC (ddof 1); ``ic_ir`` their
        ratio, per bar; ``ic_t`` from means of blocks of max(10, 2 (lag + H)) bars;
        ``ic_t_newey_west`` with 2 (lag + H) lags; ``ic_hit_rate`` share of bars above
        0; ``best_spread`` mean payoff of the top tail minus the bottom tail, per H
        bars; ``turnover`` mean sum of |weight - drifted weight| per rebalance, H books
        in turn; ``net_spread`` the spread minus turnover times cost; ``precision_top``
        and ``precision_bottom``; ``n_bars`` with an IC. NaN without a value.

    Raises
    ------
    UserError
        When the payoffs cannot be returns, or ``bars`` does not fit the scores.
    """
    require_returns(payoffs, mask)
    time = _time_axis(bars, len(scores))
    if len(scores) == 0:
        return no_validation_metrics()
    mask = measured(scores, payoffs, mask)
    by_score, by_payoff = order_of(scores, mask), order_of(payoffs, mask)
    ic = rank_ic_of(by_score, by_payoff, min_symbols)
    weights = tail_weights(by_score, top_pct, bottom_pct, min_symbols)
    spread = book_payoff(weights, payoffs)
    turnover = tail_turnover(weights, payoffs, time, horizon_bars)
    precision = precision_of(by_score, by_payoff, top_pct, bottom_pct, min_symbols)
    axis = series.on_time_axis(ic, time)
    lags = series.newey_west_lags(lag_bars, horizon_bars)
    values = [
        series.mean(ic),
        series.mean(pearson_ic(scores, payoffs, mask, min_symbols)),
        series.deviation(ic),
        series.information_ratio(ic),
        series.block_t(axis, series.block_length(lag_bars, horizon_bars)),
        series.newey_west_t(axis, lags),
        series.hit_rate(ic),
        series.mean(spread),
        series.mean(turnover),
        series.mean(spread - turnover * (cost_bps_per_side * BPS)),
        *(series.mean(part) for part in precision),
        torch.isfinite(ic).sum().double(),
    ]
    # The one read of the measurement.
    numbers = torch.stack(values).tolist()
    return dict(zip(VALIDATION_METRICS, numbers, strict=True))


def no_validation_metrics() -> dict[str, float]:
    """Say that nothing was measured: NaN under each name, and no bar."""
    return dict.fromkeys(VALIDATION_METRICS, math.nan) | {"n_bars": 0.0}


def require_returns(payoffs: Tensor, mask: Tensor) -> None:
    """Refuse payoffs that are plainly a target and not a simple return.

    No price falls by more than all of itself, so that z-scores and volatility-scaled
    returns give themselves away by a value below -1; percentiles by a median near one
    half without a single loss.

    Raises
    ------
    UserError
        Naming the value that gives them away.
    """
    known = payoffs[mask & torch.isfinite(payoffs)].double()
    if len(known) < _FEWEST_TO_JUDGE:
        return
    low, median = torch.stack([known.amin(), known.median()]).tolist()
    wanted = (
        "Spread, turnover and cost need raw forward returns: pass the payoff behind "
        "the target, not the target."
    )
    if low < -1.0:
        raise UserError(f"payoffs reach {low:.4g}, and no return is below -1. {wanted}")
    if low >= 0.0 and median > _HIGHEST_MEDIAN_RETURN:
        raise UserError(
            f"payoffs have a median of {median:.4g} and no loss among {len(known)} "
            f"values: they look like percentiles. {wanted}"
        )


def _time_axis(
    bars: npt.NDArray[np.signedinteger] | None, n_rows: int
) -> npt.NDArray[np.int64]:
    if bars is None:
        return np.arange(n_rows, dtype=np.int64)
    places = np.asarray(bars, dtype=np.int64)
    if places.shape != (n_rows,) or (np.diff(places) <= 0).any():
        raise UserError(
            f"bars has shape {places.shape} for {n_rows} rows of scores, or does not "
            "rise; give one ascending place per row."
        )
    return places
