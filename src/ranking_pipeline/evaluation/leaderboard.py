"""Leaderboard: all models and baselines on one set of rows, one row of them chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.evaluation import comparison
from ranking_pipeline.evaluation.baseline_lags import baseline_lags
from ranking_pipeline.evaluation.baselines import (
    ORACLE,
    baseline_scores,
    oracle_scores,
)
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.evaluation.formats import CLEAR_T
from ranking_pipeline.evaluation.measure import Measured, Row, Settings, measure
from ranking_pipeline.evaluation.model_scores import META, ModelScores, model_scores
from ranking_pipeline.evaluation.outcomes import Outcome, block, majority_class, outcome
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.returns import panel_returns, periods_per_year
from ranking_pipeline.splits import Splits

SPLITS = ("validation", "test")
KEY = ["model_id", "target", "kind", *META, "n_models", "payoff", "entry_lag_bars"]
SHOWN_METRICS = (
    "rank_ic", "ic_t", "ic_t_newey_west", "ic_p", "icir", "hit_rate", "auc_skill",
    "auc_t", "accuracy", "class_prior_accuracy", "accuracy_t", "decile_spread_bps",
    "spread_t", "turnover", "gross_bps_per_bar", "cost_bps_per_bar",
    "net_bps_per_bar", "net_t", "net_sharpe", "periods_per_year", "share_of_oracle",
    "coverage", "n_bars", "n_symbols_mean",
)  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """Everything the evaluation finds, as tidy tables.

    Attributes
    ----------
    metrics : DataFrame
        One row per model_id, target and split.
    ic_by_bar : DataFrame
        timestamp, model_id, target, split, ic, spread (a return per holding period).
    leaderboard : DataFrame
        Test metrics per model_id and target, sorted by the rank IC on validation.
    books : DataFrame
        timestamp, model_id, target, gross, net: cumulative sums over the test bars.
    decile_returns : DataFrame
        model_id, target, decile (1 lowest), payoff_bps, n_bars.
    paired : DataFrame
        Chosen row against the best baseline, on the raw and on the neutral payoff.
    baseline_lags : DataFrame
        Baselines and oracle at entry lags 0 and 1.
    summary : dict
        The facts of the executive summary.
    """

    metrics: pd.DataFrame
    ic_by_bar: pd.DataFrame
    leaderboard: pd.DataFrame
    books: pd.DataFrame
    decile_returns: pd.DataFrame
    paired: pd.DataFrame
    baseline_lags: pd.DataFrame
    summary: dict[str, Any]


@dataclass
class _Desk:
    """What every measurement needs, and what was measured so far."""

    panel: Panel
    splits: Mapping[str, Any]
    settings: Settings
    returns: npt.NDArray[np.float64]
    rows: list[Row] = field(default_factory=list)
    series: list[pd.DataFrame] = field(default_factory=list)
    kept: dict[tuple[str, str, str], Measured] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def add(self, scores: ModelScores, data: Outcome) -> None:
        """Measure one row on both splits."""
        majority = float("nan")
        if data.task != "regression" and scores.predicted_class is not None:
            majority = majority_class(data, self.splits)
        for split in SPLITS:
            result = self._measure(scores, data, split, majority)
            key = {name: getattr(scores, name) for name in KEY[:3] + list(META)}
            self.rows.append(
                key
                | {"n_models": scores.n_models, "payoff": data.payoff_name}
                | {"entry_lag_bars": data.lag_bars, "split": split}
                | result.row
            )
            self.series.append(self._by_bar(scores, split, result))
            self.kept[scores.model_id, scores.target, split] = result

    def _measure(
        self, scores: ModelScores, data: Outcome, split: str, majority: float
    ) -> Measured:
        twin = self._twin(scores, data, split)
        if twin is not None:
            return twin
        bars = block(data, split, self.splits)
        return measure(
            scores,
            data,
            bars,
            tradable=self.panel.tradable.T,
            returns=self.returns,
            settings=self.settings,
            majority=majority,
        )

    def _twin(self, scores: ModelScores, data: Outcome, split: str) -> Measured | None:
        """Find a baseline already measured on another target with the same payoff."""
        if scores.kind == "model" or data.task != "regression":
            return None
        for (model_id, target, where), result in self.kept.items():
            other = self.outcomes[target]
            same = (other.payoff_name, other.task) == (data.payoff_name, data.task)
            if model_id == scores.model_id and where == split and same:
                return result
        return None

    def _by_bar(
        self, scores: ModelScores, split: str, result: Measured
    ) -> pd.DataFrame:
        limits = self.splits[split]
        bars = slice(int(limits["first_bar"]), int(limits["last_bar"]) + 1)
        stamps = pd.DatetimeIndex(self.panel.timestamps[bars]).tz_localize("UTC")
        frame = pd.DataFrame({"timestamp": stamps})
        frame["model_id"], frame["target"] = scores.model_id, scores.target
        frame["split"], frame["ic"] = split, result.ic
        frame["spread"] = result.spread
        return frame


def evaluate(
    *,
    predictions: Sequence[pd.DataFrame],
    models: Sequence[pd.DataFrame],
    panel: Panel,
    labels: pd.DataFrame,
    target_manifest: pd.DataFrame,
    splits: Mapping[str, Any],
    config: EvaluationConfig,
    market_truth: pd.DataFrame | None = None,
) -> Evaluation:
    """Measure models, baselines and the oracle, and choose one row on validation.

    Parameters
    ----------
    predictions, models : sequence of DataFrame
        Tables of the training stages that ran; none of them may be empty or all.
    panel : Panel
    labels, target_manifest : DataFrame
    splits : mapping
        The document ``splits``.
    config : EvaluationConfig
    market_truth : DataFrame or None
        Planted score of a simulated market.

    Returns
    -------
    Evaluation
        With no predictions at all: the baselines of the primary target.

    Raises
    ------
    UserError
        Where a target is unknown, or predictions and models do not belong together.
    """
    desk = _desk(panel, splits, config)
    tasks = dict(
        zip(
            target_manifest["target"].astype(str),
            target_manifest["task"].astype(str),
            strict=True,
        )
    )
    for scores in model_scores(predictions, models, panel, tasks):
        if _coverage(scores, panel, splits) < config.min_coverage:
            continue
        data = _outcome(desk, scores.target, labels, target_manifest)
        desk.add(scores, data)
    _outcome(desk, config.primary_target, labels, target_manifest)
    references = _references(panel, config, market_truth)
    for data in list(desk.outcomes.values()):
        for scores in references:
            if scores.kind == "baseline" or _is_planted(data):
                desk.add(replace(scores, target=data.target), data)
    return _assemble(desk, config, references)


def _coverage(scores: ModelScores, panel: Panel, splits: Mapping[str, Any]) -> float:
    """Share of the tradable cells after the train span that have a score."""
    first = int(splits["validation"]["first_bar"])
    cells = panel.tradable.T[first:]
    return (
        float(np.isfinite(scores.score[first:][cells]).mean()) if cells.any() else 0.0
    )


def _desk(panel: Panel, splits: Mapping[str, Any], config: EvaluationConfig) -> _Desk:
    Splits.from_dict(splits).verify(panel.timestamps)
    periods = config.periods_per_year or periods_per_year(panel.timestamps)
    settings = Settings(
        View(
            panel.n_symbols < config.min_symbols_for_ranks,
            _fewest_symbols(panel.n_symbols, config),
            config.tail_share,
        ),
        config.cost_bps_per_side,
        periods,
    )
    return _Desk(panel, splits, settings, panel_returns(panel))


def _fewest_symbols(n_symbols: int, config: EvaluationConfig) -> int:
    """Fewest symbols of a measured bar: fewer where the whole universe is smaller."""
    wanted = config.min_symbols_per_timestamp
    small = n_symbols < wanted
    return min(wanted, config.min_symbols_for_ranks) if small else wanted


def _outcome(
    desk: _Desk, target: str, labels: pd.DataFrame, manifest: pd.DataFrame
) -> Outcome:
    if target not in desk.outcomes:
        desk.outcomes[target] = outcome(target, labels, manifest, desk.panel)
    return desk.outcomes[target]


def _references(
    panel: Panel, config: EvaluationConfig, market_truth: pd.DataFrame | None
) -> list[ModelScores]:
    rows = [
        ModelScores(name, "", "baseline", score, family="baseline")
        for name, score in baseline_scores(panel, config.random_seed).items()
    ]
    # the planted score says where a symbol stands among the others, not over time
    over_time = panel.n_symbols < config.min_symbols_for_ranks
    planted = None if over_time else oracle_scores(panel, market_truth)
    if planted is not None:
        rows.append(ModelScores(ORACLE, "", "oracle", planted, family="oracle"))
    return rows


def _is_planted(data: Outcome) -> bool:
    """Whether the oracle's score is the best possible one for this target."""
    return data.kind == "forward_return" and data.horizon_bars == 1


