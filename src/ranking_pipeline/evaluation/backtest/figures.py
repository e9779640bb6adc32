"""Backtest figures: months, exposure by sector, turnover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.evaluation.backtest.equity import (
    book_styles,
    drawing_order,
    legend_name,
    legend_place,
)
from ranking_pipeline.evaluation.figure_style import (
    BAD,
    GOOD,
    FigureDict,
    Line,
    layout,
    lines,
    significant,
)
from ranking_pipeline.evaluation.formats import format_cell

MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
DIVERGING = [[0.0, BAD], [0.5, "#ffffff"], [1.0, GOOD]]


def monthly_heatmap(monthly: pd.DataFrame, book: str) -> FigureDict:
    """Net return of a book by year (rows) and month (columns), splits apart.

    Parameters
    ----------
    monthly : DataFrame
        The table ``monthly_returns``.
    book : str
    """
    rows = monthly[monthly["book"] == book]
    grid: dict[str, list[float]] = {}
    for month, split, net in zip(
        rows["month"], rows["split"], rows["net"], strict=True
    ):
        year, number = str(month).split("-")
        line = grid.setdefault(f"{year}, {split}", [float("nan")] * 12)
        line[int(number) - 1] = 100 * float(net)
    values = np.array(list(grid.values()), dtype=float).reshape(len(grid), 12)
    finite = np.abs(values[np.isfinite(values)])
    reach = max(float(finite.max()) if finite.size else 0.0, 0.1)
    text = [[_told(value) for value in line] for line in values]
    trace = {
        "type": "heatmap",
        "x": list(MONTHS),
        "y": list(grid),
        "z": [significant(line) for line in values],
        "zmin": -reach,
        "zmax": reach,
        "xgap": 2,
        "ygap": 2,
        "colorscale": DIVERGING,
        "text": text,
        "texttemplate": "%{text}",
        "textfont": {"size": 11},
        "hovertemplate": "%{y} %{x}: %{text} %<extra></extra>",
        "colorbar": {"thickness": 10, "outlinewidth": 0, "title": {"text": "%"}},
    }
    shape = layout("", "", height=max(170, 80 + 34 * len(grid)))
    upright = {"showgrid": False, "autorange": "reversed", "type": "category"}
    shape["yaxis"] = shape["yaxis"] | upright
    shape["xaxis"] = shape["xaxis"] | {"type": "category", "zeroline": False}
    return {"data": [trace], "layout": shape}


def _told(value: float) -> str:
    return format_cell(value, "bps") if np.isfinite(value) else ""


def sector_exposure(exposure: pd.DataFrame, book: str, split: str) -> FigureDict:
    """Mean long and short weight of a book in each sector, and their sum.

    Parameters
    ----------
    exposure : DataFrame
        The table ``backtest_exposure``.
    book, split : str
    """
    rows = exposure[(exposure["book"] == book) & (exposure["split"] == split)]
    names = rows["sector"].astype(str).tolist()
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": leg,
            "x": significant(100 * rows[leg].to_numpy(float)),
            "y": names,
            "marker": {"color": colour},
        }
        for leg, colour in (("long", GOOD), ("short", BAD))
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "net",
            "x": significant(100 * rows["net"].to_numpy(float)),
            "y": names,
            "marker": {
                "symbol": "diamond",
                "size": 9,
                "color": "#1f2933",
                "line": {"color": "#ffffff", "width": 1},
            },
        }
    )
    shape = layout("mean weight, % of capital", "", barmode="relative", bargap=0.35)
    shape["yaxis"] = shape["yaxis"] | {
        "autorange": "reversed", "showgrid": False, "type": "category",
    }  # fmt: skip
    shape["xaxis"] = shape["xaxis"] | {"showgrid": True}
    shape["height"] = max(200, 110 + 24 * len(names))
    return {"data": data, "layout": shape | {"barmode": "relative", "bargap": 0.35}}


def turnover_over_time(
    monthly: pd.DataFrame, kinds: Mapping[str, str], rival: str
) -> FigureDict:
    """Mean turnover of a rebalance in each month, by book; the market is left out."""
    styles = book_styles(kinds, rival)
    books = [
        book for book in drawing_order(kinds, styles) if kinds[book] != "benchmark"
    ]
    series: list[Line] = []
    for book in books:
        rows = monthly[monthly["book"] == book]
        # a month that two splits share is one point, in its middle
        joined = rows.groupby("month", sort=True)["turnover"].mean()
        months = joined.index.to_numpy().astype("M8[M]").astype("M8[D]")
        middle, name = months + np.timedelta64(14, "D"), legend_name(book, styles)
        series.append((name, middle, joined.to_numpy(float), styles[book]))
    figure = lines(
        series, layout("", "turnover per rebalance", yaxis={"rangemode": "tozero"})
    )
    seen = set[str]()
    for trace in figure["data"]:
        name = trace["name"]
        trace |= {"legendgroup": name, "showlegend": name not in seen}
        trace |= {"legendrank": legend_place(trace["line"])}
        trace |= {"mode": "lines+markers", "marker": {"size": 5}}
        seen.add(name)
    return figure
