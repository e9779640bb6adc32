"""The graph of the promotion."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.promotion import nodes


def create_pipeline() -> Pipeline:
    """One row of the leaderboard, copied into the production registry."""
    return Pipeline(
        [
            node(
                nodes.promote_model,
                inputs=[
                    "params:promotion",
                    "params:jobs",
                    "leaderboard",
                    "models",
                    "routing_plan",
                    "predictions",
                    "panel",
                    "features",
                    "labels",
                ],
                outputs="promoted_model",
                name="promote_model",
            )
        ],
        tags="promotion",
        namespace="promotion",
        prefix_datasets_with_namespace=False,
    )