def _assemble(
    desk: _Desk,
    config: EvaluationConfig,
    references: list[ModelScores],
) -> Evaluation:
    results = comparison.Results(
        desk.kept,
        desk.outcomes,
        desk.panel,
        desk.returns,
        desk.splits,
        config,
        desk.settings.view,
    )
    table = _share_of_oracle(pd.DataFrame(desk.rows))
    board = _leaderboard(table, config.primary_target)
    chosen = comparison.chosen_row(board)
    target = config.primary_target if chosen is None else str(chosen["target"])
    rival = comparison.best_baseline(board, target)
    paired = comparison.paired_table(results, chosen, rival)
    return Evaluation(
        metrics=table,
        ic_by_bar=pd.concat(desk.series, ignore_index=True),
        leaderboard=board,
        books=comparison.books(results, chosen, rival, target),
        decile_returns=comparison.decile_returns(results, board, rival),
        paired=paired,
        baseline_lags=baseline_lags(
            desk.panel, desk.splits, desk.settings, desk.returns, references
        ),
        summary=comparison.summary(results, board, paired, chosen, rival),
    )


def _share_of_oracle(table: pd.DataFrame) -> pd.DataFrame:
    """Share of the oracle's IC; NaN where that is not clear of zero itself."""
    planted = (table["kind"] == "oracle") & (table["ic_t"] > CLEAR_T)
    oracle = table[planted].set_index(["target", "split"])["rank_ic"]
    keys = pd.MultiIndex.from_frame(table[["target", "split"]])
    best = oracle.reindex(keys).to_numpy(dtype=np.float64)
    share = np.full(len(table), np.nan)
    np.divide(table["rank_ic"].to_numpy(), best, out=share, where=best > 0)
    return table.assign(share_of_oracle=share)


