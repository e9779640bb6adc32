"""Target gate: which of the ranked targets are selected, and why the others are not."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.formats import format_cell
from ranking_pipeline.selection.config import TargetRankingConfig


def select(frame: pd.DataFrame, config: TargetRankingConfig) -> pd.DataFrame:
    """Mark the selected targets and say why the others are not.

    Parameters
    ----------
    frame : DataFrame
        Targets in order, with ``rankable``, ``q``, ``skill``, ``z`` and ``reason``.
    config : TargetRankingConfig

    Returns
    -------
    DataFrame
        With ``selected`` and a ``reason`` for each row. Targets named by hand are all
        selected; otherwise the Benjamini-Hochberg q value is the gate, the smallest
        skill and the number of targets come after it.
    """
    if frame.empty:
        return frame
    if not config.auto:
        note = "named in manual_targets"
        reasons = [
            f"{note}; {reason}" if reason else note for reason in frame["reason"]
        ]
        chosen = frame.assign(selected=True, reason=reasons)
    else:
        passed = frame["rankable"] & (frame["q"] <= config.false_discovery_rate)
        passed &= frame["skill"] >= config.min_predictability_score
        selected = passed & (passed.cumsum() <= config.top_n_targets)
        verdicts = [
            _verdict(row, bool(ok), bool(chosen), config)
            for (_, row), ok, chosen in zip(
                frame.iterrows(), passed, selected, strict=True
            )
        ]
        chosen = frame.assign(selected=selected, reason=verdicts)
    return chosen


def _verdict(
    row: pd.Series, passed: bool, selected: bool, config: TargetRankingConfig
) -> str:
    if not row["rankable"]:
        return str(row["reason"])
    facts = f"z {row['z']:.2f}, q {format_cell(row['q'], 'p')}"
    if selected:
        text = f"selected: {facts}"
    elif passed:
        text = f"passes ({facts}) but {config.top_n_targets} others rank higher"
    elif not row["q"] <= config.false_discovery_rate:
        text = (
            f"{facts} is above the false discovery rate {config.false_discovery_rate}"
        )
    else:
        text = f"skill {row['skill']:.3f} is below {config.min_predictability_score}"
    return f"{text}; {row['reason']}" if row["reason"] else text


def selection(frame: pd.DataFrame) -> dict[str, Any]:
    """Document of the selected targets: status, names in order, and a reason."""
    chosen = [] if frame.empty else list(frame.loc[frame["selected"], "target"])
    if chosen:
        reason = f"{len(chosen)} of {len(frame)} targets selected"
        return {"status": "selected", "targets": chosen, "reason": reason}
    ranked = 0 if frame.empty else int(frame["rankable"].sum())
    reason = f"none of {len(frame)} targets ({ranked} rankable) passed the gates"
    return {"status": "nothing_predictable", "targets": [], "reason": reason}
