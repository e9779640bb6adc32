"""Typed parameters of the cache."""

from __future__ import annotations

from pydantic import Field

from ranking_pipeline.config import Config


class CacheConfig(Config):
    """Whether results of earlier runs are used, and for how long."""

    enabled: bool = Field(
        description="false: nothing is read from the store and nothing is written to it"
    )
    ttl_days: float | None = Field(
        gt=0, description="days after which an entry is not believed; null = never"
    )
    force_refresh: bool = Field(
        description="true: compute everything again, and replace what is stored"
    )
    store: str = Field(
        description="folder of the entries; every worker must see it under this path"
    )
