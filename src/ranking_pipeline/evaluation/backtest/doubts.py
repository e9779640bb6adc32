"""Backtest doubts: why a result of few trades, few names or another horizon says little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranking_pipeline.evaluation.backtest.setting import Forecast, Found
from ranking_pipeline.evaluation.prediction_text import ALGORITHMIC
from ranking_pipeline.evaluation.score_text import foretold
from ranking_pipeline.wording import counted


def few_trades(found: Found, row: Mapping[str, Any]) -> str:
    """Say that a book was never renewed, or that a leg is a single name; "" otherwise.

    Parameters
    ----------
    found : Found
    row : mapping
        Of the chosen book in ``backtest_metrics``.
    """
    told = []
    decided = int(row["n_trade_bars"]) - int(bool(row["exit_at_end"]))
    if found.source == "predictions" and decided <= int(row["n_books"]):
        bars = counted(int(row["n_bars"]), "bar")
        told.append(
            f"Nothing was traded again after the first purchase in {bars}: the rates a "
            "year are those of one decision."
        )
    if found.names_per_leg == 1:
        told.append("A leg is a single name, whose luck is the whole result.")
    return " ".join(told)


def scored_by(found: Found) -> str:
    """Which model scored a portfolio, or that none did; "" for predictions."""
    if found.score_source == "model":
        told = f"Its scores are those of {found.model_version}"
        return f"{told}{_foretold(found.forecast)}.{_informed(found.forecast)}"
    if not found.score_source:
        return ""
    return f"{ALGORITHMIC[0].upper()}{ALGORITHMIC[1:]}."


def _informed(forecast: Forecast | None) -> str:
    """Until when the model knew the bars; "" where that is not told."""
    if forecast is None or forecast.informed_until is None:
        return ""
    until = forecast.informed_until.replace("T", " ")
    return f" It knows the bars until {until} UTC."


def _foretold(forecast: Forecast | None) -> str:
    """What the scores foretell and for how long, beside how long they are held."""
    if forecast is None:
        return ""
    told = f", which {foretold(forecast.target, forecast.unit)}"
    if forecast.horizon_bars is None:
        return told
    told += f", over {counted(forecast.horizon_bars, 'bar')}"
    if forecast.held_bars is None:
        return told
    apart = not 0.5 <= forecast.horizon_bars / forecast.held_bars <= 2
    but = ", though each portfolio is held about" if apart else "; each is held about"
    return f"{told}{but} {counted(forecast.held_bars, 'bar')}"
