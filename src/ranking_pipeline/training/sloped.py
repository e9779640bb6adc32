"""Sloped scores: a pooled model's score times what it is worth on each symbol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.training.derived import (
    as_tables,
    seed_suffix,
    spanning,
    strategy_suffix,
    without_chances,
)

ROUTE = "partial_pooling"
# They say of each symbol how far it follows: another slope would count that twice.
_OWN_SLOPES = frozenset({"low_rank"})
_KEY = ["timestamp", "symbol"]


def sloped(
    routing_plan: Mapping[str, Any], models: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Partially pooled scores of the pooled models of a target with slopes.

    A cell's score is the slope of its symbol, measured out of fold inside the train
    block, times the normal score of the pooled score's rank within the bar; a symbol
    without a slope has the mean one.

    Parameters
    ----------
    routing_plan : mapping
        ``targets`` → target → ``partial_pooling``: null, or ``mean`` and ``slopes``.
    models, predictions : DataFrame
        As :func:`ranking_pipeline.training.collect.collect` returns them.

    Returns
    -------
    tuple of DataFrame
        Rows to be added to ``models`` and to ``predictions``.
    """
    new_models, new_tables = [], []
    for target, group in models.groupby("target", sort=True):
        entry = routing_plan["targets"].get(target, {}).get(ROUTE)
        pooled = group[group["route"] == "cross_sectional"]
        pooled = pooled[~pooled["family"].isin(_OWN_SLOPES)]
        if entry is None:
            continue
        for model_id, rows in pooled.groupby("model_id", sort=False):
            row = _model(rows)
            ids = {"target": str(target), "model_id": row["model_id"]}
            own = predictions[predictions["model_id"] == model_id]
            new_models.append(row)
            new_tables.append(sloped_scores(own, entry).assign(**ids))
    return as_tables(new_models, new_tables, models)


def sloped_scores(pooled: pd.DataFrame, entry: Mapping[str, Any]) -> pd.DataFrame:
    """Scores of a pooled model times the slopes of the symbols.

    Parameters
    ----------
    pooled : DataFrame
        timestamp, symbol, score of whole cross-sections.
    entry : mapping
        ``partial_pooling`` of the target in the routing plan: ``mean`` and ``slopes``.
    """
    from ranking_pipeline.routing.partial_pooling import apply_slopes, slopes_of

    table = pooled[_KEY].astype({"symbol": "str"})
    bars, _ = pd.factorize(pooled["timestamp"])
    slopes = slopes_of(entry, table["symbol"].tolist())
    score = apply_slopes(pooled["score"].to_numpy(), bars, slopes)
    return without_chances(table, score.astype(np.float32))


def _model(rows: pd.DataFrame) -> dict[str, Any]:
    first = rows.iloc[0]
    how, seed = strategy_suffix(first), seed_suffix(first["model_id"])
    return spanning(rows) | {
        "model_id": f"{first['family']}:{first['target']}{how}:{ROUTE}{seed}",
        "target": first["target"],
        "family": first["family"],
        "route": ROUTE,
        "network": first["network"],
        "loss": first["loss"],
        "seed": first["seed"],
    }
