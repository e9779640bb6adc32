"""The graph of routing."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.routing import nodes


def create_pipeline() -> Pipeline:
    """Candidates, the routing plan, and the training plan with its views."""
    return Pipeline(
        [
            node(
                nodes.collect_candidates,
                inputs=[
                    "panel",
                    "features",
                    "feature_manifest",
                    "labels",
                    "target_manifest",
                    "splits",
                    "selected_targets",
                    "selected_features",
                    "leakage_report",
                    "feature_stability",
                    "params:routing",
                    "params:jobs",
                ],
                outputs="routing_candidates",
                name="collect_candidates",
            ),
            node(
                nodes.decide_routes,
                inputs=["routing_candidates", "selected_targets", "params:routing"],
                outputs="routing_plan",
                name="decide_routes",
            ),
            node(
                nodes.plan_training,
                inputs=[
                    "routing_plan",
                    "routing_candidates",
                    "selected_features",
                    "params:routing",
                    "params:model_training.families",
                    "params:model_training.symbol_families",
                ],
                outputs="training_plan",
                name="plan_training",
            ),
            node(
                nodes.export_plan,
                inputs=["training_plan", "routing_plan"],
                outputs=[
                    "training_plan_yaml",
                    "training_plan_md",
                    "routing_plan_md",
                    "training_plan_views",
                ],
                name="export_plan",
            ),
            node(
                nodes.summarise_routing,
                inputs=["routing_candidates", "routing_plan", "training_plan"],
                outputs=["routing_section", "routing_figure"],
                name="summarise_routing",
            ),
        ],
        tags="routing",
        namespace="routing",
        prefix_datasets_with_namespace=False,
    )
