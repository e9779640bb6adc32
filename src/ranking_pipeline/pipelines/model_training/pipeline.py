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


def create_pipeline() -> Pipeline:
    """Exactly the jobs of the plan: those of the CPU first, then those of the GPU."""
    return Pipeline(
        [
            node(
                nodes.list_jobs,
                inputs=["params:model_training", "params:jobs", *PLANNED],
                outputs="training_jobs",
                name="list_jobs",
            ),
            node(
                nodes.train_cpu_jobs,
                inputs=["training_jobs", "params:jobs"],
                outputs=["cpu_outcomes", "cpu_training_costs", "cpu_job_costs"],
                name="train_cpu_jobs",
            ),
            node(
                nodes.train_gpu_jobs,
                inputs=["training_jobs", "params:jobs", "cpu_outcomes"],
                outputs=["gpu_outcomes", "gpu_training_costs", "gpu_job_costs"],
                name="train_gpu_jobs",
            ),
            node(
                nodes.collect_models,
                inputs=[
                    "training_jobs",
                    "params:model_training",
                    "cpu_outcomes",
                    "gpu_outcomes",
                    "routing_plan",
                ],
                outputs=[
                    "models",
                    "predictions",
                    "training_outcomes",
                    "ensemble_weights",
                ],
                name="collect_models",
            ),
            node(
                nodes.summarise_training,
                inputs=["training_outcomes", "models", "ensemble_weights"],
                outputs="training_section",
                name="summarise_training",
            ),
        ],
        tags="model_training",
        namespace="model_training",
        prefix_datasets_with_namespace=False,
    )
