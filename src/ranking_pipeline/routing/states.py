"""States: what the evidence on one side (pooled or a symbol) allows, and by which rule."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ranking_pipeline.routing.config import RoutingConfig, Thresholds
from ranking_pipeline.selection.leakage import BLOCKED

STRONG, OK, EXPERIMENTAL, DISALLOWED = "STRONG", "OK", "EXPERIMENTAL", "DISALLOWED"
GOOD = frozenset({STRONG, OK})
POOLED, SYMBOL = "cross_sectional", "symbol_specific"
PARTIAL = "partial_pooling"
AGAINST_POOLED, AGAINST_NOTHING = "pooled", "nothing"

RULES = {
    "leakage": "a leak closes the route, whatever the score",
    "too_good": "a score too good to be honest is taken for a leak",
    "few_rows": "too few train rows",
    "one_symbol": "with one symbol, the symbol's own model is the pooled one",
    "unmeasured": "too few blocks of bars to test, or a score that does not vary",
    "below_minimum": "its score is not above the minimum",
    "weak_t": "its score is above the minimum, but not surely above zero",
    "not_better": "no better than the pooled model on the symbol's own rows",
    "unsure": "better, but chance among so many comparisons is not ruled out",
    "experimental_cap": "the experimental lane is full; better scores came first",
    "passed": "its score and its t are above their minimum",
    "proven": "surely better than the pooled model, bar by bar on the same rows",
    "expected": "surely predicts its symbol, and is expected to beat the pooled model",
    "misled": "the pooled model surely misleads on this symbol, its own does not",
    "alone": "surely predicts its symbol, where no pooled model is trained",
    "compared": "reported beside the routes; it decides nothing",
}


class Verdict(NamedTuple):
    """State of one candidate, the rule (a key of ``RULES``) behind it, and the facts."""

    state: str
    rule: str
    reason: str


def with_states(candidates: pd.DataFrame, config: RoutingConfig) -> pd.DataFrame:
    """Fill the columns ``state``, ``rule`` and ``reason`` of the candidates.

    A leak and too few rows come first, whatever the score. The experimental lane of the
    symbols of a target is capped at ``experimental_share`` of its symbols, best first.
    """
    verdicts = [judge(row, config) for row in records(candidates)]
    filled = {
        name: pd.Series(
            [getattr(verdict, name) for verdict in verdicts],
            index=candidates.index,
            dtype=object,
        )
        for name in Verdict._fields
    }
    return _capped(candidates.assign(**filled), config)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries by column name."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def judge(row: dict[str, Any], config: RoutingConfig) -> Verdict:
    """State of one candidate, the rule that decided, and the reason in words.

    A symbol's own model must have a score above its minimum. Where a pooled model is
    trained it must besides beat it: by the paired test on the same rows
    (Benjamini-Hochberg over target x symbol), or by a score of its own that is above
    zero by such a test and an expected gain above zero, see
    :mod:`ranking_pipeline.routing.expected_gain`. On markets where a third of 500
    symbols answers the other way the first rule alone finds a half of the symbols with
    a signal, both together nine tenths, with no more false ones; where 8 of 96 are
    reversed they agree. It also suffices that the pooled score is surely below zero
    there, by such a test, and the own one above: the paired difference carries the
    noise of both. Of 8 reversed names among 96 it finds .875, with this rule .975 (5
    markets, no more false ones). Where no pooled model is trained, the test of its own
    score decides: its alternative is no opinion.

    Parameters
    ----------
    row : dict
        One row of the candidates table.
    config : RoutingConfig
    """
    if row["mode"] == PARTIAL:
        return Verdict("", "compared", str(row["reason"]))
    limits = thresholds(row, config)
    refusal = _refusal(row, limits, config)
    if refusal:
        return Verdict(DISALLOWED, *refusal)
    facts = _facts(row)
    if not row["score"] > limits.min_score:
        text = f"{facts}: not above {limits.min_score:g}"
        return Verdict(DISALLOWED, "below_minimum", text)
    rule = _proof(row, config)
    if not rule:
        doubt, text = _doubt(row, config)
        state = EXPERIMENTAL if _hopeful(row, config) else DISALLOWED
        return Verdict(state, doubt, f"{facts}: {text}")
    if rule == "misled":
        facts += f"; the pooled model has {row['pooled_score']:+.3f} there (t "
        facts += f"{row['pooled_t']:.1f})"
    strong = row["score"] >= limits.strong_score and row["t"] >= config.min_t
    return Verdict(STRONG if strong else OK, rule, facts)


def thresholds(row: dict[str, Any], config: RoutingConfig) -> Thresholds:
    """Find the thresholds that apply to a candidate, in the unit of its metric."""
    side = config.pooled if row["mode"] == POOLED else config.symbol
    return side.auc if str(row["metric"]).endswith("auc") else side.rank_ic


def rows_needed(row: dict[str, Any], config: RoutingConfig) -> int:
    """Fewest train rows with which a candidate is judged."""
    pooled = row["mode"] == POOLED
    return config.min_pooled_rows if pooled else config.min_symbol_rows


def _refusal(
    row: dict[str, Any], limits: Thresholds, config: RoutingConfig
) -> tuple[str, str] | None:
    if row["leakage_status"] == BLOCKED:
        text = "leakage: a feature is blocked or the pooled score too good to be honest"
        return "leakage", text
    if row["score"] >= limits.suspicious_score:
        text = f"leakage: score {row['score']:.3f} is too good to be honest"
        return "too_good", text
    needed = rows_needed(row, config)
    if row["n_rows"] < needed:
        return "few_rows", f"{row['n_rows']} train rows, needs {needed}"
    if row["mode"] == POOLED and row["n_symbols"] == 1:
        return "one_symbol", RULES["one_symbol"]
    if not math.isfinite(row["score"]) or not math.isfinite(row["t"]):
        return "unmeasured", f"not measurable: {RULES['unmeasured']}"
    return None


def _proof(row: dict[str, Any], config: RoutingConfig) -> str:
    """Rule by which a score above the minimum suffices; empty where none does."""
    if row["mode"] == POOLED:
        return "passed" if row["t"] >= config.min_t else ""
    rate = config.false_discovery_rate
    predicts = row["own_q"] <= rate
    if row["compared_with"] == AGAINST_NOTHING:
        return "alone" if predicts else ""
    if row["delta"] > 0 and row["q"] <= rate:
        return "proven"
    if row["delta"] > 0 and row["misleads_q"] <= rate:
        return "misled"
    return "expected" if predicts and row["expected_gain"] > 0 else ""


def _doubt(row: dict[str, Any], config: RoutingConfig) -> tuple[str, str]:
    """Rule and words of what is missing."""
    if row["mode"] == POOLED:
        return "weak_t", f"t is below {config.min_t:g}"
    if row["compared_with"] == AGAINST_NOTHING:
        return "unsure", f"not surely above zero (q {row['own_q']:.2f})"
    if not row["delta"] > 0:
        return "not_better", "not better than the pooled model"
    text = f"better than the pooled model, but not surely (q {row['q']:.2f})"
    return "unsure", text


def _hopeful(row: dict[str, Any], config: RoutingConfig) -> bool:
    """Whether the doubt leaves room for an experiment."""
    if row["mode"] == POOLED:
        return True
    alone = row["compared_with"] == AGAINST_NOTHING
    sure = row["t"] >= config.min_t
    return bool(sure and (alone or row["delta_t"] >= config.min_t))


def _facts(row: dict[str, Any]) -> str:
    text = f"{row['metric']} {row['score']:+.3f} (t {row['t']:.1f})"
    if row["mode"] == POOLED:
        return text
    if row["compared_with"] == AGAINST_NOTHING:
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
        frame.loc[beyond, "rule"] = "experimental_cap"
        frame.loc[beyond, "reason"] += f"; only {room} experimental routes are allowed"
    return frame
