"""Nodes of the evaluation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

Document = dict[str, Any]


def evaluate(
    panel: PanelHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: Document,
    market_truth: pd.DataFrame,
    config: EvaluationConfig,
    *tables: Any,
) -> tuple[Any, ...]:
    """The key of this opening of the test split, metrics, and what is made of them.

    ``tables`` are models (frames) and predictions (handles) in turn.
    """
    from ranking_pipeline.evaluation.evaluation_section import evaluation_section
    from ranking_pipeline.evaluation.leaderboard import evaluate as measure
    from ranking_pipeline.evaluation.section import json_safe

    found = measure(
        predictions=[table.read() for table in tables[1::2]],
        models=list(tables[::2]),
        panel=panel.read(),
        labels=labels.read(),
        target_manifest=target_manifest,
        splits=splits,
        config=config,
        market_truth=market_truth,
    )
    return (
        panel.sha256,
        found.metrics,
        found.leaderboard,
        found.baseline_lags,
        found.ic_by_bar,
        found.books,
        found.decile_returns,
        found.paired,
        json_safe(found.summary),
        evaluation_section(found).to_dict(),
    )


def export_signal(
    leaderboard: pd.DataFrame,
    panel: PanelHandle,
    data_summary: Document,
    *tables: Any,
) -> pd.DataFrame:
    """Scores of the chosen row as a signal of qlib; ``tables`` as of :func:`evaluate`."""
    from ranking_pipeline.evaluation.qlib_signal import chosen_signal

    return chosen_signal(
        leaderboard,
        list(tables[::2]),
        [table.read() for table in tables[1::2]],
        panel.read(),
        interval=data_summary["interval"],
        timezone=data_summary["timezone"],
        bar_stamp=data_summary["bar_stamp"],
    )


def draw_figures(section: Document) -> tuple[Document, Document, Document]:
    """The section's figures on their own, for kedro-viz and notebooks."""
    ic, spread, deciles = (figure["figure"] for figure in section["figures"][:3])
    return ic, spread, deciles


def write_report(
    data_summary: Document,
    summary: Document,
    config: EvaluationConfig,
    evaluation: Document,
    *others: Any,
) -> str:
    """The page; ``others`` are the sections of stages, and the costs of their jobs."""
    from ranking_pipeline.evaluation.costs_section import costs_section
    from ranking_pipeline.evaluation.report import render_report
    from ranking_pipeline.evaluation.report_header import report_header
    from ranking_pipeline.evaluation.section import Section

    sections = [evaluation, *(other for other in others if isinstance(other, dict))]
    costs = [cost for other in others if isinstance(other, list) for cost in other]
    return render_report(
        report_header(data_summary, summary, config),
        [*map(Section.from_dict, sections), *([costs_section(costs)] if costs else [])],
    )
