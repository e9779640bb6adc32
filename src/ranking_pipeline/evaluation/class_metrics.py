"""Class metrics: how well classes are told, and what holding them as positions earns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.evaluation.outcomes import Block, Outcome
from ranking_pipeline.models.tasks import CLASSES
from ranking_pipeline.portfolio.backtest import (
    BPS,
    Book,
    hold,
    max_drawdown,
    profit_factor,
    sharpe,
)

Matrix = npt.NDArray[np.floating]
Row = dict[str, float | int | str]
CLASS_NAMES = {-1: "short", 0: "neutral", 1: "long"}
ACCURACY = ("accuracy", "class_prior_accuracy", "accuracy_t")
CLASS_SCORES = ("n", "precision", "recall", "f1")
POSITIONS = (
    "position_share", "position_win_rate", "position_turnover",
    "position_gross_bps_per_bar", "position_net_bps_per_bar", "position_sharpe",
    "position_profit_factor", "position_max_drawdown",
)  # fmt: skip
NAN = float("nan")


def class_row(
    guess: Matrix | None,
    data: Outcome,
    block: Block,
    returns: Matrix,
    *,
    majority: float,
    block_bars: int,
    cost_bps_per_side: float,
    periods_per_year: float,
) -> Row:
    """Measure the most probable class on one split; all NaN without classes.

    Parameters
    ----------
    guess : ndarray, shape (bars in the block, S), or None
        Most probable class of the tradable cells; NaN where there is none.
    data : Outcome
    block : Block
        Of the same outcome.
    returns : ndarray, shape (bars in the block, S)
        Bar returns.
    majority : float
        Most frequent class of the train rows.
    block_bars : int
    cost_bps_per_side, periods_per_year : float

    Returns
    -------
    dict
        The accuracy beside that of the train majority with the t of their difference;
        ``n_…`` (rows of the class), ``precision_…``, ``recall_…`` and ``f1_…`` of each
        class; and ``position_…``: the class held as a position, see
        :func:`position_weights`. Of two classes one is an event, such as a fall, which
        says nothing of a side: they have no positions. The win rate is of single
        positions over the horizon, before costs; profit factor, Sharpe ratio and
        drawdown are of net returns.
    """
    names = [
        f"{score}_{name}" for name in CLASS_NAMES.values() for score in CLASS_SCORES
    ]
    row: Row = dict.fromkeys((*ACCURACY, *names, *POSITIONS), NAN)
    if guess is None:
        return row
    label = np.where(block.label_rows, data.label[block.bars], np.nan)
    row |= _accuracy(guess, label, majority, block_bars)
    for value in CLASSES[data.task]:
        scores = class_scores(guess, label, value)
        named = (f"{score}_{CLASS_NAMES[value]}" for score in CLASS_SCORES)
        row |= dict(zip(named, scores, strict=True))
    if data.task != "three_class":
        return row
    held = hold(
        position_weights(guess),
        returns,
        data.horizon_bars,
        data.lag_bars,
        cost_bps_per_side,
    )
    payoff = np.where(block.payoff_rows, data.payoff[block.bars], np.nan)
    values = (*_positions(guess, payoff), *_book(held, periods_per_year))
    return row | dict(zip(POSITIONS, values, strict=True))


def class_scores(
    guess: Matrix, label: Matrix, value: int
) -> tuple[float, float, float, float]:
    """Rows of one class, and its precision, recall and F1.

    Parameters
    ----------
    guess, label : ndarray, shape (T, S)
        Only cells where both are finite count.
    value : int
        The class.

    Returns
    -------
    n, precision, recall, f1 : float
        NaN where nothing was predicted as the class, or nothing is of it.
    """
    known = np.isfinite(guess) & np.isfinite(label)
    told, true = known & (guess == value), known & (label == value)
    hits, n_told, n_true = (int(x.sum()) for x in (told & true, told, true))
    return (
        float(n_true),
        _over(hits, n_told),
        _over(hits, n_true),
        _over(2 * hits, n_told + n_true),
    )


def position_weights(guess: Matrix) -> npt.NDArray[np.float64]:
    """Weights that hold each class as a position: +1, -1 or none, by equal shares.

    Every symbol with a prediction has the same share of the capital, whether it is
    held or not, so that the book is invested as far as there are opinions.

    Parameters
    ----------
    guess : ndarray, shape (T, S)
        Classes -1, 0 and 1; NaN where there is none.

    Returns
    -------
    ndarray of float64, shape (T, S)
        A bar without any prediction is NaN: no trade.
    """
    known = np.isfinite(guess)
    count = known.sum(axis=1, keepdims=True)
    weights = np.where(known, guess, 0.0) / np.maximum(count, 1)
    return np.where(count > 0, weights, np.nan)


def _accuracy(guess: Matrix, label: Matrix, majority: float, block_bars: int) -> Row:
    """Accuracy beside that of the train majority."""
    known = np.isfinite(label) & np.isfinite(guess)
    right, prior = known & (guess == label), known & (label == majority)
    counts = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    excess = (right.sum(axis=1) - prior.sum(axis=1)) / counts
    total = int(known.sum())
    values = (
        _over(int(right.sum()), total),
        _over(int(prior.sum()), total),
        block_test(excess, block_bars).t,
    )
    return dict(zip(ACCURACY, values, strict=True))


def _positions(guess: Matrix, payoff: Matrix) -> tuple[float, float]:
    """Share of the predictions that are positions, and of those that earn."""
    known = np.isfinite(guess)
    held = known & (guess != 0)
    paid = held & np.isfinite(payoff)
    won = paid & (guess * payoff > 0)
    return (
        _over(int(held.sum()), int(known.sum())),
        _over(int(won.sum()), int(paid.sum())),
    )


def _book(book: Book, periods: float) -> tuple[float, ...]:
    return (
        _mean(book.turnover),
        _mean(book.gross) / BPS,
        _mean(book.net) / BPS,
        sharpe(book.net, periods),
        profit_factor(book.net),
        max_drawdown(book.net),
    )


def _mean(series: npt.NDArray[np.float64]) -> float:
    finite = series[np.isfinite(series)]
    return float(finite.mean()) if len(finite) else NAN


def _over(part: int, whole: int) -> float:
    return part / whole if whole else NAN
