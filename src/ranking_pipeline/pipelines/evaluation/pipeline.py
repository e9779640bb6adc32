"""The graph of the evaluation, composed with whatever stages ran."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.evaluation import nodes

# The report's section of each stage, and its tables of models and predictions.
SECTIONS = {
    "data_preparation": "data_section",
    "target_ranking": "target_ranking_section",
    "feature_selection": "feature_selection_section",
    "routing": "routing_section",
    "model_training": "training_section",
    "cs_ranking": "cs_ranking_section",
    "audit": "lookahead_section",
}
COSTS = {
    "target_ranking": ("target_ranking_costs",),
    "feature_selection": ("feature_selection_costs",),
    "routing": ("routing_costs",),
    "model_training": ("cpu_training_costs", "gpu_training_costs"),
}
PREDICTIONS = {
    "model_training": ("models", "predictions"),
    "cs_ranking": ("cs_models", "cs_predictions"),
}


def create_pipeline(stages: Sequence[str] = tuple(SECTIONS)) -> Pipeline:
    """All predictions and the baselines on the locked test split, and the report.

    Parameters
    ----------
    stages
        Stages whose predictions are compared and whose sections are shown: any subset
        gives a true report. The section of the backtest is another pipeline's.
    """
    tables = [name for stage in stages for name in PREDICTIONS.get(stage, ())]
    sections = [SECTIONS[stage] for stage in SECTIONS if stage in stages]
    costs = [name for stage in COSTS if stage in stages for name in COSTS[stage]]
    return Pipeline(
        [
            node(
                nodes.evaluate,
                inputs=[
                    "panel",
                    "labels",
                    "target_manifest",
                    "splits",
                    "market_truth",
                    "params:evaluation",
                    *tables,
                ],
                # The opening of the test split is saved first: what comes after is counted.
                outputs=[
                    "test_openings",
                    "metrics",
                    "leaderboard",
                    "baseline_lags",
                    "ic_by_bar",
                    "books",
                    "decile_returns",
                    "paired_comparison",
                    "evaluation_summary",
                    "evaluation_section",
                ],
                name="evaluate",
            ),
            node(
                nodes.export_signal,
                inputs=[
                    "leaderboard",
                    "panel",
                    "data_summary",
                    *tables,
                ],
                outputs="qlib_signal",
                name="export_signal",
            ),
            node(
                nodes.draw_figures,
                inputs="evaluation_section",
                outputs=["ic_figure", "spread_figure", "decile_figure"],
                name="draw_figures",
            ),
            node(
                nodes.write_report,
                inputs=[
                    "data_summary",
                    "evaluation_summary",
                    "params:evaluation",
                    "evaluation_section",
                    "backtest_section",
                    *sections,
                    *costs,
                ],
                outputs="report",
                name="write_report",
            ),
        ],
        tags="evaluation",
        namespace="evaluation",
        prefix_datasets_with_namespace=False,
    )
