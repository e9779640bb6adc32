"""Nodes of the promotion."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.pipelines.promotion.config import PromotionConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

log = logging.getLogger(__name__)


def promote_model(
    config: PromotionConfig,
    jobs: JobsConfig,
    leaderboard: pd.DataFrame,
    models: pd.DataFrame,
    routing_plan: dict[str, Any],
    predictions: TableHandle,
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
) -> dict[str, Any]:
    """Copy the model of a row into the registry; tell what the alias means now."""
    from ranking_pipeline.models.promotion import Candidate, promote
    from ranking_pipeline.models.store import ModelStore
    from ranking_pipeline.pipelines.promotion.choice import choose, measures, parts_of

    row = choose(leaderboard, config.model_id, config.target)
    parts, derived = parts_of(row, models, leaderboard)
    target = str(row["target"])
    data = {
        "panel": panel.sha256,
        "features": features.sha256,
        "labels": labels.sha256,
        "predictions": predictions.sha256,
    }
    candidate = Candidate(
        model_id=str(row["model_id"]),
        target=target,
        route=str(row["route"]),
        parts=parts,
        routing_plan=routing_plan["targets"].get(target) if derived else None,
        validation=measures(row),
        provenance={
            "run_id": training_run(Path(config.runs), predictions.sha256),
            "data": data,
        },
    )
    store, registry = ModelStore(Path(jobs.store)), Path(config.registry)
    promoted = promote(candidate, store, registry, config.alias)
    log.info(
        "%s is now %s, version %s", config.alias, row["model_id"], promoted.version
    )
    return {"alias": config.alias, **promoted.record}


def training_run(runs: Path, predictions: str) -> str | None:
    """Id of the run that made the predictions of that hash; None where none tells."""
    for path in sorted(runs.glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        made = any(name.endswith("collect_models") for name in record["node_seconds"])
        found = record["datasets"].get("predictions", {})
        if made and found.get("sha256") == predictions:
            return str(record["run_id"])
    return None
