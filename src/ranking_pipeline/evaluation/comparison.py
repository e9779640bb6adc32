"""Comparison: the chosen row against the best baseline, in figures for the summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.evaluation.baselines import VOLATILITY_BARS
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.evaluation.inference import block_length, paired_comparison
from ranking_pipeline.evaluation.measure import Measured
from ranking_pipeline.evaluation.outcomes import Block, Outcome, block, neutral_payoff
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import BPS, expected_best_sharpe

Kept = Mapping[tuple[str, str, str], Measured]
NEUTRAL = "sector-neutral, volatility-scaled"
BOOK_COLUMNS = ["timestamp", "model_id", "target", "gross", "net"]
DECILE_COLUMNS = ["model_id", "target", "decile", "payoff_bps", "n_bars"]
PAIRED_COLUMNS = [
    "target", "model_id", "baseline", "payoff", "split", "model_ic", "baseline_ic",
    "difference", "t", "p", "ci_low", "ci_high", "bootstrap_low", "bootstrap_high",
    "minimum_detectable_effect", "standard_error", "n_bars", "n_blocks",
]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """All measurements of an evaluation and what they were made from.

    Attributes
    ----------
    kept : mapping of (model_id, target, split) to Measured
    outcomes : mapping of target to Outcome
    panel : Panel
    returns : ndarray, shape (T, S)
        Bar returns.
    splits : mapping
        The document ``splits``.
    config : EvaluationConfig
    view : View
    """

    kept: Kept
    outcomes: Mapping[str, Outcome]
    panel: Panel
    returns: npt.NDArray[np.float64]
    splits: Mapping[str, Any]
    config: EvaluationConfig
    view: View

    def test_rows(self, target: str) -> Block:
        """Bars and rows of the test split for a target."""
        return block(self.outcomes[target], "test", self.splits)


def chosen_row(board: pd.DataFrame) -> pd.Series | None:
    """Row chosen on validation, or None where no model was trained."""
    rows = board[board["chosen"]]
    return None if rows.empty else rows.iloc[0]


def best_baseline(board: pd.DataFrame, target: str) -> str:
    """Baseline with the highest rank IC on validation; "random" where none has one."""
    rows = board[(board["target"] == target) & (board["kind"] == "baseline")]
    rows = rows[rows["validation_ic"].notna()]
    return "random" if rows.empty else str(rows.iloc[0]["model_id"])


def paired_table(
    results: Results, chosen: pd.Series | None, rival: str
) -> pd.DataFrame:
    """Difference in test rank IC between the chosen row and the best baseline.

    Parameters
    ----------
    results : Results
    chosen : Series or None
        Row of the leaderboard.
    rival : str
        The baseline, picked on validation.

    Returns
    -------
    DataFrame
        Two rows, payoff ``raw`` and ``sector-neutral, volatility-scaled``; none where
        nothing was chosen.
    """
    if chosen is None:
        return pd.DataFrame(columns=PAIRED_COLUMNS)
    target = str(chosen["target"])
    data = results.outcomes[target]
    names = {"target": target, "model_id": chosen["model_id"], "baseline": rival}
    neutral = neutral_payoff(
        data.payoff, results.returns, results.panel, VOLATILITY_BARS
    )
    rows = []
    for name, payoff in (("raw", data.payoff), (NEUTRAL, neutral)):
        model = _test_ic(results, str(chosen["model_id"]), target, payoff)
        baseline = _test_ic(results, rival, target, payoff)
        length = block_length(data.lag_bars, data.horizon_bars)
        found = _paired_row(model, baseline, length, results.config.random_seed)
        rows.append(names | {"payoff": name, "split": "test"} | found)
    return pd.DataFrame(rows, columns=PAIRED_COLUMNS)


def _test_ic(
    results: Results, model_id: str, target: str, payoff: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    where = results.test_rows(target)
    rows = np.where(where.payoff_rows, payoff[where.bars], np.nan)
    filled = results.kept[model_id, target, "test"].filled
    return results.view.ic(filled, rows)


def _paired_row(
    model: npt.NDArray[np.float64],
    baseline: npt.NDArray[np.float64],
    length: int,
    seed: int,
) -> dict[str, float]:
    result = paired_comparison(model, baseline, length, seed)
    both = np.isfinite(model) & np.isfinite(baseline)
    test = result.test
    return {
        "model_ic": float(model[both].mean()) if both.any() else float("nan"),
        "baseline_ic": float(baseline[both].mean()) if both.any() else float("nan"),
        "difference": test.mean,
        "t": test.t,
        "p": test.p,
        "ci_low": test.ci_low,
        "ci_high": test.ci_high,
        "bootstrap_low": result.bootstrap_low,
        "bootstrap_high": result.bootstrap_high,
        "minimum_detectable_effect": result.minimum_detectable_effect,
        "standard_error": test.standard_error,
        "n_bars": test.n_bars,
        "n_blocks": test.n_blocks,
    }


def books(
    results: Results, chosen: pd.Series | None, rival: str, target: str
) -> pd.DataFrame:
    """Cumulative gross and net return of the chosen row, best baseline and random.

    Returns are summed, not compounded: the book is brought back to ±1 of a fixed
    capital. Only bars from the first trade on.
    """
    names = [] if chosen is None else [str(chosen["model_id"])]
    names += dict.fromkeys((rival, "random"))
    first = int(results.splits["test"]["first_bar"])
    stamps = pd.DatetimeIndex(results.panel.timestamps).tz_localize("UTC")
    frames = []
    for name in names:
        book = results.kept[name, target, "test"].book
        held = np.flatnonzero(np.isfinite(book.net))
        frame = pd.DataFrame({"timestamp": stamps[first + held]})
        frame["model_id"], frame["target"] = name, target
        frame["gross"] = np.cumsum(book.gross[held])
        frame["net"] = np.cumsum(book.net[held])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)[BOOK_COLUMNS]


def decile_returns(results: Results, board: pd.DataFrame, rival: str) -> pd.DataFrame:
    """Mean test payoff per score decile of the shown models and the best baseline."""
    rows = []
    config = results.config
    for model_id, target in shown(board, config.shown_models_per_target, rival):
        where = results.test_rows(target)
        payoff = results.outcomes[target].payoff[where.bars]
        means = results.view.decile_means(
            results.kept[model_id, target, "test"].filled,
            np.where(where.payoff_rows, payoff, np.nan),
        )
        for decile, column in enumerate(means.T, start=1):
            known = column[np.isfinite(column)]
            mean = float(known.mean()) / BPS if len(known) else float("nan")
            rows.append((model_id, target, decile, mean, len(known)))
    return pd.DataFrame(rows, columns=DECILE_COLUMNS)


def shown(board: pd.DataFrame, count: int, rival: str) -> list[tuple[str, str]]:
    """Pairs (model_id, target) that figures draw: the best models, then the rival."""
    pairs = []
    for target, rows in board.groupby("target", sort=False):
        models = rows[rows["kind"] == "model"]["model_id"].head(count)
        pairs += [(str(name), str(target)) for name in [*models, rival]]
    return pairs


def summary(
    results: Results,
    board: pd.DataFrame,
    paired: pd.DataFrame,
    chosen: pd.Series | None,
    rival: str,
) -> dict[str, Any]:
    """Facts of the executive summary.

    Returns
    -------
    dict
        ``chosen``, ``baseline``, ``random`` and ``oracle`` are rows of the leaderboard
        for ``target``, None where there is none; ``paired`` and ``paired_neutral`` are
        rows of the comparison. Missing numbers are NaN.
    """
    config = results.config
    target = config.primary_target if chosen is None else str(chosen["target"])
    own = board[board["target"] == target]
    rows = {str(row["model_id"]): row for row in own.to_dict("records")}
    found = [*paired.to_dict("records"), None, None]
    n_models = int((board["kind"] == "model").sum())
    periods = float(rows["random"]["periods_per_year"])
    n_bars = int(rows["random"]["n_bars"])
    return {
        "over_time": results.view.over_time,
        "min_symbols": results.view.min_symbols,
        "status": "measured" if chosen is not None else "no_model",
        "primary_target": config.primary_target,
        "target": target,
        "n_models": n_models,
        "n_targets": int(board["target"].nunique()),
        "chosen": None if chosen is None else chosen.to_dict(),
        "baseline": rows[rival],
        "random": rows["random"],
        "oracle": rows.get("oracle"),
        "paired": found[0],
        "paired_neutral": found[1],
        "cost_bps_per_side": config.cost_bps_per_side,
        "tail_share": config.tail_share,
        "periods_per_year": periods,
        "lucky_sharpe": expected_best_sharpe(n_models, n_bars, periods),
    }
