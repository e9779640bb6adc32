"""Applicability: whether a universe has cross-sections that a network can learn."""

from __future__ import annotations

from ranking_pipeline.errors import UserError
from ranking_pipeline.pipelines.cs_ranking.config import CsRankingConfig


def why_not(n_symbols: int, config: CsRankingConfig) -> str:
    """Say why no network is trained on a universe of ``n_symbols``; "" where one is."""
    if not config.enabled:
        return "cs_ranking.enabled is false"
    fewest = config.batching.min_symbols_per_timestamp
    if n_symbols >= fewest:
        return ""
    return (
        f"not applicable, since the bars hold {n_symbols} symbol"
        f"{'' if n_symbols == 1 else 's'}, and a bar of fewer than {fewest} "
        "(cs_ranking.batching.min_symbols_per_timestamp) has no cross-section to learn"
    )


def ranked_targets(n_symbols: int, config: CsRankingConfig) -> list[str]:
    """Targets for which a network is trained: none where there is no cross-section."""
    return [] if why_not(n_symbols, config) else config.ranked_targets


def require_cross_sections(n_symbols: int, config: CsRankingConfig) -> None:
    """Refuse a universe that has no cross-sections.

    Raises
    ------
    UserError
        Where the network is wanted and the symbols are too few.
    """
    reason = why_not(n_symbols, config)
    if config.enabled and reason:
        raise UserError(
            f"the ranking network: {reason}. Give more symbols in data.source or "
            "data.symbols, lower that number, or run the whole job or "
            "--pipelines=plan,train, which look at few symbols over time"
        )
