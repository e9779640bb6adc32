"""The section ``data``: bars in, and what is made of them."""

from typing import Self

from pydantic import Field, model_validator

from ranking_pipeline.bars.config import DataConfig
from ranking_pipeline.config import Config
from ranking_pipeline.features.config import FeaturesConfig
from ranking_pipeline.labels.config import LabelsConfig
from ranking_pipeline.splits import share_problem


class SplitsConfig(Config):
    """Train, validation and locked test, in the order of time."""

    train_share: float = Field(
        gt=0, lt=1, description="share of the bars to learn from"
    )
    validation_share: float = Field(
        gt=0, lt=1, description="share to choose on; the rest is the locked test"
    )
    embargo_bars: int = Field(
        ge=0, description="bars kept free after a label's end, besides the purge"
    )

    @model_validator(mode="after")
    def _a_test_is_left(self) -> Self:
        problem = share_problem(
            self.train_share, self.validation_share, self.embargo_bars
        )
        if problem:
            raise ValueError(problem)
        return self


class DataPreparationConfig(DataConfig):
    """Bars in, and what is made of them."""

    bars_per_session: int | None = Field(
        gt=0,
        description="bars of a trading day; needed for horizons in days on 5m bars",
    )
    features: FeaturesConfig
    labels: LabelsConfig
    splits: SplitsConfig
