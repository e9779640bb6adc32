"""Prediction text: portfolios as tables for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.console import fixed_width
from ranking_pipeline.evaluation.formats import format_cell
from ranking_pipeline.evaluation.score_text import against_the_legs
from ranking_pipeline.portfolio.candidates.sectors import ALL
from ranking_pipeline.routing.markdown import table

HEADS = ("rank", "ticker", "leg", "ML score", "algo score", "weight")
STAND_IN = "composite for ML score"
ALGORITHMIC = "algorithmic_only: no model took part, scores are composite scores"
Document = Mapping[str, Any]


def selection_heads(selection: Document) -> tuple[str, ...]:
    """``HEADS``; a composite score is not called that of a model."""
    stands_in = selection["source"] == "algorithmic_only"
    return tuple(STAND_IN if stands_in and h == "ML score" else h for h in HEADS)


def selection_rows(selection: Document) -> list[list[str]]:
    """Cells of a portfolio, one row per name, as ``HEADS``."""
    rows, ranks = [], {"long": 0, "short": 0}
    pairs = zip(
        selection["selected_stocks"], selection["predicted_scores"], strict=True
    )
    for symbol, score in pairs:
        leg = selection["legs"][symbol]
        ranks[leg] += 1
        weight = selection["portfolio_weights"][symbol]
        rows.append(
            [
                str(ranks[leg]),
                symbol,
                leg,
                _number(score, ".4g"),
                _number(selection["composite_scores"][symbol], ".4f"),
                format_cell(weight, "percent"),
            ]
        )
    return rows


def _number(value: float, spec: str) -> str:
    return format(value, spec).replace("-", "−")


def selection_title(selection: Document) -> str:
    """One line: sector, month, the day of the decision, and the model."""
    meta = selection["metadata"]
    sectors = "All sectors" if meta["sector"] == ALL else meta["sector"]
    title = f"{sectors}, {meta['month']}"
    if meta["asof_date"]:
        title += f", decided at the close of {meta['asof_date']}"
    if selection["status"] != "done":
        return f"{title}: no candidates"
    count = f"{meta['valid_stocks']} of {meta['num_candidates']} candidates valid"
    return f"{title}; {count}; {meta['model_version'] or ALGORITHMIC}"


def selection_text(selection: Document) -> str:
    """Write a portfolio for a terminal."""
    rows = selection_rows(selection)
    title = selection_title(selection)
    if not rows:
        return title
    text = fixed_width(selection_heads(selection), rows, n_left=3)
    told = (title, text, against_the_legs(selection))
    return "\n".join(part for part in told if part)


def selections_markdown(selections: Sequence[Document], outcomes: pd.DataFrame) -> str:
    """Write all portfolios as a page of Markdown, and what became of the others."""
    lines = ["# Portfolio selection", ""]
    for selection in selections:
        lines += [f"## {selection_title(selection)}", ""]
        if selection["selected_stocks"]:
            lines += [*table(selection_heads(selection), selection_rows(selection)), ""]
            against = against_the_legs(selection)
            lines += [against, ""] if against else []
        if selection["metadata"]["excluded_stocks"]:
            lines += [_excluded(selection), ""]
    wrong = outcomes[outcomes["reason"] != ""]
    if len(wrong):
        heads = ["month", "sector", "status", "reason"]
        lines += [
            "## Not predicted",
            "",
            *table(heads, wrong[heads].values.tolist()),
            "",
        ]
    return "\n".join(lines)


def _excluded(selection: Document) -> str:
    reasons = selection["metadata"]["exclusion_reasons"]
    told = "; ".join(f"{name}: {why['reason']}" for name, why in reasons.items())
    return f"Excluded: {told}."
