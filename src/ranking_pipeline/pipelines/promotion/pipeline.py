"""The graph of the promotion."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.promotion import nodes

# A leaderboard is made from both stages or from one; the hooks tell which.
OF_STAGES = (
    "models",
    "predictions",
    "routing_plan",
    "cs_models",
    "cs_predictions",
    "cs_model",
    "cs_model_meta",
)


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
                    "splits",
                    "panel",
                    "features",
                    "labels",
                    *OF_STAGES,
                ],
                outputs="promoted_model",
                name="promote_model",
            )
        ],
        tags="promotion",
        namespace="promotion",
        prefix_datasets_with_namespace=False,
    )
