"""Feature choice: which leak-free features each selected target is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.models.learning_target import average_ranks
from ranking_pipeline.selection import consensus, importance, leakage
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.fan_out import Each, in_turn
from ranking_pipeline.selection.problem import Problem
from ranking_pipeline.selection.training_data import TrainingData

_REDUNDANCY_ROWS = 20_000


@dataclass(frozen=True)
class FeatureSelection:
    """Tables of the feature selection, and the choice made from them."""

    importance: pd.DataFrame
    consensus: pd.DataFrame
    agreement: pd.DataFrame
    stability: pd.DataFrame
    leakage: pd.DataFrame
    selected: dict[str, list[str]]


@dataclass(frozen=True)
class _Choice:
    """The same for one target."""

    importance: pd.DataFrame
    consensus: pd.DataFrame
    agreement: pd.DataFrame
    stability: pd.DataFrame
    leakage: pd.DataFrame
    selected: list[str]


def select_features(
    data: TrainingData,
    targets: Sequence[str],
    config: FeatureSelectionConfig,
    each: Each | None = None,
) -> FeatureSelection:
    """Choose features for each selected target inside the train span.

    Parameters
    ----------
    data : TrainingData
    targets : sequence of str
        May be empty: the tables are then empty too.
    config : FeatureSelectionConfig
    each : callable, optional
        How targets are spread over workers; one after the other by default.

    Returns
    -------
    FeatureSelection
        ``selected`` holds the features of each target in the order of their consensus.
        A blocked feature is never among them.

    Raises
    ------
    UserError
        When a target has no usable feature, a manual feature is unknown or blocked, or
        the consensus fails and no fallback is allowed.
    """
    found = (each or in_turn(data))(_choose, targets, config)
    choices = dict(zip(targets, found, strict=True))
    return FeatureSelection(
        importance=_stack(choices, "importance", importance.COLUMNS),
        consensus=_stack(choices, "consensus", consensus.CONSENSUS_COLUMNS),
        agreement=_stack(choices, "agreement", consensus.AGREEMENT_COLUMNS),
        stability=_stack(choices, "stability", consensus.STABILITY_COLUMNS),
        leakage=_stack(choices, "leakage", leakage.COLUMNS),
        selected={target: choice.selected for target, choice in choices.items()},
    )


def _stack(
    choices: dict[str, _Choice], name: str, columns: Sequence[str]
) -> pd.DataFrame:
    frames = [getattr(choice, name) for choice in choices.values()]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=list(columns))
    stacked: pd.DataFrame = pd.concat(frames, ignore_index=True)[list(columns)]
    return stacked


def _choose(data: TrainingData, target: str, config: FeatureSelectionConfig) -> _Choice:
    problem = data.problem(target, config)
    report = leakage.screen_features(problem, data.label_columns, config.leakage)
    usable = leakage.usable_features(report, config.leakage.allow_suspect)
    if not usable:
        raise UserError(
            f"feature_selection: no feature of {target} passes the leakage screen; "
            "see leakage_report."
        )
    if not config.auto:
        return _manual(target, report, usable, config)
    fitted = problem.for_models(usable)
    try:
        return _by_consensus(fitted, report, config)
    except UserError:
        raise
    except Exception as error:
        if not config.allow_fallback:
            raise
        note = f"selection_fallback: {type(error).__name__}: {error}"
        return _by_univariate_score(fitted, report, config, note)


def _by_consensus(
    problem: Problem, report: pd.DataFrame, config: FeatureSelectionConfig
) -> _Choice:
    found = importance.measure_importances(problem, config)
    scores = consensus.family_scores(found)
    if not scores:
        raise ValueError("no family found any feature important")
    top = config.top_m_features
    folds = consensus.stability(found, config.stability_top)
    frame = pd.DataFrame(
        {
            "target": problem.target,
            "feature": found.features,
            "consensus_score": consensus.consensus_score(scores),
            "n_families_agree": consensus.families_agreeing(found, scores, top),
            "stability": folds.share_on_top,
        }
    )
    frame = _ordered(frame)
    reasons = _reasons(
        frame, problem, config, min(config.require_min_models, len(scores))
    )
    frame = _with_blocked(_marked(frame, reasons, top), report)
    chosen = list(frame.loc[frame["selected"], "feature"])
    if not chosen:
        raise ValueError("no feature is among the top of enough families")
    return _Choice(
        importance.importance_table(problem.target, found),
        frame,
        consensus.agreement_table(problem.target, scores, found.features, top),
        _stability_row(problem.target, folds),
        report,
        chosen,
    )


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.assign(descending=-frame["consensus_score"])
    frame = frame.sort_values(["descending", "feature"], kind="stable")
    return frame.drop(columns="descending").reset_index(drop=True)


def _reasons(
    frame: pd.DataFrame, problem: Problem, config: FeatureSelectionConfig, needed: int
) -> list[str]:
    """Why each feature, in the order of the consensus, is refused; empty where kept."""
    votes = frame["n_families_agree"].to_numpy()
    reasons = [
        "" if vote >= needed else f"in the top of {vote} families, needs {needed}"
        for vote in votes
    ]
    if config.max_redundancy >= 1:
        return reasons
    correlations = rank_correlations(problem.for_models(tuple(frame["feature"])))
    kept: list[int] = []
    for row, reason in enumerate(reasons):
        near = [k for k in kept if abs(correlations[row, k]) > config.max_redundancy]
        if reason:
            continue
        if near:
            twin = frame["feature"].iloc[near[0]]
            reasons[row] = (
                f"rank correlation {correlations[row, near[0]]:+.3f} with {twin}"
            )
        else:
            kept.append(row)
    return reasons


def _marked(frame: pd.DataFrame, reasons: list[str], top: int) -> pd.DataFrame:
    passed = np.array([not reason for reason in reasons], dtype=bool)
    selected = passed & (np.cumsum(passed) <= top)
    texts = [
        reason or ("selected" if chosen else f"beyond the top {top}")
        for reason, chosen in zip(reasons, selected, strict=True)
    ]
    return frame.assign(selected=selected, reason=texts)


def _with_blocked(frame: pd.DataFrame, report: pd.DataFrame) -> pd.DataFrame:
    """Append the features that the leakage screen kept out, as never selected."""
    absent = ~report["feature"].isin(frame["feature"])
    out = report[absent & (report["status"] != leakage.SAFE)]
    refused = pd.DataFrame(
        {
            "target": out["target"],
            "feature": out["feature"],
            "consensus_score": np.nan,
            "n_families_agree": 0,
            "stability": np.nan,
            "selected": False,
            "reason": out["status"] + ": " + out["evidence"],
        }
    )
    if refused.empty:
        return frame
    return pd.concat([frame, refused], ignore_index=True)


def rank_correlations(problem: Problem) -> npt.NDArray[np.float64]:
    """Spearman correlation of the features within bars, pooled, shape (F, F).

    A missing value counts as the middle of its bar; at most 20,000 rows, evenly
    spread, are looked at.
    """
    step = max(1, len(problem.ranks) // _REDUNDANCY_ROWS)
    centred = np.nan_to_num(problem.ranks[::step].astype(np.float64) - 0.5)
    covariance = centred.T @ centred
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    return np.asarray(covariance / np.outer(scale, scale))


def univariate_scores(problem: Problem) -> npt.NDArray[np.float64]:
    """|t| of the rank IC of each feature with the target, block test, shape (F,)."""
    bars = problem.samples.bars
    rank, size = average_ranks(problem.outcome, bars)
    outcome = rank / (size + 1)
    scores = np.zeros(problem.ranks.shape[1])
    for column in range(len(scores)):
        series = leakage.partial_ic(
            problem.ranks[:, column].astype(np.float64),
            outcome,
            np.empty((len(bars), 0)),
            bars,
            problem.samples.shape[0],
            problem.min_symbols,
        )
        scores[column] = abs(np.nan_to_num(block_test(series, problem.block_bars).t))
    return scores


def _by_univariate_score(
    problem: Problem, report: pd.DataFrame, config: FeatureSelectionConfig, note: str
) -> _Choice:
    """Choose leak-screened features by their own score: the recorded way out."""
    scores = univariate_scores(problem)
    ranked = consensus.rank_score(np.round(scores, 12))
    frame = _plain_table(problem.target, problem.samples.feature_names, ranked)
    frame = _ordered(frame)
    frame["selected"] = np.arange(len(frame)) < config.top_m_features
    frame["reason"] = note
    return _without_importance(problem.target, report, frame)


def _manual(
    target: str,
    report: pd.DataFrame,
    usable: Sequence[str],
    config: FeatureSelectionConfig,
) -> _Choice:
    wanted = tuple(dict.fromkeys(config.manual_features))
    if not wanted:
        raise UserError(
            "feature_selection.auto is false but feature_selection.manual_features is "
            "empty; name at least one feature."
        )
    unknown = [name for name in wanted if name not in set(report["feature"])]
    refused = [name for name in wanted if name not in usable and name not in unknown]
    if unknown or refused:
        evidence = report.set_index("feature")["evidence"]
        faults = [f"{name} is not in feature_manifest" for name in unknown]
        faults += [f"{name} leaks into {target}: {evidence[name]}" for name in refused]
        raise UserError("feature_selection.manual_features: " + "; ".join(faults))
    frame = _plain_table(target, wanted, np.full(len(wanted), np.nan))
    frame = frame.assign(selected=True, reason="named in manual_features")
    return _without_importance(target, report, frame)


def _plain_table(
    target: str, features: Sequence[str], scores: npt.NDArray[np.float64]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": target,
            "feature": list(features),
            "consensus_score": scores,
            "n_families_agree": 0,
            "stability": np.nan,
        }
    )


def _without_importance(
    target: str, report: pd.DataFrame, frame: pd.DataFrame
) -> _Choice:
    nan = float("nan")
    unknown = consensus.Stability(0, nan, nan, np.empty(0), consensus.UNKNOWN)
    return _Choice(
        importance=pd.DataFrame(columns=list(importance.COLUMNS)),
        consensus=_with_blocked(frame, report),
        agreement=pd.DataFrame(columns=list(consensus.AGREEMENT_COLUMNS)),
        stability=_stability_row(target, unknown),
        leakage=report,
        selected=list(frame.loc[frame["selected"], "feature"]),
    )


def _stability_row(target: str, folds: consensus.Stability) -> pd.DataFrame:
    row: dict[str, Any] = {
        "target": target,
        "n_folds": folds.n_folds,
        "jaccard": folds.jaccard,
        "kendall_tau": folds.kendall_tau,
        "state": folds.state,
    }
    return pd.DataFrame([row], columns=list(consensus.STABILITY_COLUMNS))
