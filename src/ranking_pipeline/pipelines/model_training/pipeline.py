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
    "params:model_training",
    "params:jobs",
]


def create_pipeline() -> Pipeline:
    """Exactly the jobs of the plan: those of the CPU first, then those of the GPU."""
    return Pipeline(
        [
            node(
                nodes.train_cpu_jobs,
                inputs=PLANNED,
                outputs="cpu_outcomes",
                name="train_cpu_jobs",
            ),
            node(
                nodes.train_gpu_jobs,
                inputs=[*PLANNED, "cpu_outcomes"],
                outputs="gpu_outcomes",
                name="train_gpu_jobs",
            ),
            node(
                nodes.collect_models,
                inputs=[*PLANNED, "cpu_outcomes", "gpu_outcomes", "routing_plan"],
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
