"""Prediction section: portfolios, outcomes and the live ranking in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.prediction_text import (
    ALGORITHMIC,
    selection_heads,
    selection_rows,
    selection_title,
)
from ranking_pipeline.evaluation.score_text import against_the_legs, model_foretold
from ranking_pipeline.evaluation.section import Column, Section, Table, table_of
from ranking_pipeline.wording import shortened

NAME, TITLE = "prediction", "Predicted portfolios"
SHOWN_TAIL, SHOWN_PORTFOLIOS, SHOWN_OUTCOMES = 10, 12, 40
HOLDINGS = ("rank", "symbol", "leg", "score", "composite", "weight")
OUTCOMES = [
    ("span", "months", "text"), ("sector", "sector", "text"),
    ("status", "status", "text"), ("n", "portfolios", "int"),
    ("n_candidates", "candidates", "number"), ("n_valid", "valid", "number"),
    ("n_selected", "selected", "number"), ("reason", "reason", "text"),
]  # fmt: skip
LEFT_OUT = [
    ("code", "code", "text"), ("n", "times", "int"), ("names", "names", "text"),
    ("case", "the latest", "text"),
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
    tables += [_outcomes(outcomes), _left_out(selections), *_live(live)]
    lead = _lead(outcomes) + model_foretold(selections)
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
        "in_sample": "refused, because the model has seen the bars",
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
        tuple(map(Column, HOLDINGS, selection_heads(selection))),
        tuple(tuple(row) for row in selection_rows(selection)),
        caption="Weights are shares of a leg, and no return is promised by a score. "
        + against_the_legs(selection),
    )


def _outcomes(outcomes: pd.DataFrame) -> Table:
    """One row for the months of a sector that fared alike, the last of them first."""
    # reasons of months that the model has seen differ in their as-of bars alone
    cause = outcomes["reason"].mask(outcomes["status"] == "in_sample", "")
    grouped = outcomes.groupby(["sector", "status", cause.rename("cause")], sort=False)
    rows = grouped.agg(
        first=("month", "min"), last=("month", "max"), n=("month", "size"),
        n_candidates=("n_candidates", "mean"), n_valid=("n_valid", "mean"),
        n_selected=("n_selected", "mean"), reason=("reason", "last"),
    ).reset_index()  # fmt: skip
    several = rows["first"] != rows["last"]
    rows["span"] = rows["first"].where(~several, rows["first"] + " to " + rows["last"])
    shown = rows.sort_values("last", ascending=False, kind="stable")
    title = "Outcomes"
    if len(shown) > SHOWN_OUTCOMES:
        title += f" (last {SHOWN_OUTCOMES} of {len(shown)})"
    caption = "Candidates, valid and selected ones are means of a portfolio."
    return table_of(shown.head(SHOWN_OUTCOMES), title, OUTCOMES, caption=caption)


def _left_out(selections: Sequence[Mapping[str, Any]]) -> Table:
    """Candidates that no portfolio holds for other reasons than their scores."""
    cases = pd.DataFrame(
        [
            (why["code"], name, f"{name}, {one['metadata']['month']}: {why['reason']}")
            for one in selections
            for name, why in one["metadata"]["exclusion_reasons"].items()
        ],
        columns=["code", "name", "case"],
    )
    rows = cases.groupby("code", as_index=False).agg(
        n=("name", "size"),
        names=("name", lambda own: shortened(sorted(set(own)), SHOWN_TAIL)),
        case=("case", "last"),
    )
    return table_of(rows, "Candidates left out", LEFT_OUT)


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
    at = f" at the close of {live['asof_date'].iloc[0]}" if len(live) else ""
    reasons = excluded.groupby(["excluded", "reason"]).size().rename("n").reset_index()
    columns = [("reason", "left out because", "text"), ("n", "symbols", "int")]
    return [
        table_of(ends, f"Live ranking{at}, both ends", LIVE, caption=caption),
        table_of(
            reasons.sort_values("n", ascending=False, kind="stable").head(SHOWN_TAIL),
            "Left out of the live ranking",
            columns,
        ),
    ]
