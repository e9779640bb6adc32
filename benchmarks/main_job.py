"""main_job: seconds and peak memory of each stage, on simulated and on real bars."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.harness import REAL_DATA, Measured, Row, kedro_run, private_conf, row

STAGES = (
    "data_preparation",
    "target_ranking",
    "feature_selection",
    "routing",
    "model_training",
    "cs_ranking",
    "evaluation",
)
REAL_BARS = REAL_DATA / "sp500_daily_2015_2020.parquet"


def run(rounds: int | None) -> list[Row]:
    """Measure every stage alone and the whole job, ``rounds`` times (1 by default)."""
    cases = {"simulated": ""}
    if REAL_BARS.exists():
        cases["real"] = f"data.source={REAL_BARS},data.timezone=America/New_York"
    rows: list[Row] = []
    for market, parameters in cases.items():
        measured = [_one_round(parameters) for _ in range(rounds or 1)]
        for case in measured[0]:
            figures = [m[case] for m in measured]
            rows.append(row(f"{market} {case}", "s", [m.seconds for m in figures]))
            rows.append(row(f"{market} {case}", "MB", [m.peak_mb for m in figures]))
    return rows


def _one_round(parameters: str) -> dict[str, Measured]:
    extra = [f"--params={parameters}"] if parameters else []
    with tempfile.TemporaryDirectory() as folder:
        conf = private_conf(Path(folder) / "whole")
        measured = {"whole job": kedro_run(conf, *extra)}
        conf = private_conf(Path(folder) / "stages")
        for stage in STAGES:
            measured[stage] = kedro_run(conf, f"--pipelines={stage}", *extra)
    return measured
