"""The factor library: importing it registers every factor, in this order."""

from ranking_pipeline.features.factors import bar_shape, price, risk, volume

# isort: split
from ranking_pipeline.features.factors import cross_section  # made from the others
from ranking_pipeline.features.registry import FACTORS

__all__ = ["FACTORS", "bar_shape", "cross_section", "price", "risk", "volume"]
