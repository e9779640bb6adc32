"""Measure: every number the report gives about one score on one split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation import metrics
from ranking_pipeline.evaluation.class_metrics import class_row
from ranking_pipeline.evaluation.inference import (
    block_length,
    block_test,
    newey_west_t,
)
from ranking_pipeline.evaluation.model_scores import ModelScores
from ranking_pipeline.evaluation.outcomes import Block, Outcome
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.portfolio.backtest import BPS, Book, hold, sharpe

Matrix = npt.NDArray[np.float64]
Row = dict[str, float | int | str]


@dataclass(frozen=True)
class Settings:
    """How scores are measured: the evaluation's parameters with derived values."""

    view: View
    cost_bps_per_side: float
    periods_per_year: float


@dataclass(frozen=True)
class Measured:
    """One score on one split.

    Attributes
    ----------
    row : dict
        The scalar metrics.
    ic, spread : ndarray, shape (bars in the block,)
    book : Book
        Over the bars of the block.
    filled : ndarray, shape (bars in the block, S)
        The score on every tradable cell.
    """

    row: Row
    ic: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    book: Book
    filled: Matrix


def measure(
    scores: ModelScores,
    data: Outcome,
    block: Block,
    *,
    tradable: npt.NDArray[np.bool_],
    returns: Matrix,
    settings: Settings,
    majority: float = float("nan"),
) -> Measured:
    """Measure one score on one split.

    All scores are measured on the same rows: a tradable cell that a model leaves out
    gets the median of its scores on that bar. Over time it has no opinion there.

    Parameters
    ----------
    scores : ModelScores
    data : Outcome
    block : Block
        Of the same outcome.
    tradable : ndarray of bool, shape (T, S)
    returns : ndarray, shape (T, S)
        Bar returns for the book.
    settings : Settings
    majority : float
        Most frequent class of the train rows, for classifiers.

    Returns
    -------
    Measured
    """
    cells = tradable[block.bars]
    given = np.where(cells, scores.score[block.bars], np.nan).astype(np.float64)
    view = settings.view
    filled = given if view.over_time else fill_with_median(given, cells)
    payoff = np.where(block.payoff_rows, data.payoff[block.bars], np.nan)
    ic, spread = view.ic(filled, payoff), view.spread(filled, payoff)
    book = hold(
        view.weights(filled),
        returns[block.bars],
        data.horizon_bars,
        data.lag_bars,
        settings.cost_bps_per_side,
    )
    # a row without any variation in its scores has no book worth the name
    book = book if np.isfinite(ic).any() else _nothing(book)
    length = block_length(data.lag_bars, data.horizon_bars)
    row = _ic_row(ic, block, length, data.lag_bars + data.horizon_bars)
    row |= {"coverage": _share(np.isfinite(given), cells)}
    row |= _auc_row(filled, data, block, length, view)
    row |= class_row(
        _guess(scores, block, cells),
        data,
        block,
        returns[block.bars],
        majority=majority,
        block_bars=length,
        cost_bps_per_side=settings.cost_bps_per_side,
        periods_per_year=settings.periods_per_year,
    )
    row |= _money_row(spread, book, length, settings)
    return Measured(row, ic, spread, book, filled)


def _guess(
    scores: ModelScores, block: Block, cells: npt.NDArray[np.bool_]
) -> Matrix | None:
    """Predicted classes of the tradable cells; None where a model gives none."""
    if scores.predicted_class is None:
        return None
    own = scores.predicted_class[block.bars]
    return np.where(cells, own, np.nan).astype(np.float64)


def fill_with_median(score: Matrix, cells: npt.NDArray[np.bool_]) -> Matrix:
    """Give the cells without a score the median of their bar's scores.

    Parameters
    ----------
    score : ndarray, shape (T, S)
        NaN outside ``cells``.
    cells : ndarray of bool, shape (T, S)

    Returns
    -------
    ndarray of float64, shape (T, S)
        A bar without any score stays NaN.
    """
    scored = np.isfinite(score)
    bars = np.flatnonzero((cells & ~scored).any(axis=1) & scored.any(axis=1))
    if len(bars) == 0:
        return score
    filled = score.copy()
    middle = np.nanmedian(np.where(scored, score, np.nan)[bars], axis=1)[:, None]
    filled[bars] = np.where(cells[bars] & ~scored[bars], middle, score[bars])
    return filled


def _ic_row(
    ic: npt.NDArray[np.float64], block: Block, length: int, overlap: int
) -> Row:
    test = block_test(ic, length)
    counts = block.payoff_rows.sum(axis=1)[np.isfinite(ic)]
    return {
        "n_bars": test.n_bars,
        "n_bars_unmeasured": len(ic) - test.n_bars,
        "n_symbols_mean": float(counts.mean()) if len(counts) else float("nan"),
        "rank_ic": test.mean,
        "ic_t": test.t,
        "ic_t_newey_west": newey_west_t(ic, 2 * overlap),
        "ic_p": test.p,
        "ic_low": test.ci_low,
        "ic_high": test.ci_high,
        "n_blocks": test.n_blocks,
        "block_bars": test.block_bars,
        "icir": metrics.icir(ic),
        "hit_rate": metrics.hit_rate(ic),
    }


def _auc_row(
    filled: Matrix, data: Outcome, block: Block, length: int, view: View
) -> Row:
    if data.task == "regression":
        return {"auc_skill": float("nan"), "auc_t": float("nan")}
    label = np.where(block.label_rows, data.label[block.bars], np.nan)
    negative = -1 if data.task == "three_class" else 0
    test = block_test(view.auc_skill(filled, label, negative), length)
    return {"auc_skill": test.mean, "auc_t": test.t}


def _money_row(
    spread: npt.NDArray[np.float64], book: Book, length: int, settings: Settings
) -> Row:
    test = block_test(spread, length)
    return {
        "decile_spread_bps": test.mean / BPS,
        "spread_t": test.t,
        "turnover": _mean(book.turnover),
        "gross_bps_per_bar": _mean(book.gross) / BPS,
        "cost_bps_per_bar": _mean(book.cost) / BPS,
        "net_bps_per_bar": _mean(book.net) / BPS,
        "net_t": block_test(book.net, length).t,
        "net_sharpe": sharpe(book.net, settings.periods_per_year),
        "periods_per_year": settings.periods_per_year,
        "n_bars_held": int(np.isfinite(book.net).sum()),
    }


def _nothing(book: Book) -> Book:
    empty = np.full(len(book.net), np.nan)
    return Book(empty, empty, empty, empty)


def _mean(series: npt.NDArray[np.float64]) -> float:
    finite = series[np.isfinite(series)]
    return float(finite.mean()) if len(finite) else float("nan")


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    count = int(whole.sum())
    return float((part & whole).sum() / count) if count else float("nan")
