"""The graph of target ranking."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.target_ranking import nodes


def create_pipeline() -> Pipeline:
    """Score every target inside the train span, rank them, select the predictable."""
    return Pipeline(
        [
            node(
                nodes.rank_targets,
                inputs=[
                    "panel",
                    "features",
                    "feature_manifest",
                    "labels",
                    "target_manifest",
                    "splits",
                    "params:target_ranking",
                    "params:jobs",
                    "params:cache",
                ],
                outputs=[
                    "target_rankings",
                    "target_family_scores",
                    "target_feature_importances",
                    "selected_targets",
                    "target_ranking_costs",
                ],
                name="rank_targets",
            ),
            node(
                nodes.export_rankings,
                inputs="target_rankings",
                outputs=[
                    "target_predictability_rankings",
                    "target_predictability_rankings_yaml",
                ],
                name="export_rankings",
            ),
            node(
                nodes.summarise_target_ranking,
                inputs=["target_rankings", "target_family_scores", "selected_targets"],
                outputs=["target_ranking_section", "target_ranking_figure"],
                name="summarise_target_ranking",
            ),
        ],
        tags="target_ranking",
        namespace="target_ranking",
        prefix_datasets_with_namespace=False,
    )
