"""Nodes of the prediction."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

log = logging.getLogger(__name__)


def predict_portfolios(
    sector_candidates: pd.DataFrame,
    panel: PanelHandle,
    features: TableHandle,
    config: PredictionConfig,
    registry: str,
    lag_bars: int,
    *promoted: dict[str, Any],
) -> tuple[Any, ...]:
    """Portfolios as documents and as rows, outcomes, the live ranking, and files.

    ``promoted`` only says that the model was promoted before.
    """
    from ranking_pipeline.portfolio import prediction_tables as tables
    from ranking_pipeline.portfolio.predicted_months import predict_months
    from ranking_pipeline.portfolio.served_model import scorer_of, served_model

    model = served_model(Path(registry), config)
    found = predict_months(sector_candidates, panel.read(), features, model, config)
    scorer = scorer_of(model, lag_bars)
    return (
        [one.to_document(scorer) for one in found.selections],
        tables.batch_table(found.selections, scorer),
        tables.flat_results(found.selections, scorer),
        tables.outcome_table(found.outcomes, scorer),
        found.live,
        tables.month_files(found.outcomes, scorer) if config.save else {},
    )


def show_portfolios(
    portfolio_selection: list[dict[str, Any]],
    batch_outcomes: pd.DataFrame,
    live_ranking: pd.DataFrame,
) -> tuple[dict[str, Any], str]:
    """The section, the page of Markdown, and the last month's tables in the log."""
    from ranking_pipeline.evaluation.prediction_section import (
        latest,
        prediction_section,
    )
    from ranking_pipeline.evaluation.prediction_text import (
        selection_text,
        selections_markdown,
    )

    for selection in latest(portfolio_selection):
        log.info("%s\n", selection_text(selection))
    section = prediction_section(portfolio_selection, batch_outcomes, live_ranking)
    log.info("%s", section.lead)
    page = selections_markdown(portfolio_selection, batch_outcomes)
    return section.to_dict(), page
