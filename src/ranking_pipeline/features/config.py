"""Parameters of the factor library."""

from pydantic import Field

from ranking_pipeline.config import Config


class FeaturesConfig(Config):
    """Which factors are computed."""

    factors: list[str] = Field(
        min_length=1,
        description="names of factors in the order of the columns, or the one word all",
    )
    exclude: list[str] = Field(
        description="names of factors that are left out although listed above"
    )
    max_lookback_bars: int = Field(
        gt=0,
        description="factors that look further back than this many bars are left out",
    )
