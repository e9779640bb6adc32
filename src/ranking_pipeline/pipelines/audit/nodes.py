"""Nodes of the audit."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

# Kedro reads the types of parameters off the annotations, which must all exist.
from ranking_pipeline.audit.check import Check
from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.audit.report import LookaheadReport
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.config import RunConfig
from ranking_pipeline.data_config import DataPreparationConfig
from ranking_pipeline.pipelines.audit.config import LookaheadConfig
from ranking_pipeline.pipelines.audit.reruns import ProjectRecipe, rerun_checks
from ranking_pipeline.storage import PanelHandle

Document = dict[str, Any]


def audit_quickly(
    panel: PanelHandle,
    splits: Document,
    data: DataPreparationConfig,
    audit: LookaheadConfig,
) -> LookaheadReport:
    """The library on a small slice of the panel: part of every whole run."""
    return _audited(panel, splits, data, audit.quick)


def audit_fully(
    panel: PanelHandle,
    splits: Document,
    data: DataPreparationConfig,
    audit: LookaheadConfig,
) -> LookaheadReport:
    """The library on a larger slice, cut at every bar."""
    return _audited(panel, splits, data, audit.full)


def _audited(
    panel: PanelHandle,
    splits: Document,
    data: DataPreparationConfig,
    config: AuditConfig,
) -> LookaheadReport:
    from ranking_pipeline.audit import audit_panel
    from ranking_pipeline.audit.check import guarded
    from ranking_pipeline.audit.rules_check import rules_checks
    from ranking_pipeline.features.selection import selected_factors
    from ranking_pipeline.labels.grammar import parse_targets
    from ranking_pipeline.splits import Splits

    bars = panel.read()
    report = audit_panel(
        bars,
        selected_factors(data.features),
        parse_targets(data.labels.targets, data.interval, data.bars_per_session),
        data.labels,
        Splits.from_dict(splits).verify(bars.timestamps),
        config,
    )
    every = config.every_bar
    return report.extended(
        guarded("rules", rules_checks, data, config.seed, every=every)
    )


def ingest_again(
    source: BarSource,
    panel: PanelHandle,
    data: DataPreparationConfig,
    run: RunConfig,
    audit: LookaheadConfig,
) -> list[Check]:
    """The raw bars, read again up to earlier last dates: the panel before them."""
    from ranking_pipeline.audit.ingest_check import ingest_checks

    return ingest_checks(source, panel.read(), data, run.seed, audit.ingest_cuts)


def run_stages_again(
    recipe: ProjectRecipe,
    panel: PanelHandle,
    summary: Document,
    splits: Document,
    truth: pd.DataFrame,
) -> list[Check]:
    """All stages on bars with another future: decisions, models, scores, the choice."""
    with tempfile.TemporaryDirectory(prefix="ranking_pipeline_audit_") as folder:
        given = {"data_summary": summary, "market_truth": truth}
        return rerun_checks(recipe, panel.read(), given, splits, Path(folder))


def conclude_audit(
    report: LookaheadReport, *others: Sequence[Check]
) -> tuple[pd.DataFrame, Document, Document]:
    """The report as a table, and as a section with its figure."""
    from ranking_pipeline.audit import lookahead_section

    whole = report.extended([check for checks in others for check in checks])
    section = lookahead_section(whole)
    return whole.table(), section.to_dict(), section.first_figure()


def require_no_look_ahead(table: pd.DataFrame, audit: LookaheadConfig) -> None:
    """Stop the run where something sees the future, and that is asked for."""
    from ranking_pipeline.audit import LookaheadReport, require_clean
    from ranking_pipeline.audit.check import Check

    if audit.strict:
        rows = json.loads(table.to_json(orient="records"))
        checks = tuple(Check(**row) for row in rows)
        require_clean(LookaheadReport(checks, pd.DataFrame(), ""))
