"""Portfolio months: what a monthly portfolio is long or short of, and when it is held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel

Legs = Literal["both", "long", "short"]
_TOLD = ("source", "model_version")


def held_legs(portfolio: pd.DataFrame, asked: Legs) -> Legs:
    """Legs that are held, and by which the baselines beside them are compared.

    Parameters
    ----------
    portfolio : DataFrame
        weight (signed).
    asked : str
        ``backtest.legs``; both: those that the portfolio has.

    Raises
    ------
    UserError
        When the portfolio lacks the leg that is asked for.
    """
    weight = portfolio["weight"].to_numpy(np.float64)
    there: list[Legs] = ["long"] if (weight > 0).any() else []
    there += ["short"] if (weight < 0).any() else []
    if asked != "both" and there and asked not in there:
        raise UserError(
            f"backtest.legs {asked!r}: the monthly portfolio is {there[0]} only, it holds "
            f"no {asked} leg; set backtest.legs to both or {there[0]}, or run kedro run "
            f"--pipelines=prediction --params=prediction.candidate_type={asked} first"
        )
    return there[0] if asked == "both" and len(there) == 1 else asked


def scored_by(portfolio: pd.DataFrame) -> tuple[str, str]:
    """Where the scores behind a portfolio come from, and by which model.

    Parameters
    ----------
    portfolio : DataFrame
        source, model_version.

    Returns
    -------
    source, model_version : str
        Several are joined by ", "; ``algorithmic_only`` has no version.

    Raises
    ------
    UserError
        For a table of an earlier version, which does not tell.
    """
    missing = [name for name in _TOLD if name not in portfolio]
    if missing:
        raise UserError(
            f"batch_predictions lacks the column {', '.join(missing)}: run kedro run "
            "--pipelines=prediction again"
        )
    source, version = (
        ", ".join(sorted(set(portfolio[name].astype(str)) - {""})) for name in _TOLD
    )
    return source, version


def months_held(
    portfolio: pd.DataFrame, panel: Panel, blocks: Mapping[str, slice], lag_bars: int
) -> dict[str, tuple[str, ...]]:
    """Trade months of each split that has any, in order.

    A month counts where it is decided and first traded.

    Parameters
    ----------
    portfolio : DataFrame
        month, timestamp, symbol.
    panel : Panel
    blocks : mapping of split to slice
        Bars of each split.
    lag_bars : int
    """
    bars, _ = locate(panel, portfolio, "batch_predictions")
    months = portfolio["month"].astype(str).to_numpy()
    found = {}
    for split, block in blocks.items():
        inside = (bars >= block.start) & (bars + lag_bars < block.stop)
        if inside.any():
            found[split] = tuple(sorted(set(months[inside].tolist())))
    return found


def until(blocks: Mapping[str, slice], last_bar: int) -> dict[str, slice]:
    """Bars of each split up to the sale of the last portfolio; what is empty is left out.

    Cash after it would only dilute what a year of the portfolio earns.
    """
    cut = {
        name: slice(b.start, min(b.stop, last_bar + 1)) for name, b in blocks.items()
    }
    return {name: block for name, block in cut.items() if block.start < block.stop}
