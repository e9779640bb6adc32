"""Candidate section: who was chosen, from how many names, and by what volatility."""

from __future__ import annotations

import pandas as pd

from ranking_pipeline.evaluation.candidate_cautions import cautions
from ranking_pipeline.evaluation.figure_style import (
    GOOD,
    REFERENCE_COLOURS,
    ROW_COLOURS,
    FigureDict,
    layout,
    lines,
)
from ranking_pipeline.evaluation.formats import format_cell
from ranking_pipeline.evaluation.section import Figure, Section, Table, table_of
from ranking_pipeline.wording import counted

NAME, TITLE = "candidate_selection", "Candidates"
_SHOWN_PER_LEG = 3
_SOURCES = {"garch": "GARCH(1,1)", "ewma": "EWMA instead", "": "none known"}


def candidate_section(
    indicators: pd.DataFrame, candidates: pd.DataFrame, outcomes: pd.DataFrame
) -> Section:
    """Show the candidates of the latest month, and how well each month was covered.

    Parameters
    ----------
    indicators, candidates, outcomes : DataFrame
        The tables ``sector_indicators``, ``sector_candidates`` and
        ``candidate_outcomes``.

    Returns
    -------
    Section
        Its figures are the number of candidates and, where it changes, the share of
        each source of volatility.
    """
    scored = indicators[indicators["status"] == "ok"]
    latest = str(candidates["month"].max())
    lead = " ".join(
        [candidate_summary(indicators, candidates), *cautions(indicators, outcomes)]
    )
    tables = (
        _latest_table(candidates[candidates["month"] == latest], latest),
        _sector_table(outcomes),
        _volatility_table(scored),
    )
    coverage = Figure(
        "Where the volatility came from",
        coverage_figure(outcomes),
        "Share of the scored names. EWMA steps in where a name has too few returns for "
        "GARCH, or where its fit failed.",
    )
    count = Figure("Candidates of each month", count_figure(candidates))
    # the lead tells a share that never changes
    figures = (coverage, count) if _garch_shares(outcomes).nunique() > 1 else (count,)
    return Section(NAME, TITLE, lead, tables, figures)


def candidate_summary(indicators: pd.DataFrame, candidates: pd.DataFrame) -> str:
    """Tell how many were chosen for which months, and by what volatility."""
    scored = indicators[indicators["status"] == "ok"]
    sources = scored["volatility_source"].value_counts(normalize=True)
    garch, ewma = (
        format_cell(float(sources.get(source, 0.0)), "percent")
        for source in ("garch", "ewma")
    )
    months, ends = candidates["month"], candidates["asof_date"]
    return (
        f"{len(candidates):,} candidates in {counted(months.nunique(), 'month')} of "
        f"trading, {months.min()} to {months.max()}, decided at the last close of the "
        f"month before ({ends.min()} to {ends.max()}). GARCH volatility for "
        f"{garch} of the scored names, EWMA for {ewma}."
    )


def coverage_figure(outcomes: pd.DataFrame) -> FigureDict:
    """Share of the scored names with each source of volatility, by month."""
    months = _sources(outcomes)
    axis = months.index.to_numpy(dtype=object)
    series = [
        (label, axis, months[column] / months["n_scored"], {"color": colour})
        for label, column, colour in (
            ("GARCH(1,1)", "n_garch", GOOD),
            ("EWMA instead", "n_ewma", REFERENCE_COLOURS["baseline"]),
        )
    ]
    shape = layout(
        "month of trading", "share of scored names", yaxis={"range": [0, 1.02]}
    )
    return lines(series, shape)