def _leaderboard(table: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Test metrics beside the validation IC that orders and chooses."""
    test = table[table["split"] == "test"].drop(columns="split")
    validation = table[table["split"] == "validation"].set_index(["model_id", "target"])
    keys = pd.MultiIndex.from_frame(test[["model_id", "target"]])
    board = test[KEY].copy()
    board["validation_ic"] = validation["rank_ic"].reindex(keys).to_numpy()
    board["validation_t"] = validation["ic_t"].reindex(keys).to_numpy()
    board["validation_net_bps"] = validation["net_bps_per_bar"].reindex(keys).to_numpy()
    for name in SHOWN_METRICS:
        board[name] = test[name]
    board["_first"] = board["target"] != primary
    board = board.sort_values(
        ["_first", "target", "validation_ic", "model_id"],
        ascending=[True, True, False, True],
        na_position="last",
        ignore_index=True,
    ).drop(columns="_first")
    board["chosen"] = False
    place = _best_on_validation(board, primary)
    if place is not None:
        board.loc[place, "chosen"] = True
    return board


def _best_on_validation(board: pd.DataFrame, primary: str) -> int | None:
    """Position of the chosen row: of the primary target, or else of the clearest one.

    Where no model serves the primary target, the row with the highest block t on
    validation names the target that the report is about.
    """
    models = board[(board["kind"] == "model") & board["validation_ic"].notna()]
    if models.empty:
        return None
    own = models[models["target"] == primary]
    if not own.empty:
        return int(own.index[0])
    ordered = models.sort_values(
        ["validation_t", "validation_ic"], ascending=False, kind="stable"
    )
    target = ordered.iloc[0]["target"]
    return int(models[models["target"] == target].index[0])
