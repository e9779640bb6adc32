"""Figures: what the report draws, as plotly figures built from plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.evaluation.figure_style import (
    BAD,
    GOOD,
    ROW_COLOURS,
    FigureDict,
    Line,
    bars,
    layout,
    lines,
    row_colours,
    significant,
)
from ranking_pipeline.evaluation.formats import format_cell

MISSING_COLOURS = [
    [0.0, "#f3f5f7"],
    [0.05, "#d9e2ec"],
    [0.5, "#829ab1"],
    [1, "#243b53"],
]


def ic_over_time(
    ic_by_bar: pd.DataFrame, families: Mapping[str, str], lag_bars: int
) -> FigureDict:
    """Cumulative rank IC of each model_id, in order of appearance.

    Parameters
    ----------
    ic_by_bar : DataFrame
        Rows of one target and split: timestamp, model_id, ic.
    families : mapping of model_id to family
    lag_bars : int
        Entry lag at which the IC was measured.
    """
    series: list[Line] = []
    measured = ic_by_bar[ic_by_bar["ic"].notna()]
    colours = row_colours(measured["model_id"], families)
    for model_id, rows in measured.groupby("model_id", sort=False):
        total, style = rows["ic"].cumsum(), {"color": colours[str(model_id)]}
        series.append((str(model_id), rows["timestamp"].to_numpy(), total, style))
    title = f"cumulative rank IC (entry lag {lag_bars})"
    return lines(series, layout("", title))


def cumulative_spread(
    books: pd.DataFrame, families: Mapping[str, str], cost_bps: float
) -> FigureDict:
    """Cumulative gross (dotted) and net (solid) return of ±1 books, in percent.

    Parameters
    ----------
    books : DataFrame
        timestamp, model_id, gross, net.
    families : mapping of model_id to family
    cost_bps : float
        Per side, already in ``net``.
    """
    series: list[Line] = []
    colours = row_colours(books["model_id"], families)
    for model_id, rows in books.groupby("model_id", sort=False):
        when = rows["timestamp"].to_numpy()
        net: dict[str, Any] = {"color": colours[str(model_id)]}
        gross = net | {"dash": "dot", "width": 1.2}
        series.append((f"{model_id}, net", when, 100 * rows["net"], net))
        series.append((f"{model_id}, gross", when, 100 * rows["gross"], gross))
    title = f"cumulative return, % (net: {cost_bps:g} bps a side)"
    return lines(series, layout("", title))


def decile_bars(
    decile_returns: pd.DataFrame, families: Mapping[str, str], horizon: str
) -> FigureDict:
    """Mean payoff per score decile, one group of bars per model_id."""
    data = []
    colours = row_colours(decile_returns["model_id"], families)
    for model_id, rows in decile_returns.groupby("model_id", sort=False):
        data.append(
            {
                "type": "bar",
                "name": str(model_id),
                "x": rows["decile"].tolist(),
                "y": significant(rows["payoff_bps"]),
                "marker": {"color": colours[str(model_id)]},
            }
        )
    shape = layout("score decile (10 = highest)", f"mean payoff, bps per {horizon}")
    shape |= {"barmode": "group", "bargap": 0.25}
    shape["xaxis"] = shape["xaxis"] | {"dtick": 1}
    return {"data": data, "layout": shape}


def target_ranking_bars(target_rankings: pd.DataFrame) -> FigureDict:
    """Skill per target with its z and q; selected targets in colour."""
    rows = target_rankings.sort_values("rank", kind="stable")
    selected = rows["selected"].astype(bool)
    colours = [GOOD if chosen else "#c3ccd5" for chosen in selected]
    notes = [
        f"z {format_cell(float(z), 't')}, q {format_cell(float(q), 'p')}"
        if np.isfinite(z)
        else "not rankable"
        for z, q in zip(rows["z"].astype(float), rows["q"].astype(float), strict=True)
    ]
    shape = layout("skill = max(0, tanh(z / 6))", "", xaxis={"range": [0, 1.15]})
    names = rows["target"].astype(str).tolist()
    return bars(names, rows["skill"].astype(float), shape, colours=colours, notes=notes)


def feature_importance_bars(
    feature_consensus: pd.DataFrame, target: str, count: int = 20
) -> FigureDict:
    """Consensus importance of a target's leading features; selected ones in colour."""
    rows = feature_consensus[feature_consensus["target"] == target]
    rows = rows.sort_values(
        ["consensus_score", "feature"], ascending=[False, True]
    ).head(count)
    colours = [GOOD if kept else "#c3ccd5" for kept in rows["selected"].astype(bool)]
    shape = layout("consensus importance", "")
    names = rows["feature"].astype(str).tolist()
    return bars(names, rows["consensus_score"].astype(float), shape, colours=colours)