def _sources(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Scored names of each month, and how many have each source of volatility."""
    ok = outcomes[outcomes["status"] == "ok"]
    return ok.groupby("month")[["n_scored", "n_garch", "n_ewma"]].sum()


def _garch_shares(outcomes: pd.DataFrame) -> pd.Series:
    months = _sources(outcomes)
    return months["n_garch"] / months["n_scored"]


def count_figure(candidates: pd.DataFrame) -> FigureDict:
    """Names of each leg, by month."""
    counts = (
        candidates.groupby(["month", "candidate_type"]).size().unstack(fill_value=0)
    )
    axis = counts.index.to_numpy(dtype=object)
    series = [
        (leg, axis, counts[leg], {"color": ROW_COLOURS[place], "dash": dash})
        for place, (leg, dash) in enumerate((("long", "solid"), ("short", "dot")))
        if leg in counts
    ]
    return lines(series, layout("month of trading", "candidates"))


def _latest_table(candidates: pd.DataFrame, month: str) -> Table:
    best = candidates[candidates["rank"] <= _SHOWN_PER_LEG]
    best = best.sort_values(["sector", "candidate_type", "rank"])
    columns = [
        ("sector", "sector", "text"), ("candidate_type", "leg", "text"),
        ("rank", "rank", "int"), ("symbol", "symbol", "text"),
        ("composite_score", "composite", "number"),
    ]  # fmt: skip
    caption = (
        f"The first {_SHOWN_PER_LEG} of each leg and sector; {len(candidates)} names in "
        "all. The composite weighs the percentiles of momentum, of the moving "
        "average's slope and of low volatility within the sector."
    )
    title = f"Candidates of {month}, as of {candidates['asof_date'].max()}"
    return table_of(best, title, columns, caption=caption)


def _sector_table(outcomes: pd.DataFrame) -> Table:
    measured = outcomes["n_scored"].where(outcomes["status"] == "ok", 0)
    grouped = outcomes.assign(n_measured=measured).groupby(
        ["sector", "gics_code"], as_index=False
    )
    rows = grouped.agg(
        months=("month", "size"),
        chosen=("status", lambda status: int((status == "ok").sum())),
        n_names=("n_names", "mean"),
        n_scored=("n_scored", "mean"),
        n_long=("n_long", "sum"),
        n_short=("n_short", "sum"),
        n_garch=("n_garch", "sum"),
        n_measured=("n_measured", "sum"),
    )
    measured = rows["n_measured"]
    rows["coverage"] = rows["n_garch"] / measured.where(measured > 0)
    columns = [
        ("sector", "sector", "text"), ("gics_code", "GICS", "text"),
        ("months", "months", "int"), ("chosen", "with candidates", "int"),
        ("n_names", "names a month", "number"), ("n_scored", "scored", "number"),
        ("n_long", "long", "int"), ("n_short", "short", "int"),
        ("coverage", "GARCH", "percent"),
    ]  # fmt: skip
    caption = (
        "A sector with too few scored names has no candidates that month; the last "
        "column is the share of GARCH among the names of its other months."
    )
    return table_of(rows, "Sectors", columns, caption=caption)


def _volatility_table(scored: pd.DataFrame) -> Table:
    source = ["volatility_source", "volatility_reason"]
    rows = scored.groupby(source, as_index=False).agg(
        n=("symbol", "size"),
        volatility=("volatility", "median"),
        n_returns=("n_returns", "median"),
        persistence=("persistence", "median"),
        at_bound=("at_bound", "mean"),
    )
    rows["label"] = rows["volatility_source"].map(_SOURCES)
    rows["share"] = rows["n"] / rows["n"].sum()
    rows = rows.sort_values("n", ascending=False, kind="stable")
    columns = [
        ("label", "volatility", "text"), ("volatility_reason", "why", "text"),
        ("n", "names and months", "int"),
        ("share", "share", "percent"), ("volatility", "median a day", "percent"),
        ("n_returns", "median returns used", "int"),
        ("persistence", "median alpha + beta", "number"),
        ("at_bound", "alpha + beta at its bound", "percent"),
    ]  # fmt: skip
    caption = (
        "At the bound a shock to the variance never dies out: its forecast of one day "
        "stands, one of many days would not."
    )
    return table_of(rows, "Volatility", columns, caption=caption)
