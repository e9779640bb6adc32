"""Leakage report: what each rule found out about each feature, and what may be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

SAFE, SUSPECT, BLOCKED = "SAFE", "SUSPECT", "BLOCKED"
STATUSES = (SAFE, SUSPECT, BLOCKED)  # in the order of their weight
COLUMNS = (
    "target",
    "feature",
    "rule",
    "value",
    "lower_bound",
    "threshold",
    "status",
    "evidence",
)
NAN = float("nan")


@dataclass(frozen=True)
class Finding:
    """What one rule has to say about one feature; feature "" is the whole model."""

    feature: str
    rule: str
    value: float
    lower_bound: float
    threshold: float
    status: str
    evidence: str


def report_of(target: str, findings: Iterable[Finding]) -> pd.DataFrame:
    """Rows of ``leakage_report``, columns as in ``COLUMNS``."""
    rows = [{"target": target, **vars(finding)} for finding in findings]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def feature_status(report: pd.DataFrame) -> dict[str, str]:
    """Worst status of each feature of one target, in the order of the report."""
    worst: dict[str, str] = {}
    for feature, status in zip(report["feature"], report["status"], strict=True):
        known = worst.get(feature, SAFE)
        worst[feature] = max(known, status, key=STATUSES.index)
    return {feature: status for feature, status in worst.items() if feature}


def usable_features(report: pd.DataFrame, allow_suspect: bool) -> tuple[str, ...]:
    """Features of a report that may be used: SAFE, and SUSPECT where allowed."""
    allowed = {SAFE, SUSPECT} if allow_suspect else {SAFE}
    statuses = feature_status(report)
    return tuple(name for name, status in statuses.items() if status in allowed)
