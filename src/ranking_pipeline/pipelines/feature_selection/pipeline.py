"""The graph of feature selection."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.feature_selection import nodes


def create_pipeline() -> Pipeline:
    """Screen for leaks, measure importance, and agree on the features of each target."""
    return Pipeline(
        [
            node(
                nodes.select_features,
                inputs=[
                    "panel",
                    "features",
                    "feature_manifest",
                    "labels",
                    "target_manifest",
                    "splits",
                    "selected_targets",
                    "params:feature_selection",
                    "params:jobs",
                ],
                outputs=[
                    "leakage_report",
                    "feature_importance",
                    "feature_consensus",
                    "feature_stability",
                    "model_agreement",
                    "selected_features",
                ],
                name="select_features",
            ),
            node(
                nodes.summarise_feature_selection,
                inputs=["feature_consensus", "leakage_report", "selected_features"],
                outputs=["feature_selection_section", "feature_importance_figure"],
                name="summarise_feature_selection",
            ),
        ],
        tags="feature_selection",
        namespace="feature_selection",
        prefix_datasets_with_namespace=False,
    )
