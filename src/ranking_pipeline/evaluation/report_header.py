"""The head of the report: what was run on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranking_pipeline.errors import UserError
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
    first, last = trading_dates(data_summary)
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


def trading_dates(data_summary: Mapping[str, Any]) -> tuple[str, str]:
    """First and last trading date of the bars at their exchange.

    Raises
    ------
    UserError
        The summary was written without them.
    """
    try:
        return str(data_summary["first_date"]), str(data_summary["last_date"])
    except KeyError as error:
        raise UserError(
            f"data_summary has no {error}: an earlier version wrote it. Run "
            "`kedro run --pipelines=data_preparation` again."
        ) from None


def data_warnings(data_summary: Mapping[str, Any]) -> list[str]:
    """Sentences on members that the bars lack, and on dates without any."""
    # a simulated market has all names that it ever had
    if data_summary.get("source") in MARKETS:
        return []
    found = data_summary.get("survivorship") or {}
    return [found[key] for key in ("warning", "without_members") if found.get(key)]
