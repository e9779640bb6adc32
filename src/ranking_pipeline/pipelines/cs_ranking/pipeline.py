"""The graph of the cross-sectional ranking network."""

from kedro.pipeline import Pipeline, node

from ranking_pipeline.pipelines.cs_ranking import nodes


def create_pipeline(section: str = "cs_ranking", *, required: bool = False) -> Pipeline:
    """Cross-sectional targets, training, and scores.

    Parameters
    ----------
    section
        Parameters to use: ``cs_ranking`` (a ranking loss over whole cross-sections), or
        ``raw_sequence`` (the same windows with a pointwise loss).
    required
        Whether a universe without cross-sections is refused; else its report says that
        no network was trained, and why.
    """
    parameters = f"params:{section}"
    build = nodes.build_required_cs_targets if required else nodes.build_cs_targets
    return Pipeline(
        [
            node(
                build,
                inputs=[
                    "panel",
                    "labels",
                    "target_manifest",
                    parameters,
                ],
                outputs="cs_targets",
                name="build_cs_targets",
            ),
            node(
                nodes.train_ranker,
                inputs=[
                    "panel",
                    "cs_targets",
                    "labels",
                    "target_manifest",
                    "splits",
                    "data_summary",
                    parameters,
                    "params:jobs",
                ],
                outputs=["cs_model", "cs_model_meta", "cs_training_history"],
                name="train_ranker",
            ),
            node(
                nodes.score_universe,
                inputs=["panel", "cs_model", "cs_model_meta", "splits", parameters],
                outputs=["cs_models", "cs_predictions"],
                name="score_universe",
            ),
            node(
                nodes.summarise_cs_ranking,
                inputs=[
                    "cs_training_history",
                    "cs_model_meta",
                    "data_summary",
                    parameters,
                ],
                outputs=["cs_ranking_section", "learning_curve_figure"],
                name="summarise_cs_ranking",
            ),
        ],
        tags="cs_ranking",
        namespace="cs_ranking",
        prefix_datasets_with_namespace=False,
    )
