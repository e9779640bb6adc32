"""The graph of the prediction."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.prediction import nodes


def create_pipeline(*, after_promotion: bool = False) -> Pipeline:
    """Portfolios of the wanted months, and the ranking at the last bar.

    Parameters
    ----------
    after_promotion
        Whether the model is promoted in the same run, so that its alias has to wait.
    """
    promoted = ["promoted_model"] if after_promotion else []
    return Pipeline(
        [
            node(
                nodes.predict_portfolios,
                inputs=[
                    "sector_candidates",
                    "panel",
                    "features",
                    "params:prediction",
                    "params:promotion.registry",
                    "params:data.labels.entry_lag_bars",
                    *promoted,
                ],
                outputs=[
                    "portfolio_selection",
                    "batch_predictions",
                    "batch_results",
                    "batch_outcomes",
                    "live_ranking",
                    "prediction_files",
                ],
                name="predict_portfolios",
            ),
            node(
                nodes.show_portfolios,
                inputs=["portfolio_selection", "batch_outcomes", "live_ranking"],
                outputs=["prediction_section", "portfolio_selection_md"],
                name="show_portfolios",
            ),
        ],
        tags="prediction",
        namespace="prediction",
        prefix_datasets_with_namespace=False,
    )
