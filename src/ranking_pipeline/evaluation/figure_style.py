"""Figure style: the one look of all figures, and the two shapes they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

FigureDict = dict[str, Any]
Line = tuple[str, Any, Any, dict[str, Any]]

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, SOFT, GRID = "#1f2933", "#66727f", "#e6e9ed"
# Rows of a figure in their order, the best one first; references stay grey.
ROW_COLOURS = ("#2f6f9f", "#c8702a", "#4f8f4f", "#8a5fb0", "#b09030", "#3f9d93")
REFERENCE_COLOURS = {"baseline": "#8995a1", "oracle": "#3e4c59"}
RANDOM, RANDOM_COLOUR = "random", "#c9d1d9"
GOOD, BAD = "#2f6f9f", "#b4534a"
MAX_POINTS = 600


def row_colours(names: Iterable[Any], families: Mapping[str, str]) -> dict[str, str]:
    """Colour of each row, by the order of appearance; six differ, then they repeat.

    Parameters
    ----------
    names : iterable of str
        ``model_id``, repeated or not.
    families : mapping of model_id to family
    """
    colours: dict[str, str] = {}
    models = 0
    for name in dict.fromkeys(map(str, names)):
        reference = REFERENCE_COLOURS.get(families.get(name, ""))
        if name == RANDOM:
            colours[name] = RANDOM_COLOUR
        elif reference:
            colours[name] = reference
        else:
            colours[name] = ROW_COLOURS[models % len(ROW_COLOURS)]
            models += 1
    return colours


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
