"""Portfolio months: what a monthly portfolio is long or short of, and when it is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.backtest.setting import Forecast
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel

Matrix = npt.NDArray[np.float64]
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


def forecast_of(
    selections: Sequence[Mapping[str, Any]],
    target_manifest: pd.DataFrame,
    portfolio: pd.DataFrame,
    panel: Panel,
) -> Forecast | None:
    """Read what the model foretells; None where none took part.

    Parameters
    ----------
    selections : sequence of mapping
        The document ``portfolio_selection``.
    target_manifest : DataFrame
        target, horizon_bars.
    portfolio : DataFrame
        timestamp, symbol.
    panel : Panel
    """
    told = [one["metadata"] for one in selections if one["source"] == "model"]
    if not told:
        return None
    target, unit = str(told[0]["target"]), str(told[0]["score_unit"])
    rows = target_manifest[target_manifest["target"] == target]
    horizon = int(rows["horizon_bars"].iloc[0]) if len(rows) else None
    steps = np.diff(np.unique(locate(panel, portfolio, "batch_predictions")[0]))
    held = int(np.median(steps)) if len(steps) else None
    # a selection of an earlier version does not tell it
    until = told[0].get("informed_until")
    return Forecast(target, unit, horizon, held, until)


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


def unheld_months(
    portfolio: pd.DataFrame, held: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Trade months whose decision or first trade lies in the gap after a split.

    Parameters
    ----------
    portfolio : DataFrame
        month.
    held : mapping of split to months
    """
    known = {month for months in held.values() for month in months}
    return tuple(sorted(set(portfolio["month"].astype(str)) - known))


def portfolio_targets(portfolio: pd.DataFrame, panel: Panel) -> Matrix:
    """Weights of the monthly portfolio, all sectors of a leg with the same capital.

    A month between two portfolios that has none is held in cash, and so is what comes
    after the last one's month.

    Parameters
    ----------
    portfolio : DataFrame
        month, sector, timestamp (the as-of bar), symbol, leg, weight (signed).
    panel : Panel

    Returns
    -------
    ndarray of float64, shape (T, S)
        One row per month, at its as-of bar; NaN at all other bars.

    Raises
    ------
    UserError
        Where a bar or a symbol is not in the panel, or there is no portfolio.
    """
    if portfolio.empty:
        raise UserError(
            "batch_predictions holds no portfolio: every month was refused or empty. "
            "See its outcomes, and run kedro run --pipelines=prediction again"
        )
    shape = (panel.n_bars, panel.n_symbols)
    bars, symbols = locate(panel, portfolio, "batch_predictions")
    sectors = portfolio.groupby([pd.Series(bars, portfolio.index), "leg"])["sector"]
    share = portfolio["weight"].to_numpy(float) / sectors.transform("nunique")
    totals = np.zeros(shape)
    np.add.at(totals, (bars, symbols), np.asarray(share, dtype=float))
    months = panel.trading_dates.astype("M8[M]")
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], False))
    known = np.unique(bars)
    after = ends[ends > known[-1]][:1]
    flat = np.concatenate([ends[(ends > known[0]) & (ends < known[-1])], after])
    decided = np.union1d(known, flat)
    wanted = np.full(shape, np.nan)
    wanted[decided] = totals[decided]
    return wanted
