"""Pipelines by name."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline

from ranking_pipeline.pipelines import (
    audit,
    cs_ranking,
    data_preparation,
    evaluation,
    feature_selection,
    model_training,
    promotion,
    routing,
    target_ranking,
    tuning,
)

STAGES = {
    "data_preparation": data_preparation.create_pipeline,
    "target_ranking": target_ranking.create_pipeline,
    "feature_selection": feature_selection.create_pipeline,
    "routing": routing.create_pipeline,
    "model_training": model_training.create_pipeline,
    "cs_ranking": cs_ranking.create_pipeline,
    "audit": audit.create_pipeline,
}
PLAN = ("data_preparation", "target_ranking", "feature_selection", "routing")
TRAIN = ("model_training",)
CS = ("data_preparation", "cs_ranking")


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline that ``kedro run --pipelines=NAME`` knows.

    Besides the single stages: ``plan`` (bars to the training plan), ``train`` (a saved
    plan to the report), ``cs_full`` (bars to the ranking network's report) and
    ``raw_sequence`` (the same with a pointwise loss). ``unplanned`` trains every target
    with every family, without evidence. ``audit`` is the full one; the whole job has a
    quick one. The ranking network's own pipelines refuse too few symbols, the whole
    job goes on without it. ``tuning`` searches parameters of families; the whole job
    does not. ``promotion`` puts a trained model into the production registry.
    """
    everything = Pipeline(
        [*(make() for make in STAGES.values()), evaluation.create_pipeline()]
    )
    raw = [
        data_preparation.create_pipeline(),
        cs_ranking.create_pipeline("raw_sequence", required=True),
    ]
    ranking = cs_ranking.create_pipeline(required=True)
    without_evidence = [
        data_preparation.create_pipeline(),
        routing.create_pipeline(evidence=False),
        model_training.create_pipeline(),
        evaluation.create_pipeline(("data_preparation", *TRAIN)),
    ]
    return {
        "__default__": everything,
        **{name: make() for name, make in STAGES.items()},
        "cs_ranking": ranking,
        "audit": audit.create_pipeline(full=True),
        "evaluation": evaluation.create_pipeline(),
        "tuning": tuning.create_pipeline(),
        "promotion": promotion.create_pipeline(),
        "plan": _joined(PLAN),
        "train": Pipeline([_joined(TRAIN), evaluation.create_pipeline(PLAN + TRAIN)]),
        "unplanned": Pipeline(without_evidence),
        "cs_full": Pipeline([_joined(CS[:1]), ranking, evaluation.create_pipeline(CS)]),
        "raw_sequence": Pipeline([*raw, evaluation.create_pipeline(CS)]),
    }


def _joined(stages: Sequence[str]) -> Pipeline:
    return Pipeline([STAGES[stage]() for stage in stages])