ROUTE_WORDS = {
    "BLOCKED": "no opinion",
    "EXPERIMENTAL": "on trial",
    "CROSS_SECTIONAL": "the pooled model",
    "BOTH": "average of both",
    "SYMBOL_SPECIFIC": "its own model",
}
ROUTE_COLOURS = ("#e6e9ed", "#d9c38f", "#7fa6c4", "#9b86bd", "#c07f6b")
ROUTES = tuple(ROUTE_WORDS)


def routing_map(plan: Mapping[str, Any]) -> FigureDict:
    """Route of each symbol (columns) for each target (rows)."""
    targets = sorted(plan.get("targets", {}))
    symbols = sorted(
        {s for t in targets for s in plan["targets"][t].get("symbols", {})}
    )
    grid = []
    for target in targets:
        entry = plan["targets"][target]
        own = entry.get("symbols", {})
        routes = [own.get(s, {}).get("route", entry["route"]) for s in symbols]
        grid.append([ROUTES.index(r) if r in ROUTES else None for r in routes])
    steps = len(ROUTES)
    scale = [
        [(index + side) / steps, colour]
        for index, colour in enumerate(ROUTE_COLOURS)
        for side in (0, 1)
    ]
    trace = {
        "type": "heatmap",
        "x": symbols,
        "y": targets,
        "z": grid,
        "zmin": -0.5,
        "zmax": steps - 0.5,
        "xgap": 1,
        "ygap": 2,
        "colorscale": scale,
        "colorbar": {
            "tickvals": list(range(steps)),
            "ticktext": list(ROUTE_WORDS.values()),
            "thickness": 10,
            "outlinewidth": 0,
        },
    }
    shape = layout("symbol", "", height=130 + 34 * len(targets))
    shape["xaxis"] = shape["xaxis"] | {"type": "category", "tickfont": {"size": 9}}
    upright = {"showgrid": False, "type": "category", "autorange": "reversed"}
    shape["yaxis"] = shape["yaxis"] | upright
    return {"data": [trace], "layout": shape}


def learning_curves(history: pd.DataFrame) -> FigureDict:
    """Draw rank IC per epoch by target and seed, best epochs marked.

    Validation is solid, the mean over the training steps of the epoch dotted.
    """
    series, best = [], []
    for index, ((target, seed), rows) in enumerate(history.groupby(["target", "seed"])):
        colour = ROW_COLOURS[index % len(ROW_COLOURS)]
        name = f"{target}, seed {seed}"
        values = rows["validation_ic"].to_numpy(dtype=float)
        epochs = rows["epoch"].to_numpy()
        series.append((name, epochs, values, {"color": colour}))
        seen = rows["train_ic"].to_numpy(dtype=float)
        dotted: dict[str, Any] = {"color": colour, "dash": "dot", "width": 1}
        series.append((f"{name}, training", epochs, seen, dotted))
        marked = rows[rows["best"].astype(bool)].tail(1)
        best.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": significant(marked["epoch"]),
                "y": significant(marked["validation_ic"].astype(float)),
                "marker": {"color": colour, "size": 8},
                "showlegend": False,
                "name": name,
            }
        )
    figure = lines(series, layout("epoch", "rank IC"))
    figure["data"] += best
    return figure


def defects_bars(data_quality: pd.DataFrame) -> FigureDict:
    """Rows touched by each data check, coloured by what was done with them."""
    actions = {"kept": "#9fb3c8", "flagged": "#d9b66f", "repaired": "#6f9fc4"}
    rows = data_quality[data_quality["rows"] > 0]
    rows = rows.sort_values(["rows", "rule"], ascending=[False, True])
    colours = [actions.get(str(a), BAD) for a in rows["action"]]
    names = [f"{r} ({a})" for r, a in zip(rows["rule"], rows["action"], strict=True)]
    notes = [f"{n:,}" for n in rows["rows"]]
    shape = layout("rows", "", xaxis={"rangemode": "tozero"})
    return bars(names, rows["rows"], shape, colours=colours, notes=notes)


def missing_strip(share: pd.DataFrame) -> FigureDict:
    """Share of missing bars, sectors or symbols (rows) over time (columns).

    Parameters
    ----------
    share : DataFrame
        Index: row names; columns: period names; values in [0, 1].
    """
    trace = {
        "type": "heatmap",
        "x": [str(c) for c in share.columns],
        "y": [str(i) for i in share.index],
        "z": [significant(row) for row in share.to_numpy(dtype=float)],
        "zmin": 0,
        "zmax": max(0.1, float(np.nanmax(share.to_numpy(dtype=float)))),
        "ygap": 1,
        "colorscale": MISSING_COLOURS,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickformat": ".0%"},
    }
    shape = layout("", "", height=max(150, 90 + 20 * len(share)))
    shape["yaxis"] = shape["yaxis"] | {"showgrid": False, "autorange": "reversed"}
    return {"data": [trace], "layout": shape}
