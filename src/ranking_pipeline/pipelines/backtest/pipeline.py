"""The graph of the backtest, over predictions or over the monthly portfolio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from ranking_pipeline.pipelines.backtest import nodes

# The tables of models and predictions of each stage that makes some.
PREDICTIONS = {
    "model_training": ("models", "predictions"),
    "cs_ranking": ("cs_models", "cs_predictions"),
}
OUTPUTS = (
    "backtest_returns",
    "backtest_metrics",
    "backtest_exposure",
    "monthly_returns",
    "backtest_section",
)
FIGURES = ("equity_figure", "monthly_figure", "exposure_figure", "turnover_figure")


def create_pipeline(
    stages: Sequence[str] = tuple(PREDICTIONS),
    *,
    source: Literal["predictions", "portfolio"] = "predictions",
    alone: bool = True,
) -> Pipeline:
    """Books held over the bars of validation and test, and what they earn net.

    Parameters
    ----------
    stages
        Stages whose predictions stand behind the leaderboard.
    source
        ``predictions``: a row of the leaderboard. ``portfolio``: the monthly one of the
        pipeline ``prediction``; its outputs are called ``portfolio_…``.
    alone
        Whether this opens the test split itself, and so counts an opening. Beside the
        evaluation, which opens it in the same run, it does not.
    """
    prefix = "" if source == "predictions" else "portfolio_"
    held = _of_portfolio(prefix, alone) if prefix else _of_predictions(stages, prefix)
    opening = node(
        nodes.open_test_split,
        # What does not fit is refused before it is counted.
        inputs=["panel", f"{prefix}backtest_check"],
        outputs="test_openings",
        name="open_test_split",
    )
    drawing = node(
        nodes.draw_backtest,
        inputs=f"{prefix}backtest_section",
        outputs=[f"{prefix}{name}" for name in FIGURES],
        name="draw_backtest",
    )
    return Pipeline(
        [*([opening] if alone else []), *held, drawing],
        tags="backtest",
        # the report follows it, so beside the evaluation it stands inside of that
        namespace=f"{prefix}backtest" if alone or prefix else "evaluation.backtest",
        prefix_datasets_with_namespace=False,
    )


def _of_predictions(stages: Sequence[str], prefix: str) -> list[Node]:
    tables = [name for stage in stages for name in PREDICTIONS.get(stage, ())]
    return [
        node(
            nodes.check_predictions,
            inputs=[
                "panel",
                "splits",
                "target_manifest",
                "leaderboard",
                "metrics",
                "delistings",
                "params:backtest",
                "params:evaluation",
                *tables,
            ],
            outputs=f"{prefix}backtest_check",
            name="check_backtest",
        ),
        node(
            nodes.record_trials,
            # The opening comes first: whatever is measured after it is counted.
            inputs=[
                "test_openings",
                f"{prefix}backtest_check",
                "leaderboard",
                "tuning_trials_so_far",
                "params:backtest",
                "params:evaluation",
                *tables,
            ],
            outputs="trial_ledger",
            name="record_trials",
        ),
        node(
            nodes.backtest_predictions,
            inputs=[
                "panel",
                "splits",
                "target_manifest",
                "leaderboard",
                "metrics",
                "trial_ledger",
                "delistings",
                "params:backtest",
                "params:evaluation",
                *tables,
            ],
            outputs=[f"{prefix}{name}" for name in OUTPUTS],
            name="backtest_predictions",
        ),
    ]


def _of_portfolio(prefix: str, alone: bool) -> list[Node]:
    # Both ledgers are one file: the rows of the leaderboard are recorded and read first.
    before = [] if alone else ["trial_ledger", "backtest_section"]
    return [
        node(
            nodes.check_portfolio,
            inputs=[
                "panel",
                "splits",
                "target_manifest",
                "batch_predictions",
                "delistings",
                "params:backtest",
                "params:evaluation",
            ],
            outputs=f"{prefix}backtest_check",
            name="check_backtest",
        ),
        node(
            nodes.record_portfolio,
            inputs=[
                "test_openings",
                f"{prefix}backtest_check",
                "batch_predictions",
                "params:backtest",
                *before,
            ],
            outputs="portfolio_trial_ledger",
            name="record_portfolio",
        ),
        node(
            nodes.backtest_portfolio,
            inputs=[
                "panel",
                "splits",
                "target_manifest",
                "batch_predictions",
                "portfolio_trial_ledger",
                "delistings",
                "params:backtest",
                "params:evaluation",
                "portfolio_selection",
            ],
            outputs=[f"{prefix}{name}" for name in OUTPUTS],
            name="backtest_portfolio",
        ),
        node(
            nodes.write_portfolio_report,
            inputs=[
                "data_summary",
                "test_openings",
                "params:evaluation",
                "portfolio_backtest_section",
                "prediction_section",
                "candidate_section",
            ],
            outputs="portfolio_report",
            name="write_portfolio_report",
        ),
    ]
