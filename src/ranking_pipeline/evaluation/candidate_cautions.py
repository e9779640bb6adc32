"""Candidate cautions: what a reader should know before he believes the candidates."""

from __future__ import annotations

import pandas as pd


def cautions(indicators: pd.DataFrame, outcomes: pd.DataFrame) -> list[str]:
    """Tell what a reader should know before he believes the candidates."""
    told = [
        _without_windows(indicators),
        _never_chosen(outcomes),
        _never_moving(indicators),
        _early(outcomes),
    ]
    return [text for text in told if text]


def _without_windows(indicators: pd.DataFrame) -> str:
    """Name the sectors that nothing was chosen from, for want of their windows."""
    left = indicators.loc[indicators["status"] == "no_windows", "sector"].unique()
    if not len(left):
        return ""
    return (
        "Not chosen from, because candidate_selection.sector_windows lacks them: "
        f"{', '.join(sorted(left))}."
    )


def _never_chosen(outcomes: pd.DataFrame) -> str:
    """Name the sectors with names that have no candidates in any month, and why."""
    named = outcomes[outcomes["n_names"] > 0]
    chosen = named.loc[named["status"] == "ok", "sector"]
    counts = named[~named["sector"].isin(chosen)].groupby("sector")[
        ["n_names", "n_scored", "n_short_history"]
    ]
    told = [
        f"{sector} (at most {row.n_scored} of {row.n_names} names could be scored, "
        f"{row.n_short_history} had too short a history)"
        for sector, row in zip(counts.groups, counts.max().itertuples(), strict=True)
    ]
    if not told:
        return ""
    return (
        f"No candidates in any month from {', '.join(told)}: shorten its windows in "
        "candidate_selection.sector_windows or lower min_sector_size."
    )


def _never_moving(indicators: pd.DataFrame) -> str:
    """Tell where no name ever has another sector, as without dates in data.sectors."""
    months = indicators["month"]
    moves = indicators.groupby("symbol")["sector"].nunique() > 1
    if moves.any() or months.nunique() < 2:
        return ""
    return (
        "These sectors are undated or never change: no name has another one between "
        f"{months.min()} and {months.max()}. Without dates a name carries today's "
        "sector in the past: data.sectors takes valid_from and valid_to."
    )


def _early(outcomes: pd.DataFrame) -> str:
    """Name the month that is decided before the one of its as-of bar is over."""
    early = outcomes[outcomes["early"]]
    if not len(early):
        return ""
    month, asof = early[["month", "asof_date"]].iloc[0]
    return (
        f"{month} is decided early, at the close of {asof}, where the bars end: "
        "their last month may have trading days left, which may change the choice. Give "
        "bars to its end, or set candidate_selection.last_month null, which waits for it."
    )
