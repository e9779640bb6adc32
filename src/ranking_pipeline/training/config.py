"""Typed parameters of model training."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.loss_check import loss_fault


class WalkForwardConfig(Config):
    """When models are refitted as time goes on."""

    refit_months: int | None = Field(
        gt=0,
        description="calendar months predicted by one model before the next is fitted; "
        "null = one model, from the train block, predicts everything after it",
    )
    train_months: int | None = Field(
        gt=0,
        description="calendar months before a window that its model learns from; "
        "null = all bars before it",
    )
    validation_share: float = Field(
        ge=0,
        le=0.5,
        description="share of a window's training bars, its last ones, held out for "
        "early stopping",
    )
    min_train_rows: int = Field(
        gt=0,
        description="fewest labelled rows that a window is fitted to; one with fewer is "
        "left out of the plan, or recorded as skipped where labels turn out to be few",
    )

    @model_validator(mode="after")
    def _months_need_refits(self) -> Self:
        if self.train_months is not None and self.refit_months is None:
            raise ValueError(
                f"train_months {self.train_months} says how far a refit looks back, and "
                "refit_months is null: give both, or neither"
            )
        return self


def _existing(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            registry.canonical(name)
        except UserError as error:
            raise ValueError(str(error)) from None
    return names


class EnsemblesConfig(Config):
    """Averages of the pooled models of a target."""

    methods: tuple[Literal["rank_average", "ic_weighted", "stacking"], ...] = Field(
        description="mean rank of all of them, mean rank weighed by their rank IC out of "
        "fold, or by non-negative least squares on their ranks out of fold"
    )
    folds: int = Field(
        ge=2,
        description="parts of the train block, each scored by models of the others: for "
        "the weights of ensembles and the factors of a cascade",
    )
    families: tuple[str, ...] = Field(
        description="families that take part; empty = all pooled ones"
    )

    @field_validator("families")
    @classmethod
    def _families_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _existing(names)


class PlannedTraining(Config):
    """What a training plan says of the models, before their data are known."""

    strategy: Literal["single_task", "multi_task", "cascade"] = Field(
        description="how pooled models of several targets learn: each alone, all "
        "regressions in one network, or one after the other with earlier scores as factors"
    )
    ensembles: EnsemblesConfig
    walk_forward: WalkForwardConfig
    families: tuple[str, ...] = Field(
        description="families for the cross-sectional jobs, where the plan has them"
    )
    symbol_families: tuple[str, ...] = Field(
        description="families for the jobs of one symbol, where the plan has them"
    )
    max_train_rows: int = Field(
        gt=0,
        description="training rows at most; beyond it whole cross-sections are "
        "dropped, evenly over time",
    )
    seeds: tuple[int, ...] = Field(
        min_length=1, description="one model per job, family and seed"
    )
    parameters: dict[str, dict[str, Any]] = Field(
        description="parameter block of each family, checked by that family"
    )

    @field_validator("families", "symbol_families")
    @classmethod
    def _families_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _existing(names)

    @field_validator("parameters")
    @classmethod
    def _losses_exist(
        cls, blocks: dict[str, dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Tell a misspelt loss now, not after the hours before training."""
        faults = [
            f"{family}.regression_loss: {fault}"
            for family, block in blocks.items()
            if (fault := loss_fault(block.get("regression_loss")))
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return blocks

    def block(self, family: str) -> dict[str, Any]:
        """Parameter block of a family, under any spelling of its name.

        Raises
        ------
        UserError
            When there is none.
        """
        block = registry.block_of(self.parameters, family)
        if block is not None:
            return dict(block)
        wanted = registry.canonical(family)
        raise UserError(
            f"model_training.parameters has no block for family {wanted!r}."
        )


class ModelTrainingConfig(PlannedTraining):
    """What is trained for the jobs of a training plan, and how."""

    model_types: Literal["all", "cross_sectional", "symbol_specific", "sequence"] = (
        Field(
            description="which jobs of the plan are trained: all, those over all "
            "symbols, those of one symbol, or families that learn from windows of bars"
        )
    )
    targets: tuple[str, ...] = Field(
        description="targets of the plan that are trained; empty = all"
    )
    symbols: tuple[str, ...] = Field(
        description="symbols whose own models alone are trained; empty = all jobs"
    )
    learning_target: Literal["cs_gauss", "cs_demean", "raw"] = Field(
        description="scale on which a regression learns its payoff"
    )
    feature_scale: Literal["rank", "raw"] = Field(
        description="scale on which models see a feature: normal score of its rank "
        "within the bar, or as it is"
    )
    sample_weights: Literal["none", "uniqueness"] = Field(
        description="how much a row counts in a fit: as much as any other, or by the "
        "share of its label that no other fitted label of its symbol covers"
    )
    on_error: Literal["record", "raise"] = Field(
        description="what a failed job does: a row in training_outcomes, or a stop"
    )
