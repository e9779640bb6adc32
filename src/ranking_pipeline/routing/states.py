"""States: what the evidence on one side (pooled or a symbol) allows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.routing.config import RoutingConfig, Thresholds
from ranking_pipeline.selection.leakage import BLOCKED

STRONG, OK, EXPERIMENTAL, DISALLOWED = "STRONG", "OK", "EXPERIMENTAL", "DISALLOWED"
GOOD = frozenset({STRONG, OK})
POOLED, SYMBOL = "cross_sectional", "symbol_specific"


def with_states(candidates: pd.DataFrame, config: RoutingConfig) -> pd.DataFrame:
    """Fill the columns ``state`` and ``reason`` of the candidates.

    A leak and too few rows come first, whatever the score. The experimental lane of the
    symbols of a target is capped at ``experimental_share`` of its symbols, best first.
    """
    verdicts = [judge(row, config) for row in records(candidates)]
    states, reasons = ([verdict[k] for verdict in verdicts] for k in (0, 1))
    index = candidates.index
    frame = candidates.assign(
        state=pd.Series(states, index=index, dtype=object),
        reason=pd.Series(reasons, index=index, dtype=object),
    )
    return _capped(frame, config)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries by column name."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def judge(row: dict[str, Any], config: RoutingConfig) -> tuple[str, str]:
    """State of one candidate and the reason in words.

    Parameters
    ----------
    row : dict
        One row of the candidates table.
    config : RoutingConfig

    Returns
    -------
    state, reason : str
    """
    limits = thresholds(row, config)
    refusal = _refusal(row, limits, config)
    if refusal:
        return DISALLOWED, refusal
    facts = _facts(row)
    if not row["score"] > limits.min_score:
        return DISALLOWED, f"{facts}: not above {limits.min_score:g}"
    doubt = _doubt(row, config)
    if doubt:
        return (
            EXPERIMENTAL if _hopeful(row, config) else DISALLOWED
        ), f"{facts}: {doubt}"
    strong = row["score"] >= limits.strong_score and row["t"] >= config.min_t
    return (STRONG if strong else OK), facts


def thresholds(row: dict[str, Any], config: RoutingConfig) -> Thresholds:
    """Find the thresholds that apply to a candidate."""
    side = config.pooled if row["mode"] == POOLED else config.symbol
    return side.auc if row["metric"] == "auc" else side.rank_ic


def _refusal(row: dict[str, Any], limits: Thresholds, config: RoutingConfig) -> str:
    if row["leakage_status"] == BLOCKED:
        return "leakage: a feature is blocked or the pooled score too good to be honest"
    if row["score"] >= limits.suspicious_score:
        return f"leakage: score {row['score']:.3f} is too good to be honest"
    pooled = row["mode"] == POOLED
    needed = config.min_pooled_rows if pooled else config.min_symbol_rows
    if row["n_rows"] < needed:
        return f"{row['n_rows']} train rows, needs {needed}"
    if not math.isfinite(row["score"]) or not math.isfinite(row["t"]):
        return "not measurable: too few blocks or a score that does not vary"
    return ""


def _doubt(row: dict[str, Any], config: RoutingConfig) -> str:
    """What keeps a candidate from OK: a pooled model its t, a symbol the pooled one."""
    if row["mode"] == POOLED:
        return "" if row["t"] >= config.min_t else f"t is below {config.min_t:g}"
    if not row["delta"] > 0:
        return "not better than the pooled model"
    if not row["q"] <= config.false_discovery_rate:
        return f"better than the pooled model, but not surely (q {row['q']:.2f})"
    return ""


def _hopeful(row: dict[str, Any], config: RoutingConfig) -> bool:
    """Whether the doubt leaves room for an experiment."""
    if row["mode"] == POOLED:
        return True
    return bool(row["t"] >= config.min_t and row["delta_t"] >= config.min_t)


def _facts(row: dict[str, Any]) -> str:
    text = f"{row['metric']} {row['score']:+.3f} (t {row['t']:.1f})"
    if row["mode"] == POOLED:
        return text
    return f"{text}, {row['delta']:+.3f} over the pooled model (t {row['delta_t']:.1f})"


def _capped(frame: pd.DataFrame, config: RoutingConfig) -> pd.DataFrame:
    frame = frame.copy()
    symbols = frame[frame["mode"] == SYMBOL]
    for _, rows in symbols.groupby("target", sort=True):
        room = math.floor(config.experimental_share * len(rows) + 1e-9)
        lane = rows[rows["state"] == EXPERIMENTAL]
        order = np.lexsort(
            (lane["symbol"].to_numpy(dtype=str), -lane["score"].to_numpy())
        )
        beyond = lane.index[order[room:]]
        frame.loc[beyond, "state"] = DISALLOWED
        frame.loc[beyond, "reason"] += f"; only {room} experimental routes are allowed"
    return frame
