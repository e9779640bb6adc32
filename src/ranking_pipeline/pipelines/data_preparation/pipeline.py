"""The graph of data preparation."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.data_preparation import nodes


def create_pipeline() -> Pipeline:
    """Raw bars to panel, features, labels and splits."""
    return Pipeline(
        [
            node(
                nodes.check_bars,
                inputs=["raw_bars", "params:data", "params:run"],
                outputs=[
                    "bars",
                    "quarantine",
                    "data_quality",
                    "data_summary",
                    "security_master",
                    "market_truth",
                ],
                name="check_bars",
            ),
            node(nodes.build_panel, inputs="bars", outputs="panel", name="build_panel"),
            node(
                nodes.compute_features,
                inputs=["panel", "security_master", "params:data"],
                outputs=["features", "feature_manifest"],
                name="compute_features",
            ),
            node(
                nodes.compute_labels,
                inputs=["panel", "params:data"],
                outputs=["labels", "target_manifest"],
                name="compute_labels",
            ),
            node(
                nodes.make_splits,
                inputs=["panel", "params:data"],
                outputs="splits",
                name="make_splits",
            ),
            node(
                nodes.summarise_data,
                inputs=["data_summary", "data_quality", "security_master"],
                outputs=["data_section", "defects_figure"],
                name="summarise_data",
            ),
        ],
        tags="data_preparation",
        namespace="data_preparation",
        prefix_datasets_with_namespace=False,
    )
