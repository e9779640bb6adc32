"""What happens around a run: checks before it, lineage during it, a record after it."""

from ranking_pipeline.hooks.inputs import InputCheck
from ranking_pipeline.hooks.interrupts import InterruptKeeper
from ranking_pipeline.hooks.lineage import LineageRecorder
from ranking_pipeline.hooks.lock import RunLock
from ranking_pipeline.hooks.parameters import ParameterCheck
from ranking_pipeline.hooks.recipe import RecipeKeeper
from ranking_pipeline.hooks.reporter import RunReporter

__all__ = [
    "InputCheck",
    "InterruptKeeper",
    "LineageRecorder",
    "ParameterCheck",
    "RecipeKeeper",
    "RunLock",
    "RunReporter",
]
