"""The graph of model training."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.model_training import nodes

PLANNED = [
    "training_plan",
    "panel",
    "features",
    "labels",
    "target_manifest",
    "splits",
]
SETTINGS = ["params:model_training", "params:jobs"]


def create_pipeline() -> Pipeline:
    """Exactly the jobs of the plan: those of the CPU first, then those of the GPU."""
    return Pipeline(
        [
            node(
                nodes.train_cpu_jobs,
                inputs=[*SETTINGS, *PLANNED],
                outputs=["cpu_outcomes", "cpu_training_costs"],
                name="train_cpu_jobs",
            ),
            node(
                nodes.train_gpu_jobs,
                inputs=[*SETTINGS, "cpu_outcomes", *PLANNED],
                outputs=["gpu_outcomes", "gpu_training_costs"],
                name="train_gpu_jobs",
            ),
            node(
                nodes.collect_models,
                inputs=[
                    *SETTINGS,
                    "cpu_outcomes",
                    "gpu_outcomes",
                    "routing_plan",
                    *PLANNED,
                ],
                outputs=["models", "predictions", "training_outcomes"],
                name="collect_models",
            ),
            node(
                nodes.summarise_training,
                inputs=["training_outcomes", "models"],
                outputs="training_section",
                name="summarise_training",
            ),
        ],
        tags="model_training",
        namespace="model_training",
        prefix_datasets_with_namespace=False,
    )
