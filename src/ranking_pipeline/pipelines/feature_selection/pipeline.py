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
                    "params:cache",
                ],
                outputs=[
                    "leakage_report",
                    "feature_filters",
                    "feature_importance",
                    "symbol_importance",
                    "importance_comparison",
                    "feature_consensus",
                    "feature_family_scores",
                    "feature_stability",
                    "model_agreement",
                    "selection_outcomes",
                    "selected_features",
                    "feature_reports",
                    "feature_selection_costs",
                ],
                name="select_features",
            ),
            node(
                nodes.summarise_feature_selection,
                inputs=[
                    "feature_consensus",
                    "leakage_report",
                    "selected_features",
                    "selection_outcomes",
                    "feature_stability",
                    "model_agreement",
                    "importance_comparison",
                ],
                outputs=["feature_selection_section", "feature_importance_figure"],
                name="summarise_feature_selection",
            ),
        ],
        tags="feature_selection",
        namespace="feature_selection",
        prefix_datasets_with_namespace=False,
    )
