"""The graph of tuning."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.tuning import nodes


def create_pipeline() -> Pipeline:
    """Search the parameters of families, and keep those that beat the defaults."""
    return Pipeline(
        [
            node(
                nodes.tune_parameters,
                inputs=[
                    "panel",
                    "features",
                    "feature_manifest",
                    "labels",
                    "target_manifest",
                    "splits",
                    "selected_targets",
                    "selected_features",
                    "params:tuning",
                    "params:model_training",
                    "params:feature_selection",
                    "params:jobs",
                ],
                outputs=[
                    "tuning_trials",
                    "tuning_best",
                    "tuning_overlay",
                    "tuning_history_figure",
                    "tuning_importance_figure",
                    "tuning_slice_figure",
                    "tuning_costs",
                ],
                name="tune_parameters",
            ),
            node(
                nodes.write_overlay,
                inputs=["tuning_overlay", "params:tuning"],
                outputs=None,
                name="write_overlay",
            ),
        ],
        tags="tuning",
        namespace="tuning",
        prefix_datasets_with_namespace=False,
    )
