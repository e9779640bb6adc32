"""The graph of routing."""

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from ranking_pipeline.pipelines.routing import nodes
from ranking_pipeline.training.config import PlannedTraining

TABLES = [
    "panel",
    "features",
    "feature_manifest",
    "labels",
    "target_manifest",
    "splits",
]
PLANNED = [f"params:model_training.{name}" for name in PlannedTraining.model_fields]


def create_pipeline(evidence: bool = True) -> Pipeline:
    """Candidates, the routing plan, and the training plan with its views.

    Parameters
    ----------
    evidence
        False: every target is planned with every family, whatever may be said of it.
    """
    return Pipeline(
        [*(_routed() if evidence else _unplanned()), _exported()],
        tags="routing",
        namespace="routing",
        prefix_datasets_with_namespace=False,
    )


def _routed() -> list[Node]:
    return [
        node(
            nodes.collect_candidates,
            inputs=[
                *TABLES,
                "selected_targets",
                "selected_features",
                "leakage_report",
                "feature_stability",
                "params:routing",
                "params:jobs",
                "params:cache",
            ],
            outputs=["routing_candidates", "routing_costs"],
            name="collect_candidates",
        ),
        node(
            nodes.decide_routes,
            inputs=[
                "routing_candidates",
                "selected_targets",
                "selected_features",
                "params:routing",
            ],
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
                "panel",
                "splits",
                "target_manifest",
                *PLANNED,
            ],
            outputs="training_plan",
            name="plan_training",
        ),
        node(
            nodes.export_routes,
            inputs="routing_plan",
            outputs=["routing_plan_yaml", "routing_plan_md"],
            name="export_routes",
        ),
        node(
            nodes.summarise_routing,
            inputs=["routing_candidates", "routing_plan", "training_plan"],
            outputs=["routing_section", "routing_figure"],
            name="summarise_routing",
        ),
    ]


def _unplanned() -> list[Node]:
    return [
        node(
            nodes.plan_everything,
            inputs=[*TABLES, "params:feature_selection", *PLANNED],
            outputs=["training_plan", "routing_plan"],
            name="plan_everything",
        )
    ]


def _exported() -> Node:
    return node(
        nodes.export_plan,
        inputs="training_plan",
        outputs=["training_plan_yaml", "training_plan_md", "training_plan_views"],
        name="export_plan",
    )
