"""The graph of candidate selection."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.candidate_selection import nodes


def create_pipeline() -> Pipeline:
    """Score the names of each sector at the end of a month, and take both tails."""
    return Pipeline(
        [
            node(
                nodes.select_candidates,
                inputs=[
                    "panel",
                    "params:candidate_selection",
                    "params:jobs",
                    "params:cache",
                ],
                outputs=[
                    "sector_indicators",
                    "sector_candidates",
                    "candidate_outcomes",
                    "candidate_costs",
                ],
                name="select_candidates",
            ),
            node(
                nodes.summarise_candidates,
                inputs=["sector_indicators", "sector_candidates", "candidate_outcomes"],
                outputs=[
                    "candidate_section",
                    "candidate_coverage_figure",
                    "candidate_count_figure",
                ],
                name="summarise_candidates",
            ),
        ],
        tags="candidate_selection",
        namespace="candidate_selection",
        prefix_datasets_with_namespace=False,
    )
