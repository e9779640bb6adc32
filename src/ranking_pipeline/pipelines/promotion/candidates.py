"""Candidates: what the outputs of a run say of the row that is to be promoted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.model_row import model_row
from ranking_pipeline.models.promotion import Candidate, meant_version, resolve
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.pipelines.promotion.choice import measures, parts_of
from ranking_pipeline.pipelines.promotion.config import PromotionConfig
from ranking_pipeline.pipelines.promotion.doubts import doubts, replaces_better
from ranking_pipeline.pipelines.promotion.informed import (
    informed_until,
    trained_symbols,
)
from ranking_pipeline.pipelines.promotion.networks import (
    is_network,
    network_files,
    network_part,
)
from ranking_pipeline.pipelines.promotion.runs import training_run
from ranking_pipeline.storage import PanelHandle, TableHandle

log = logging.getLogger(__name__)
_OF_TRAINING = ("models", "predictions", "routing_plan")
_OF_RANKING = ("cs_models", "cs_predictions", "cs_model", "cs_model_meta")


@dataclass(frozen=True)
class Evaluated:
    """What the leaderboard was made from; None for a stage that took no part.

    Attributes
    ----------
    leaderboard, splits, panel, features, labels
        As in the catalog.
    models, predictions, routing_plan
        Of model training.
    cs_models, cs_predictions, cs_model, cs_model_meta
        Of the ranking network.
    """

    leaderboard: pd.DataFrame
    splits: Mapping[str, Any]
    panel: PanelHandle
    features: TableHandle
    labels: TableHandle
    models: pd.DataFrame | None
    predictions: TableHandle | None
    routing_plan: Mapping[str, Any] | None
    cs_models: pd.DataFrame | None
    cs_predictions: TableHandle | None
    cs_model: Mapping[str, Any] | None
    cs_model_meta: Mapping[str, Any] | None

    def needed(self, names: Sequence[str], row: Mapping[str, Any]) -> list[Any]:
        """Values of some attributes, all of which a row needs."""
        lacking = [name for name in names if getattr(self, name) is None]
        if lacking:
            raise UserError(
                f"promotion.model_id: {row['model_id']!r} needs {', '.join(lacking)}, "
                "which the leaderboard was not made from: run kedro run "
                "--pipelines=evaluation again, then promote."
            )
        return [getattr(self, name) for name in names]


def candidate_of(
    found: Evaluated, config: PromotionConfig, store: ModelStore
) -> Candidate:
    """Find the row to promote and gather what is behind it.

    Raises
    ------
    UserError
        When no row or several fit, or what is behind it is not there.
    """
    row = model_row(found.leaderboard, "promotion", config.model_id, config.target)
    meant = _meant(Path(config.registry), config.alias)
    for doubt in (
        *doubts(found.leaderboard, row),
        *replaces_better(meant, row, found.panel.sha256),
    ):
        log.warning("promotion: %s", doubt)
    make = _of_network if is_network(row, found.cs_models) else _of_store
    return make(found, row, config, store)


def _meant(registry: Path, alias: str) -> Mapping[str, Any] | None:
    """Record that the alias means now; None without one that can be read."""
    try:
        known = meant_version(registry, alias) is not None
        return resolve(registry, alias).record if known else None
    except UserError:  # the promotion itself restores it, or tells
        return None


def _of_store(
    found: Evaluated, row: Mapping[str, Any], config: PromotionConfig, store: ModelStore
) -> Candidate:
    """Candidate from the models of the model store."""
    models, predictions, routing_plan = found.needed(_OF_TRAINING, row)
    parts, derived = parts_of(row, models)
    target = str(row["target"])
    facts = [store.listed(part["key"]).facts for part in parts]
    refits = [one["window"]["train_end"] for one in facts if one.get("window")]
    learned = [target, *(name for one in facts for name in _learned(one))]
    until = informed_until(found.splits, found.labels, learned, refits)
    return Candidate(
        model_id=str(row["model_id"]),
        target=target,
        route=str(row["route"]),
        parts=parts,
        routing_plan=routing_plan["targets"].get(target) if derived else None,
        validation=measures(row),
        provenance=_provenance(found, config, "predictions", predictions),
        informed_until=until,
        symbols=trained_symbols(found.panel.read(), found.splits, refits),
    )


def _of_network(
    found: Evaluated, row: Mapping[str, Any], config: PromotionConfig, store: ModelStore
) -> Candidate:
    """Candidate from a ranking network, which brings its files along."""
    _, predictions, weights, metas = found.needed(_OF_RANKING, row)
    target = str(row["target"])
    files = network_files(target, weights, metas)
    return Candidate(
        model_id=str(row["model_id"]),
        target=target,
        route=str(row["route"]),
        parts=[network_part(row, files)],
        routing_plan=None,
        validation=measures(row),
        provenance=_provenance(found, config, "cs_predictions", predictions),
        informed_until=informed_until(found.splits, found.labels, [target], []),
        network=files,
        symbols=trained_symbols(found.panel.read(), found.splits, []),
    )


def _learned(facts: Mapping[str, Any]) -> Iterator[str]:
    """Targets whose labels a model learned from."""
    yield str(facts["target"])
    yield from facts.get("helpers", ())


def _provenance(
    found: Evaluated, config: PromotionConfig, table: str, predictions: TableHandle
) -> dict[str, Any]:
    data = {
        "panel": found.panel.sha256,
        "features": found.features.sha256,
        "labels": found.labels.sha256,
        "predictions": predictions.sha256,
    }
    runs, tables = Path(config.runs), Path(config.tables)
    run = training_run(runs, tables, table, predictions.sha256)
    # a row that was named may have been named for what it did on the test block
    chosen_by = "validation" if config.model_id is None else "name"
    return {"run_id": run, "chosen_by": chosen_by, "data": data}
