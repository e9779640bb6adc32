"""Which factors a run uses, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ranking_pipeline.errors import UserError
from ranking_pipeline.features.config import FeaturesConfig
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.features.registry import Factor


def factor_names() -> list[str]:
    """List the registered factors in the order of their columns."""
    return list(FACTORS)


def find_factors(names: Sequence[str] | None) -> list[Factor]:
    """Find the named factors, or all of them for None.

    Raises
    ------
    UserError
        For unknown names (with the nearest known ones) and for names given twice.
    """
    if names is None:
        return list(FACTORS.values())
    unknown = [name for name in names if name not in FACTORS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], FACTORS, n=3) or list(FACTORS)
        raise UserError(
            f"features.factors: unknown factor {', '.join(map(repr, unknown))}; "
            f"the nearest known names are {', '.join(near)}"
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise UserError(f"features.factors: {', '.join(twice)} is listed twice")
    return [FACTORS[name] for name in names]


def selected_factors(config: FeaturesConfig) -> list[str]:
    """Choose the factors that the parameters ask for.

    Raises
    ------
    UserError
        For unknown names, or when nothing is left.
    """
    wanted = find_factors(None if config.factors == ["all"] else config.factors)
    find_factors(config.exclude)
    names = [
        factor.name
        for factor in wanted
        if factor.name not in config.exclude
        and factor.lookback_bars <= config.max_lookback_bars
    ]
    if not names:
        raise UserError(
            "features: exclude and max_lookback_bars leave no factor; "
            f"the shortest look-back asked for is "
            f"{min(factor.lookback_bars for factor in wanted)} bars"
        )
    return names
