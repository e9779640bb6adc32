"""Routed scores: one score per cell, from the model that the routing plan names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.training.collect import collect, join_predictions
from ranking_pipeline.training.derived import (
    as_tables,
    seed_suffix,
    spanning,
    strategy_suffix,
    without_chances,
)
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.sloped import sloped
from ranking_pipeline.training.units import in_payoff_units

_KEY = ["timestamp", "symbol"]


def routed(
    routing_plan: Mapping[str, Any], models: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every pooled model with the routed symbols' scores put in its place.

    A target with models of single symbols gets one routed model per pooled model and
    symbol family of the same seed. A cell's score follows the route of its symbol:

    * SYMBOL_SPECIFIC and EXPERIMENTAL: the symbol's own model where it exists, else the
      pooled one;
    * BOTH: the mean of the two;
    * BLOCKED: the median of the bar's other scores, so that the row stays in every
      comparison without an opinion;
    * anything else: the pooled model. Where a target has no pooled model, every cell
      without an own model takes the median.

    Scores of different models meet in one bar here, so all of them are put into units
    of the payoff first, see :func:`ranking_pipeline.training.units.in_payoff_units`.

    Parameters
    ----------
    routing_plan : dict
        ``targets`` → target → ``route`` and ``symbols`` → symbol → ``route``.
    models, predictions : DataFrame
        As :func:`ranking_pipeline.training.collect.collect` returns them.

    Returns
    -------
    tuple of DataFrame
        Rows to be added to ``models`` and to ``predictions``; empty where nothing is
        routed.
    """
    new_models, new_tables = [], []
    cells = predictions[_KEY].astype({"symbol": "str"}).drop_duplicates()
    for target, group in models.groupby("target", sort=True):
        routes = routes_of(routing_plan["targets"].get(str(target), {}))
        own = group[group["route"] == "symbol_specific"]
        pooled = group[group["route"] == "cross_sectional"]
        for (family, seed), members in own.groupby(["family", "seed"], sort=True):
            same_seed = pooled[pooled["seed"] == seed]
            bases: list[pd.DataFrame | None] = [
                rows for _, rows in same_seed.groupby("model_id", sort=False)
            ]
            for base in bases or [None]:
                row = _model(base, members, str(family))
                table = routed_scores(base, members, routes, predictions, cells)
                new_models.append(row)
                ids = {"target": str(target), "model_id": row["model_id"]}
                new_tables.append(table.assign(**ids))
    return as_tables(new_models, new_tables, models)


def collect_routed(
    jobs: Sequence[TrainingJob],
    outcomes: Iterable[Mapping[str, Any]],
    routing_plan: Mapping[str, Any],
    *,
    on_error: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Collect a training run and add the routed and the partially pooled models.

    Parameters
    ----------
    jobs
    outcomes
        As :func:`ranking_pipeline.training.fit.train` returns them.
    routing_plan, on_error
        See :func:`routed`, :func:`ranking_pipeline.training.sloped.sloped` and
        :func:`ranking_pipeline.training.collect.collect`.

    Returns
    -------
    tuple of DataFrame
        ``models``, ``predictions`` and ``training_outcomes``.
    """
    ended = [
        (entry["job_id"], Outcome(entry["status"], entry["value"], entry["error"]))
        for entry in outcomes
    ]
    models, predictions, rows = collect(jobs, ended, on_error=on_error)
    made = [make(routing_plan, models, predictions) for make in (routed, sloped)]
    if any(len(more) for more, _ in made):
        models = pd.concat([models, *(more for more, _ in made)], ignore_index=True)
        predictions = join_predictions([predictions, *(more for _, more in made)])
    return models, predictions, rows


def stitch(
    pooled: pd.Series, own: pd.Series, route: pd.Series, bars: pd.Series
) -> pd.Series:
    """Score of each cell by its route; see :func:`routed`.

    Parameters
    ----------
    pooled, own : Series of float
        Scores of the two models; NaN where a model has none.
    route : Series of str
        Route of the cell's symbol, ``""`` for the pooled one.
    bars : Series
        What cells of one cross-section share.

    Returns
    -------
    Series of float32
    """
    score, own = pooled.astype(np.float64), own.astype(np.float64)
    lone = route.isin(["SYMBOL_SPECIFIC", "EXPERIMENTAL"]) & own.notna()
    score[lone] = own[lone]
    both = (route == "BOTH") & own.notna()
    score[both] = pd.concat([own, score], axis=1)[both].mean(axis=1)
    score[route == "BLOCKED"] = np.nan
    median = score.groupby(bars.to_numpy()).transform("median")
    return score.fillna(median).astype(np.float32)


def routes_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """Route of each symbol, from the entry of a target in the routing plan."""
    symbols = entry.get("symbols", {})
    return {str(symbol): found["route"] for symbol, found in symbols.items()}


def _scores(
    predictions: pd.DataFrame,
    members: pd.DataFrame,
    beside: pd.DataFrame | None,
    *,
    pooled: bool,
) -> pd.DataFrame:
    rows = predictions[predictions["model_id"].isin(list(members["model_id"]))]
    table = rows[[*_KEY, "score"]].astype({"symbol": "str"})
    return in_payoff_units(table, members, pooled=pooled, beside=beside)


def routed_scores(
    base: pd.DataFrame | None,
    members: pd.DataFrame,
    routes: Mapping[str, str],
    predictions: pd.DataFrame,
    cells: pd.DataFrame,
) -> pd.DataFrame:
    """Join the scores of a pooled model and of models of single symbols.

    Parameters
    ----------
    base : DataFrame or None
        Rows of ``models`` of the pooled model; None where there is none.
    members : DataFrame
        Those of the models of single symbols.
    routes : mapping of str to str
        Route of each symbol, see :func:`routes_of`.
    predictions : DataFrame
        timestamp, symbol, model_id, score of all of them.
    cells : DataFrame
        timestamp and symbol of the cells to score where there is no pooled model.

    Returns
    -------
    DataFrame
        timestamp, symbol, score, and probabilities, which are not known.
    """
    own = _scores(predictions, members, base, pooled=False)
    if base is None:
        pooled = cells.assign(score=np.float32(np.nan))
    else:
        pooled = _scores(predictions, base, members, pooled=True)
    table = pooled.merge(own, on=_KEY, how="left", suffixes=("", "_own"))
    route = table["symbol"].map(lambda symbol: routes.get(symbol, "")).astype("str")
    score = stitch(table["score"], table["score_own"], route, table["timestamp"])
    # In a bar without any score there is no median either: no opinion is no row.
    known = score.notna()
    return without_chances(table.loc[known, _KEY], score[known])


def _model(
    base: pd.DataFrame | None, members: pd.DataFrame, family: str
) -> dict[str, Any]:
    """Row of the routed model; its span covers those of its parts."""
    first = members.iloc[0]
    target = first["target"]
    parts = family if base is None else f"{base.iloc[0]['family']}+{family}"
    how = "" if base is None else strategy_suffix(base.iloc[0])
    spans = members if base is None else pd.concat([members, base])
    return spanning(spans) | {
        "model_id": f"{parts}:{target}{how}:routed{seed_suffix(first['model_id'])}",
        "target": target,
        "family": parts,
        "route": "routed",
        "seed": first["seed"],
    }
