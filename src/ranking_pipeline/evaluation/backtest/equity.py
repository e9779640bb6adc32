"""Equity figure: what each book has earned so far, and how far it has fallen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.figure_style import (
    ROW_COLOURS,
    SOFT,
    FigureDict,
    Line,
    layout,
    lines,
    significant,
)
from ranking_pipeline.portfolio.backtest import drawdown_curve

WASH = "#f3f5f7"
MARKET_COLOUR, RIVAL_COLOUR, PALE = "#3e4c59", ROW_COLOURS[1], "#c9d1d9"
OTHERS, BASELINES = "other baselines", "baselines"


def book_styles(kinds: Mapping[str, str], rival: str) -> dict[str, dict[str, Any]]:
    """Line of each book: the chosen row and its rival coloured, references grey.

    Parameters
    ----------
    kinds : mapping of book to chosen, baseline or benchmark
    rival : str
        Baseline that is compared with; "" where none is.
    """
    styles: dict[str, dict[str, Any]] = {}
    for book, kind in kinds.items():
        if kind == "chosen":
            styles[book] = {"color": ROW_COLOURS[0], "width": 2.4}
        elif kind == "benchmark":
            styles[book] = {"color": MARKET_COLOUR, "width": 1.6, "dash": "dash"}
        elif book == rival:
            styles[book] = {"color": RIVAL_COLOUR, "width": 1.6}
        else:
            styles[book] = {"color": PALE, "width": 1.1}
    return styles


def legend_place(style: Mapping[str, Any]) -> int:
    """Place in the legend: chosen row, rival, market, the others."""
    order = (ROW_COLOURS[0], RIVAL_COLOUR, MARKET_COLOUR, PALE)
    return order.index(style["color"]) + 1


def equity_and_drawdown(
    returns: pd.DataFrame, kinds: Mapping[str, str], rival: str
) -> FigureDict:
    """Compounded net return of each book, and how far it lies below its best so far.

    Parameters
    ----------
    returns : DataFrame
        The table ``backtest_returns``.
    kinds : mapping of book to kind
        In the order of the legend.
    rival : str

    Returns
    -------
    dict
        Each split starts anew at 0.
    """
    styles, seen = book_styles(kinds, rival), set[str]()
    shape = layout("", "net return, %", height=470)
    figure: FigureDict = {"data": [], "layout": shape}
    for book in drawing_order(kinds, styles):
        name = legend_name(book, styles)
        rows = returns[returns["book"] == book]
        for _, own in rows.groupby("split", sort=False):
            for trace in _equity_traces(name, own, styles[book]):
                trace |= {"legendgroup": name, "showlegend": name not in seen}
                trace |= {"legendrank": legend_place(styles[book])}
                trace |= {"hovertext": [book] * len(trace["x"])}
                figure["data"].append(trace)
                seen.add(name)
    below = shape["yaxis"] | {
        "domain": [0.0, 0.26],
        "title": {"text": "drawdown, %", "font": {"size": 12, "color": SOFT}},
    }
    figure["layout"] |= {
        "yaxis": shape["yaxis"] | {"domain": [0.33, 1.0]},
        "yaxis2": below,
        "xaxis": shape["xaxis"] | {"anchor": "y2"},
        **_split_marks(returns),
    }
    return figure


def drawing_order(
    kinds: Mapping[str, str], styles: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Books as they are drawn: grey lines lie below the coloured ones."""
    return sorted(kinds, key=lambda book: styles[book]["color"] != PALE)


def legend_name(book: str, styles: Mapping[str, Mapping[str, Any]]) -> str:
    """Name in the legend, which all grey lines share."""
    if styles[book]["color"] != PALE:
        return book
    told_apart = any(style["color"] == RIVAL_COLOUR for style in styles.values())
    return OTHERS if told_apart else BASELINES


def _equity_traces(
    name: str, rows: pd.DataFrame, style: Mapping[str, Any]
) -> list[dict[str, Any]]:
    when, net = rows["timestamp"].to_numpy(), rows["net"].to_numpy(float)
    earned = 100 * (rows["equity"].to_numpy(float) - 1.0)
    series: list[Line] = [
        (name, when, earned, dict(style)),
        (
            name,
            when,
            -100 * drawdown_curve(net),
            {**style, "width": 0.7 * style["width"]},
        ),
    ]
    above, below = lines(series, {})["data"]
    return [above | {"yaxis": "y"}, below | {"yaxis": "y2"}]


def _split_marks(returns: pd.DataFrame) -> dict[str, Any]:
    """Name the splits above their bars; the one that chose the row is shaded."""
    shapes, notes = [], []
    for split, rows in returns.groupby("split", sort=False):
        first, last = significant(rows["timestamp"].agg(["min", "max"]).to_numpy())
        place = {"xref": "x", "yref": "paper", "x0": first, "x1": last}
        if split == "validation":
            box = {"type": "rect", "layer": "below", "y0": 0, "y1": 1}
            shapes.append(box | place | {"fillcolor": WASH, "line": {"width": 0}})
        note = {"x": first, "y": 1.0, "xref": "x", "yref": "paper", "xanchor": "left"}
        text = {"text": f" {split}", "showarrow": False, "yanchor": "top"}
        notes.append(note | text | {"font": {"size": 11, "color": SOFT}})
    return {"shapes": shapes, "annotations": notes}
