"""The graph of the audit: a quick one for every run, a full one on demand."""

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from ranking_pipeline.pipelines.audit import nodes

AUDITED = ["panel", "splits", "params:data", "params:audit"]


def create_pipeline(*, full: bool = False) -> Pipeline:
    """The library audited on a slice of the panel.

    Parameters
    ----------
    full
        Cut at every bar of a larger slice, read the raw bars again up to earlier last
        dates, and run all stages again on bars with another future.
    """
    checks = [_of_slice(full), *(_reruns() if full else ())]
    return Pipeline(
        [
            *checks,
            node(
                nodes.conclude_audit,
                inputs=[name for check in checks for name in check.outputs],
                outputs=["lookahead_report", "lookahead_section", "lookahead_figure"],
                name="conclude_audit",
            ),
            node(
                nodes.require_no_look_ahead,
                inputs=["lookahead_report", "params:audit"],
                outputs=None,
                name="require_no_look_ahead",
            ),
        ],
        tags="audit",
        namespace="audit",
        prefix_datasets_with_namespace=False,
    )


def _of_slice(full: bool) -> Node:
    function = nodes.audit_fully if full else nodes.audit_quickly
    return node(function, inputs=AUDITED, outputs="slice_audit", name="audit_slice")


def _reruns() -> list[Node]:
    return [
        node(
            nodes.ingest_again,
            inputs=["raw_bars", "panel", "params:data", "params:run", "params:audit"],
            outputs="ingest_checks",
            name="ingest_again",
        ),
        node(
            nodes.run_stages_again,
            inputs=[
                "project_recipe",
                "panel",
                "data_summary",
                "splits",
                "market_truth",
            ],
            outputs="stage_checks",
            name="run_stages_again",
        ),
    ]
