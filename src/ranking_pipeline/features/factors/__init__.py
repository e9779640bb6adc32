"""The factor library: importing it registers every factor, in this order."""

from ranking_pipeline.features.factors import (
    bar_shape,
    price,
    relative_price,
    relative_volume,
    risk,
    volume,
)

# isort: split
from ranking_pipeline.features.factors import daily25, session

# isort: split
from ranking_pipeline.features.factors import cross_section  # made from the others
from ranking_pipeline.features.registry import FACTORS

__all__ = [
    "FACTORS",
    "bar_shape",
    "cross_section",
    "daily25",
    "price",
    "relative_price",
    "relative_volume",
    "risk",
    "session",
    "volume",
]
