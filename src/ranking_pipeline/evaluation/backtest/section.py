"""Backtest section: what the chosen book would have earned, beside simple ones."""

from __future__ import annotations

import pandas as pd

from ranking_pipeline.evaluation.backtest import figures
from ranking_pipeline.evaluation.backtest.equity import equity_and_drawdown
from ranking_pipeline.evaluation.backtest.setting import Found
from ranking_pipeline.evaluation.backtest.words import (
    happened,
    lead,
    nothing_held,
    rules_caption,
    trials_caption,
    why_apart,
)
from ranking_pipeline.evaluation.figure_style import FigureDict
from ranking_pipeline.evaluation.section import Figure, Section, Table, table_of

COLUMNS = [
    ("model_id", "book", "text"),
    ("annual_return", "net a year", "percent"),
    ("annual_volatility", "volatility", "percent"),
    ("sharpe", "net Sharpe", "number"), ("net_t", "t", "t"),
    ("probabilistic_sharpe", "PSR", "percent"),
    ("deflated_sharpe", "DSR", "percent"),
    ("max_drawdown", "drawdown", "percent"), ("win_rate", "bars won", "percent"),
    ("profit_factor", "profit factor", "number"),
    ("turnover_per_trade", "turnover", "number"),
    ("gross_bps_per_bar", "gross, bps/bar", "bps"),
    ("cost_bps_per_bar", "costs, bps/bar", "bps"),
    ("borrow_bps_per_bar", "borrow, bps/bar", "bps"),
    ("beta", "beta", "number"), ("beta_t", "beta t", "t"),
    ("capacity_millions", "capacity, millions", "number"), ("n_bars", "bars", "int"),
]  # fmt: skip
TITLES = {"predictions": "Backtest", "portfolio": "Backtest of the monthly portfolio"}
SECTION_NAMES = {"predictions": "backtest", "portfolio": "portfolio_backtest"}
FIGURE_TITLES = (
    "Equity and drawdown", "Monthly net return", "Exposure by sector", "Turnover",
)  # fmt: skip
SPLIT_ORDER = ("test", "validation", "train")


def backtest_section(found: Found) -> Section:
    """Compose the books of each split, the trials that were counted, and the figures.

    Parameters
    ----------
    found : Found

    Returns
    -------
    Section
        Four figures: equity with drawdown, months, exposure by sector, turnover; they
        show the best baseline on validation where no model was trained.
    """
    metrics = found.backtest.metrics
    name, title = SECTION_NAMES[found.source], TITLES[found.source]
    splits = [split for split in SPLIT_ORDER if split in set(metrics["split"])]
    if not splits:
        nothing: FigureDict = {"data": [], "layout": {}}
        drawn = tuple(Figure(text, nothing) for text in FIGURE_TITLES)
        told = nothing_held(found)
        return Section(name, title, told, (_trials_table(found),), drawn)
    tables = [_books_table(found, split, first=not i) for i, split in enumerate(splits)]
    tables.insert(1, _trials_table(found))
    return Section(
        name,
        title,
        lead(found, splits[0]),
        tuple(table for table in tables if table.rows),
        tuple(_figures(found, splits[0])),
    )


def _books_table(found: Found, split: str, *, first: bool) -> Table:
    rows = found.backtest.metrics
    rows = rows[rows["split"] == split].rename(columns={"book": "model_id"})
    rows = rows.assign(capacity_millions=rows["capacity"] / 1e6)
    kept = [c for c in COLUMNS if not rows[c[0]].isna().all()]
    if not (rows["borrow_bps_per_bar"] > 0).any():
        kept = [column for column in kept if column[0] != "borrow_bps_per_bar"]
    span = f"{rows['first'].min()} to {rows['last'].max()}. "
    if rows["n_bars"].nunique() == 1:
        kept = [column for column in kept if column[0] != "n_bars"]
        span = f"{int(rows['n_bars'].iloc[0]):,} bars held, {span}"
    rules = rules_caption(found) if first else why_apart(found, split)
    caption = f"{span}{happened(found, split)}{rules}"
    return table_of(
        rows,
        f"Books, {split} split",
        kept,
        caption=caption,
        emphasis=list(rows["kind"]),
    )


def _trials_table(found: Found) -> Table:
    trials = found.trials
    rows = pd.DataFrame(
        [
            ("model rows of this run", trials.rows),
            ("other model rows of earlier runs on these bars", trials.earlier_rows),
            ("parameter sets that tuning measured on these bars", trials.tuning),
            ("books held by other rules, or of a portfolio", trials.books),
            ("all trials", trials.total),
        ],
        columns=["what", "count"],
    )
    columns = [("what", "counted as a trial", "text"), ("count", "trials", "int")]
    styles = [""] * (len(rows) - 1) + ["chosen"]
    return table_of(
        rows, "Trials", columns, caption=trials_caption(found), emphasis=styles
    )


def _split_note(found: Found) -> str:
    """What a reader of the curves must know of splits; "" for a single one."""
    splits = set(found.backtest.metrics["split"])
    anew = "; every split is entered anew" if len(splits) > 1 else ""
    if "validation" not in splits:
        return anew
    searched = found.chosen and found.source == "predictions"
    which = ", which chose the row," if searched else ""
    return f"{anew}; validation bars{which} are shaded"


def _shared_months(found: Found) -> str:
    several = found.backtest.metrics["split"].nunique() > 1
    return "; a month that two splits share stands in both" if several else ""


def _figures(found: Found, split: str) -> list[Figure]:
    tables = found.backtest
    kinds = dict(zip(tables.metrics["book"], tables.metrics["kind"], strict=True))
    shown = found.chosen or found.rival or next(iter(kinds))
    drawn = (
        equity_and_drawdown(tables.returns, kinds, found.rival),
        figures.monthly_heatmap(tables.monthly, shown),
        figures.sector_exposure(tables.exposure, shown, split),
        figures.turnover_over_time(tables.monthly, kinds, found.rival),
    )
    notes = (
        f"Net of costs, compounded{_split_note(found)}.",
        f"{shown}, percent of capital{_shared_months(found)}.",
        f"{shown}, mean weights over the {split} bars; the diamond is long plus short.",
        "Mean per rebalance in each month, both sides, as a share of the book that "
        "trades.",
    )
    return [Figure(*one) for one in zip(FIGURE_TITLES, drawn, notes, strict=True)]
