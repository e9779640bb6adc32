"""Prediction section: portfolios, outcomes and the live ranking in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.prediction_text import (
    ALGORITHMIC,
    selection_rows,
    selection_title,
)
from ranking_pipeline.evaluation.section import Column, Section, Table, table_of

NAME, TITLE = "prediction", "Predicted portfolios"
SHOWN_TAIL, SHOWN_PORTFOLIOS, SHOWN_OUTCOMES = 10, 12, 40
HOLDINGS = (
    Column("rank", "rank"), Column("symbol", "ticker"), Column("leg", "leg"),
    Column("score", "ML score"), Column("composite", "algo score"),
    Column("weight", "weight"),
)  # fmt: skip
OUTCOMES = [
    ("month", "month", "text"), ("sector", "sector", "text"),
    ("status", "status", "text"), ("n_candidates", "candidates", "int"),
    ("n_valid", "valid", "int"), ("n_selected", "selected", "int"),
    ("reason", "reason", "text"),
]  # fmt: skip
LIVE = [
    ("rank", "rank", "int"), ("symbol", "ticker", "text"),
    ("percentile", "percentile", "percent"), ("signal", "signal", "number"),
    ("leg", "tail", "text"),
]  # fmt: skip


def prediction_section(
    selections: Sequence[Mapping[str, Any]],
    outcomes: pd.DataFrame,
    live: pd.DataFrame,
) -> Section:
    """Show the portfolios of the last month, every outcome, and the live ranking.

    Parameters
    ----------
    selections : sequence of mapping
        The document ``portfolio_selection``.
    outcomes : DataFrame
        The table ``batch_outcomes``.
    live : DataFrame
        The table ``live_ranking``.

    Returns
    -------
    Section
    """
    tables = [_portfolio(one) for one in latest(selections)[:SHOWN_PORTFOLIOS]]
    tables += [_outcomes(outcomes), *_live(live)]
    lead = _lead(outcomes)
    return Section(NAME, TITLE, lead, tuple(one for one in tables if one.rows))


def latest(selections: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Portfolios of the last month that has one."""
    made = [one for one in selections if one["selected_stocks"]]
    last = max((one["metadata"]["month"] for one in made), default="")
    return [one for one in made if one["metadata"]["month"] == last]


def _lead(outcomes: pd.DataFrame) -> str:
    counts = outcomes["status"].value_counts()
    lead = f"{int(counts.get('done', 0))} of {len(outcomes)} portfolios were made"
    others = {
        "no_candidates": "had no candidates",
        "failed": "failed",
        "in_sample": "were refused, because the model has seen their bars",
    }
    told = [f"{counts[name]} {text}" for name, text in others.items() if name in counts]
    lead = "; ".join([lead, *told]) + "." + _without_choice(outcomes)
    if (outcomes["source"] == "algorithmic_only").any():
        lead += f" {ALGORITHMIC[0].upper()}{ALGORITHMIC[1:]}."
    return lead


def _without_choice(outcomes: pd.DataFrame) -> str:
    """Say in how many portfolios there was nothing to choose: all candidates fit in."""
    held = outcomes["n_selected"]
    whole = int(((held > 0) & (held == outcomes["n_valid"])).sum())
    if not whole:
        return ""
    return (
        f" In {whole} of them every valid candidate is held, so that the scores chose no "
        "name: a smaller prediction.top_n, larger tails in candidate_selection or one "
        "portfolio over all sectors (prediction.per_sector false) leave a choice."
    )


def _portfolio(selection: Mapping[str, Any]) -> Table:
    return Table(
        selection_title(selection),
        HOLDINGS,
        tuple(tuple(row) for row in selection_rows(selection)),
        caption="Weights are shares of a leg, and no return is promised by a score.",
    )


def _outcomes(outcomes: pd.DataFrame) -> Table:
    """Count by month and sector; the last months where there are many."""
    shown = outcomes.tail(SHOWN_OUTCOMES)
    title = "Outcomes"
    if len(shown) < len(outcomes):
        title += f" (last {SHOWN_OUTCOMES} of {len(outcomes)})"
    return table_of(shown, title, OUTCOMES)


def _live(live: pd.DataFrame) -> list[Table]:
    """Both ends of the ranking at the last bar, and who is left out."""
    ranked = live[live["rank"].notna()]
    excluded = live[live["rank"].isna()]
    ends = pd.concat(
        [ranked.head(SHOWN_TAIL), ranked.iloc[SHOWN_TAIL:].tail(SHOWN_TAIL)]
    )
    caption = (
        f"{len(ranked)} symbols ranked, {len(excluded)} left out. The signal is the "
        "normal score of the rank, within ±3."
    )
    reasons = excluded.groupby(["excluded", "reason"]).size().rename("n").reset_index()
    columns = [("reason", "left out because", "text"), ("n", "symbols", "int")]
    return [
        table_of(ends, "Live ranking, both ends", LIVE, caption=caption),
        table_of(
            reasons.sort_values("n", ascending=False, kind="stable").head(SHOWN_TAIL),
            "Left out of the live ranking",
            columns,
        ),
    ]
