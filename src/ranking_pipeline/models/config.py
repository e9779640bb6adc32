"""Typed parameters of model training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ranking_pipeline.config import Config


class ModelTrainingConfig(Config):
    """What is trained for the jobs of a training plan, and how."""

    families: tuple[str, ...] = Field(
        description="families for the cross-sectional jobs, where the plan has them"
    )
    symbol_families: tuple[str, ...] = Field(
        description="families for the jobs of one symbol, where the plan has them"
    )
    learning_target: Literal["cs_gauss", "cs_demean", "raw"] = Field(
        description="scale on which a regression learns its payoff"
    )
    feature_scale: Literal["rank", "raw"] = Field(
        description="scale on which models see a feature: normal score of its rank "
        "within the bar, or as it is"
    )
    max_train_rows: int = Field(
        gt=0,
        description="training rows at most; beyond it whole cross-sections are "
        "dropped, evenly over time",
    )
    seeds: tuple[int, ...] = Field(
        min_length=1, description="one model per job, family and seed"
    )
    on_error: Literal["record", "raise"] = Field(
        description="what a failed job does: a row in training_outcomes, or a stop"
    )
    parameters: dict[str, dict[str, Any]] = Field(
        description="parameter block of each family, checked by that family"
    )
