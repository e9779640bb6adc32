"""BoostingConfig: the parameters that boosted trees of any library share."""

from __future__ import annotations

from pydantic import Field

from ranking_pipeline.config import Config


class BoostingConfig(Config):
    """Parameters of boosted trees; a family adds how it bounds a tree."""

    n_rounds: int = Field(gt=0, description="boosting rounds at most")
    learning_rate: float = Field(gt=0, le=1, description="shrinkage of each tree")
    min_rows_per_leaf: int = Field(
        gt=0, description="rows per leaf; at most a twentieth of the training rows"
    )
    row_share: float = Field(gt=0, le=1, description="share of rows per tree")
    feature_share: float = Field(gt=0, le=1, description="share of features per tree")
    l2: float = Field(ge=0, description="penalty on squared leaf values")
    max_bins: int = Field(gt=1, description="histogram bins per feature")
    patience_rounds: int = Field(
        gt=0, description="rounds without a better validation loss before stopping"
    )
