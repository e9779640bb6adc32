"""The head of the report: what was run on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranking_pipeline.evaluation.config import EvaluationConfig

MARKETS = {"simulated": "Simulated market with a planted signal"}


def report_header(
    data_summary: Mapping[str, Any],
    summary: Mapping[str, Any],
    config: EvaluationConfig,
) -> dict[str, Any]:
    """Collect the title and the facts of a run.

    Parameters
    ----------
    data_summary : mapping
        The document ``data_summary``.
    summary : mapping
        ``Evaluation.summary``.
    config : EvaluationConfig

    Returns
    -------
    dict
        ``title``, ``subtitle``, ``facts`` and ``summary``; see
        :func:`ranking_pipeline.evaluation.report.render_report`. No path and no clock.
    """
    source = str(data_summary["source"])
    first, last = (str(data_summary[key])[:10] for key in ("first", "last"))
    return {
        "title": "Cross-sectional ranking report",
        "subtitle": f"{MARKETS.get(source, source)}, {first} to {last}",
        "facts": {
            "Symbols": f"{data_summary['n_symbols']:,}",
            "Bars": f"{data_summary['n_bars']:,} of {data_summary['interval']}",
            "Rows in": f"{data_summary['rows_in']:,}",
            "Repaired": f"{data_summary['rows_repaired']:,}",
            "Quarantined": f"{data_summary['rows_quarantined']:,}",
            "Primary target": config.primary_target,
            "Costs": f"{config.cost_bps_per_side:g} bps per side",
        },
        "summary": summary,
    }
