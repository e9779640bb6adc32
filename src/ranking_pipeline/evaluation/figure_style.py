"""Figure style: the one look of all figures, and the two shapes they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FigureDict = dict[str, Any]
Line = tuple[str, Any, Any, dict[str, Any]]

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, SOFT, GRID = "#1f2933", "#66727f", "#e6e9ed"
FAMILY_COLOURS = {
    "lightgbm": "#2f6f9f",
    "lightgbm_rank": "#1f4e79",
    "xgboost": "#6a9fb5",
    "xgboost_rank": "#4a7d92",
    "random_forest": "#7a9e5f",
    "ridge": "#b08a3c",
    "mlp": "#a65d57",
    "lstm": "#8a6bb0",
    "transformer": "#c27ba0",
    "tcn": "#4f9d8e",
    "gru": "#6f7fc4",
    "alstm": "#5d4a8f",
    "mixer": "#b58fb0",
    "stock_transformer": "#9b5b7f",
    "cross_stock": "#d0699a",
    "linear": "#9a8f5a",
    "baseline": "#9aa5b1",
    "oracle": "#3e4c59",
    "routed": "#d08a3e",
}
SPARE_COLOURS = ("#5b7db1", "#b56d4d", "#5f9c76", "#95688f", "#8c8c4a", "#4a8fa3")
DASHES = ("solid", "dash", "dot", "dashdot")
GOOD, BAD = "#2f6f9f", "#b4534a"
MAX_POINTS = 600


def family_colour(family: str) -> str:
    """Colour of a model family, the same in every figure."""
    spare = SPARE_COLOURS[sum(map(ord, family)) % len(SPARE_COLOURS)]
    return FAMILY_COLOURS.get(family, spare)


def significant(values: Any, digits: int = 6) -> list[Any]:
    """Values as a list, floats to so many significant digits, missing as None."""
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return [str(stamp)[:16] for stamp in array.astype("datetime64[m]")]
    if array.dtype.kind not in "fc":
        return list(array.tolist())
    return [
        float(f"{value:.{digits}g}") if np.isfinite(value) else None
        for value in array.ravel().tolist()
    ]


def layout(
    x_title: str, y_title: str, *, height: int = 340, **changes: Any
) -> FigureDict:
    """House layout: white, thin grid, legend above the plot, units in axis titles."""
    axis = {
        "gridcolor": GRID,
        "gridwidth": 1,
        "zeroline": True,
        "zerolinecolor": "#b8c2cc",
        "zerolinewidth": 1,
        "linecolor": GRID,
        "ticks": "",
        "automargin": True,
    }
    small = {"font": {"size": 12, "color": SOFT}}
    base: FigureDict = {
        "template": {},
        "height": height,
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": FONT, "size": 12, "color": INK},
        "margin": {"l": 56, "r": 16, "t": 28, "b": 44 if x_title else 28},
        "xaxis": axis | {"title": {"text": x_title} | small, "showgrid": False},
        "yaxis": axis | {"title": {"text": y_title} | small},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
    }
    for key, value in changes.items():
        base[key] = base[key] | value if isinstance(base.get(key), dict) else value
    return base


def lines(series: Sequence[Line], shape: FigureDict) -> FigureDict:
    """Line figure; each series is (name, x, y, line style), thinned to 600 points."""
    data = []
    for name, x, y, style in series:
        step = max(1, -(-len(x) // MAX_POINTS))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": significant(np.asarray(x)[::step]),
                "y": significant(np.asarray(y)[::step]),
                "line": {"width": 1.8} | style,
            }
        )
    return {"data": data, "layout": shape}


def bars(
    labels: Sequence[str],
    values: Any,
    shape: FigureDict,
    *,
    colours: Sequence[str] | str = GOOD,
    notes: Sequence[str] = (),
) -> FigureDict:
    """Horizontal bars from top to bottom, a note at the end of each."""
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": significant(values),
        "y": list(labels),
        "marker": {"color": colours if isinstance(colours, str) else list(colours)},
        "text": list(notes),
        "textposition": "outside",
        "textfont": {"size": 11, "color": SOFT},
        "cliponaxis": False,
        "hoverinfo": "x+y",
    }
    turned = {
        "yaxis": shape["yaxis"] | {"autorange": "reversed", "showgrid": False},
        "xaxis": shape["xaxis"] | {"showgrid": True},
        "height": max(160, 96 + 22 * len(labels)),
        "bargap": 0.35,
    }
    return {"data": [trace], "layout": shape | turned}
