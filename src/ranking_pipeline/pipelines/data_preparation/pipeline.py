"""The graph of data preparation."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.data_preparation import nodes


def create_pipeline() -> Pipeline:
    """Raw bars to panel, features, labels and splits."""
    return Pipeline(
        [
            node(
                nodes.ingest_bars,
                inputs=["raw_bars", "params:data", "params:run"],
                outputs=[
                    "panel",
                    "security_master",
                    "quarantine",
                    "data_quality",
                    "gaps",
                    "data_summary",
                    "market_truth",
                ],
                name="ingest_bars",
            ),
            node(
                nodes.tabulate_bars,
                inputs="panel",
                outputs="bars",
                name="tabulate_bars",
            ),
            node(
                nodes.compute_features,
                inputs=["panel", "params:data"],
                outputs=["features", "feature_manifest"],
                name="compute_features",
            ),
            node(
                nodes.store_delistings,
                inputs="params:data",
                outputs="delistings",
                name="store_delistings",
            ),
            node(
                nodes.compute_labels,
                inputs=["panel", "delistings", "params:data"],
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
                inputs=["data_summary", "data_quality", "security_master", "panel"],
                outputs=["data_section", "defects_figure"],
                name="summarise_data",
            ),
        ],
        tags="data_preparation",
        namespace="data_preparation",
        prefix_datasets_with_namespace=False,
    )
