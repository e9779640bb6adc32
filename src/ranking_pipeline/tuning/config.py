"""Typed parameters of tuning."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.tuning.space import Dimension


class TuningConfig(Config):
    """Which parameters are searched, how, and on which bars they are judged."""

    families: tuple[str, ...] = Field(min_length=1, description="families to tune")
    targets: tuple[str, ...] = Field(
        description="targets to tune for; empty = the selected targets"
    )
    n_trials: int = Field(gt=1, description="trials of a study, the defaults included")
    batch_size: int = Field(
        gt=0,
        description="trials proposed at once, from what earlier batches found; the "
        "result depends on it, and not on the number of workers",
    )
    timeout_seconds: float | None = Field(
        gt=0,
        description="seconds of one run after which a study starts no further batch; "
        "null = no limit. The next run goes on",
    )
    seed: int = Field(ge=0, description="of the proposals and of every fit")
    sampler: Literal["tpe", "random"] = Field(
        description="tree-structured Parzen estimator, or independent draws"
    )
    startup_trials: int = Field(
        gt=0, description="trials drawn at random before tpe proposes or median prunes"
    )
    pruner: Literal["none", "median"] = Field(
        description="median: after each fold, end a trial below the median of the "
        "trials of earlier batches"
    )
    folds: int = Field(
        gt=0, description="purged folds by which a trial is judged, in the train block"
    )
    estimate_share: float = Field(
        gt=0,
        lt=1,
        description="last share of the train block's bars: no trial is judged on it; "
        "the best and the default parameters are compared there",
    )
    estimate_seeds: int = Field(
        gt=0, description="fits of each of the two there, over which skill is averaged"
    )
    min_symbols: int = Field(
        gt=1, description="fewest symbols with which a bar is measured"
    )
    min_per_class: int = Field(
        gt=0, description="fewest symbols of each class with which a bar is measured"
    )
    false_discovery_rate: float = Field(
        gt=0,
        le=1,
        description="Benjamini-Hochberg level over all studies at which parameters "
        "replace the defaults; 1 = any gain counts",
    )
    studies: str = Field(
        description="folder of the journals and of finished fits; every worker must "
        "see it under this path"
    )
    overlay: str = Field(
        description="file of the parameters that replace the defaults, for a later "
        "run with --env"
    )
    spaces: dict[str, dict[str, Dimension]] = Field(
        description="search space of each family: by parameter a float or int range "
        "or a categorical choice"
    )

    @field_validator("families")
    @classmethod
    def _families_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_canonical(name) for name in names))

    @field_validator("spaces")
    @classmethod
    def _spaces_exist(
        cls, spaces: dict[str, dict[str, Dimension]]
    ) -> dict[str, dict[str, Dimension]]:
        return {_canonical(name): space for name, space in spaces.items()}

    @model_validator(mode="after")
    def _families_have_spaces(self) -> Self:
        missing = [name for name in self.families if name not in self.spaces]
        if missing:
            raise ValueError(
                f"tuning.spaces has no space for {', '.join(missing)}; it has "
                + ", ".join(sorted(self.spaces))
            )
        return self


def _canonical(name: str) -> str:
    try:
        return registry.canonical(name)
    except UserError as error:
        raise ValueError(str(error)) from None
