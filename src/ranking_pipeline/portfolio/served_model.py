"""Served model: the promoted model that scores, or what takes its place."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ranking_pipeline import __version__
from ranking_pipeline.panel import IntArray, Panel
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.portfolio.selection import Scorer
from ranking_pipeline.portfolio.selection_schema import ScoreUnit
from ranking_pipeline.storage import TableHandle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES = ("numpy", "pandas", "torch", "lightgbm", "xgboost", "scikit-learn")
log = logging.getLogger(__name__)


class ServedModel(Protocol):
    """What the prediction needs of a promoted model."""

    @property
    def alias(self) -> str:
        """Name under which it was promoted."""

    @property
    def version(self) -> str:
        """Hash of what was promoted."""

    @property
    def record(self) -> Mapping[str, Any]:
        """What the promotion wrote down."""

    @property
    def label(self) -> str:
        """Short name for people."""

    @property
    def target(self) -> str:
        """What its scores rank."""

    @property
    def informed_until(self) -> np.datetime64 | None:
        """End of the last bar that it was fitted, stopped or chosen with, UTC."""

    def scores(
        self,
        panel: Panel,
        features: TableHandle | None,
        bars: IntArray,
        threads: int = 1,
    ) -> npt.NDArray[np.float64]:
        """Scores at some bars, shape (len(bars), S); NaN where there is none."""


class DescribedModel(ServedModel, Protocol):
    """A served model that tells what its parts learned."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of the fitted models behind it."""

    @property
    def is_ranking_network(self) -> bool:
        """Whether it learned nothing but an order."""

    def meta(self, part: str | None = None) -> Mapping[str, Any]:
        """What is known of a part, with its ``task`` and ``learning_target``."""


def served_model(registry: Path, how: PredictionConfig) -> DescribedModel | None:
    """Find the promoted model; None where the composite score takes its place.

    Only an alias that was never given is answered by the fallback: a damaged or altered
    model is always an error.

    Raises
    ------
    UserError
        See :func:`ranking_pipeline.models.promoted.resolve`.
    """
    from ranking_pipeline.models.promoted import alias_file, resolve

    absent = not alias_file(registry, how.model_alias).exists()
    if absent and how.fallback == "algorithmic":
        log.warning(
            "no model is promoted as %r: the composite score of the candidate "
            "selection takes its place (algorithmic_only)",
            how.model_alias,
        )
        return None
    return resolve(registry, how.model_alias, how.version)


def scorer_of(model: DescribedModel | None, lag_bars: int) -> Scorer:
    """Say where scores come from, for every output."""
    versions = {"ranking_pipeline": __version__} | _versions()
    if model is None:
        return Scorer("algorithmic_only", lag_bars=lag_bars, versions=versions)
    until = model.informed_until
    return Scorer(
        source="model",
        label=model.label,
        alias=model.alias,
        version=model.version,
        model_id=str(model.record.get("model_id", "")),
        target=model.target,
        unit=_unit(model),
        informed_until="" if until is None else str(until.astype("M8[s]")),
        seeds=_seeds(model.record.get("parts", ())),
        lag_bars=lag_bars,
        versions=versions,
    )


def _unit(model: DescribedModel) -> ScoreUnit:
    """Unit of the scores; a model that joins parts of several has no one."""
    if model.is_ranking_network:
        return "order"
    units = {_unit_of_part(model.meta(part)) for part in model.parts}
    return units.pop() if len(units) == 1 else "mixed"


def _unit_of_part(meta: Mapping[str, Any]) -> ScoreUnit:
    if meta["task"] != "regression":
        return "class_score"
    return "normal_score" if meta["learning_target"] == "cs_gauss" else "return"


def _seeds(parts: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Seeds of the parts; a ranking network has several, as ``0,1,2``."""
    told = [
        str(part["seed"]).split(",") for part in parts if part.get("seed") is not None
    ]
    return tuple(sorted({int(seed) for seeds in told for seed in seeds}))


def _versions() -> dict[str, str]:
    """Versions of the packages by which scores are computed, without importing them."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an xgboost of the CPU has another name
            continue
    return found
