"""Nodes of candidate selection."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.storage import PanelHandle

log = logging.getLogger(__name__)


def select_candidates(
    panel: PanelHandle,
    config: CandidateSelectionConfig,
    jobs: JobsConfig,
    cache: CacheConfig,
) -> tuple[Any, ...]:
    """Indicators, candidates, what became of each sector, and the costs."""
    from ranking_pipeline.portfolio.candidates.selection import select_candidates
    from ranking_pipeline.portfolio.candidates.volatility import VolatilityOverWorkers

    measure = VolatilityOverWorkers(panel, config.volatility, jobs, cache)
    made = select_candidates(panel.read(), config, measure)
    costs = [measure.costs.to_dict()]
    return made.indicators, made.candidates, made.outcomes, costs


def summarise_candidates(
    indicators: pd.DataFrame, candidates: pd.DataFrame, outcomes: pd.DataFrame
) -> tuple[dict[str, Any], ...]:
    """The report's section on the candidates, and its figures."""
    from ranking_pipeline.evaluation.candidate_cautions import cautions
    from ranking_pipeline.evaluation.candidate_section import (
        candidate_section,
        candidate_summary,
        count_figure,
        coverage_figure,
    )
    from ranking_pipeline.evaluation.section import json_safe

    log.info("%s", candidate_summary(indicators, candidates))
    for caution in cautions(indicators, outcomes):
        log.warning("%s", caution)
    plain = candidate_section(indicators, candidates, outcomes).to_dict()
    figures = coverage_figure(outcomes), count_figure(candidates)
    return plain, *map(json_safe, figures)
