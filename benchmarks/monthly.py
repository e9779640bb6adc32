"""monthly: candidates and predictions by ``kedro run``, from a cold start.

Candidates of the S&P 500: all sectors, 60 months, GARCH included; the same again from
what was kept, and one month more. Predictions of the overlay ``portfolio``: one month of
all sectors, and every month, by its own sector transformer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.harness import REAL_DATA, Measured, Row, kedro_run, private_conf, row

FIRST_MONTH, LAST_MONTH, NEXT_MONTH = "2015-02", "2020-01", "2020-02"
TRANSFORMER = "promotion.model_id=stock_transformer:fwd_ret_20d"
REAL_BARS = {
    "data.source": "sp500_daily_2015_2020.parquet",
    "data.sectors": "sp500_sectors_2020.csv",
    "data.universe": "sp500_membership_spells.csv",
}


def run(rounds: int | None) -> list[Row]:
    """Measure each case ``rounds`` times (1 by default)."""
    measured: dict[str, list[Measured]] = {}
    for _ in range(rounds or 1):
        with tempfile.TemporaryDirectory() as folder:
            cases = _predictions(Path(folder) / "predictions")
            if (REAL_DATA / REAL_BARS["data.source"]).exists():
                cases |= _candidates(Path(folder) / "candidates")
        for case, figures in cases.items():
            measured.setdefault(case, []).append(figures)
    return [
        made
        for case, figures in measured.items()
        for made in (
            row(case, "s", [one.seconds for one in figures]),
            row(case, "MB", [one.peak_mb for one in figures]),
        )
    ]


def _candidates(folder: Path) -> dict[str, Measured]:
    conf = private_conf(folder)
    files = ",".join(f"{key}={REAL_DATA / name}" for key, name in REAL_BARS.items())
    bars = f"{files},data.timezone=America/New_York,data.calendar=XNYS"
    kedro_run(conf, "--pipelines=data_preparation", f"--params={bars}")

    def select(last: str) -> Measured:
        first = f"candidate_selection.first_month={FIRST_MONTH}"
        months = f"--params={first},candidate_selection.last_month={last}"
        return kedro_run(conf, "--pipelines=candidate_selection", months)

    return {
        "S&P 500 candidates, 60 months, cold": select(LAST_MONTH),
        "S&P 500 candidates, the same again": select(LAST_MONTH),
        "S&P 500 candidates, one month more": select(NEXT_MONTH),
    }


def _predictions(folder: Path) -> dict[str, Measured]:
    conf = private_conf(folder, "portfolio")
    whole = kedro_run(conf, "--env=portfolio", "--pipelines=sector_portfolio")
    kedro_run(
        conf, "--env=portfolio", "--pipelines=promotion", f"--params={TRANSFORMER}"
    )
    versions = (folder / "data" / "05_model_input").glob(
        "sector_candidates.parquet/*/*"
    )
    table = max(path for path in versions if path.suffix == ".parquet")
    chosen = pd.read_parquet(table)["month"].value_counts()
    last = str(chosen.index.max())
    asked = ["--env=portfolio", "--pipelines=prediction"]
    month = f"prediction.first_month={last},prediction.last_month={last}"
    return {
        "sector_portfolio of 420 names, cold": whole,
        f"prediction of {chosen[last]} candidates": kedro_run(
            conf, *asked, f"--params={month}"
        ),
        f"prediction of {chosen.sum()} candidates": kedro_run(conf, *asked),
    }
