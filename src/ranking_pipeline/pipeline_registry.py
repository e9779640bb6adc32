"""Pipelines by name."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline

from ranking_pipeline.pipelines import (
    audit,
    backtest,
    candidate_selection,
    cs_ranking,
    data_preparation,
    evaluation,
    feature_selection,
    model_training,
    prediction,
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
    ``backtest`` holds the chosen row's book again, as every evaluation does once, and
    ``portfolio_backtest`` the monthly portfolio of ``prediction``. ``sector_portfolio``
    is the working day of a portfolio manager, from bars to a book held by the month.
    """
    everything = Pipeline(
        [*(make() for make in STAGES.values()), _evaluated(tuple(STAGES))]
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
        _evaluated(("data_preparation", *TRAIN)),
    ]
    return {
        "__default__": everything,
        **{name: make() for name, make in STAGES.items()},
        "cs_ranking": ranking,
        "audit": audit.create_pipeline(full=True),
        "evaluation": _evaluated(tuple(STAGES)),
        "backtest": backtest.create_pipeline(),
        "portfolio_backtest": backtest.create_pipeline(source="portfolio"),
        "tuning": tuning.create_pipeline(),
        "promotion": promotion.create_pipeline(),
        "candidate_selection": candidate_selection.create_pipeline(),
        "prediction": prediction.create_pipeline(),
        "plan": _joined(PLAN),
        "train": Pipeline([_joined(TRAIN), _evaluated(PLAN + TRAIN)]),
        "unplanned": Pipeline(without_evidence),
        "cs_full": Pipeline([_joined(CS[:1]), ranking, _evaluated(CS)]),
        "raw_sequence": Pipeline([*raw, _evaluated(CS)]),
        "sector_portfolio": _sector_portfolio(),
    }


def _sector_portfolio() -> Pipeline:
    """Bars to monthly portfolios of a promoted model, held month after month."""
    return Pipeline(
        [
            data_preparation.create_pipeline(),
            routing.create_pipeline(evidence=False),
            model_training.create_pipeline(),
            _evaluated(("data_preparation", *TRAIN)),
            promotion.create_pipeline(),
            candidate_selection.create_pipeline(),
            prediction.create_pipeline(after_promotion=True),
            backtest.create_pipeline(source="portfolio", alone=False),
        ]
    )


def _evaluated(stages: Sequence[str]) -> Pipeline:
    """The evaluation with its backtest: the test split is opened once for both."""
    return Pipeline(
        [
            evaluation.create_pipeline(stages),
            backtest.create_pipeline(stages, alone=False),
        ]
    )


def _joined(stages: Sequence[str]) -> Pipeline:
    return Pipeline([STAGES[stage]() for stage in stages])
