"""Typed parameters of the promotion."""

from __future__ import annotations

from pydantic import Field

from ranking_pipeline.config import Alias, Config


class PromotionConfig(Config):
    """Which model is promoted, and to what."""

    model_id: str | None = Field(
        description="row of the leaderboard that is promoted; null = the one that was "
        "chosen on validation"
    )
    target: str | None = Field(
        description="target of that row, where rows of several targets share the name; "
        "null = the only one"
    )
    alias: Alias = Field(description="name by which predictions ask for the model")
    registry: str = Field(description="folder of the production registry")
    runs: str = Field(
        description="folder of the records of runs; tells which run trained the model"
    )
    tables: str = Field(
        description="folder of the tables of models; their newest version names the run "
        "that trained while it has no record yet"
    )
