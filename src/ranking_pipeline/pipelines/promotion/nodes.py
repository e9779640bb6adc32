"""Nodes of the promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.pipelines.promotion.config import PromotionConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

Document = dict[str, Any]


def promote_model(
    config: PromotionConfig,
    jobs: JobsConfig,
    leaderboard: pd.DataFrame,
    splits: Document,
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    *tables: Any,
) -> Document:
    """Copy the model of a row into the registry; tell what the alias means now.

    ``tables`` are those of model training and of the ranking network, in the order of
    ``Evaluated``; None for those that the leaderboard was not made from.
    """
    from ranking_pipeline.models.promotion import promote
    from ranking_pipeline.models.store import ModelStore
    from ranking_pipeline.pipelines.promotion.candidates import Evaluated, candidate_of

    found = Evaluated(leaderboard, splits, panel, features, labels, *tables)
    store, registry = ModelStore(Path(jobs.store)), Path(config.registry)
    candidate = candidate_of(found, config, store)
    promoted = promote(candidate, store, registry, config.alias)
    return {"alias": config.alias, **promoted.record}
