"""Parameters of the factor library."""

from pydantic import Field

from ranking_pipeline.config import Config


class FeaturesConfig(Config):
    """Which factors are computed."""

    factors: list[str] = Field(
        min_length=1,
        description="names of factors and of sets (core, alpha158, daily25, session, "
        "cross_section, all) in the order of the columns; name@1h: of bars of one hour",
    )
    exclude: list[str] = Field(
        description="names of factors and sets that are left out although listed above"
    )
    max_lookback_bars: int = Field(
        gt=0,
        description="factors that look further back than this many of their bars are "
        "left out",
    )
