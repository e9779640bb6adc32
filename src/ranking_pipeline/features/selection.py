"""Which factors a run uses: names of factors, of sets, and of coarser bars."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from ranking_pipeline.errors import UserError
from ranking_pipeline.features.config import FeaturesConfig
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.features.registry import Factor
from ranking_pipeline.features.sets import ALPHA158, SETS
from ranking_pipeline.features.timeframes import parse_name


def factor_names(of: str = "all") -> list[str]:
    """List the factors of a named set in the order of their columns.

    Raises
    ------
    UserError
        For an unknown set.
    """
    if of not in SETS:
        raise UserError(f"features.factors: no set {of!r}; there are {', '.join(SETS)}")
    if of == "all":
        return list(FACTORS)
    if of == "alpha158":
        return list(ALPHA158.values())
    return [name for name, factor in FACTORS.items() if of in factor.sets]


def find_factors(names: Sequence[str] | None) -> list[Factor]:
    """Find the named factors, or all of them for None.

    Parameters
    ----------
    names : sequence of str, optional
        ``ret_5``; ``ret_5@1h`` is the same of bars of one hour.

    Raises
    ------
    UserError
        For unknown names (with the nearest known ones) and for names given twice.
    """
    if names is None:
        return list(FACTORS.values())
    parts = [parse_name(name) for name in names]
    unknown = [base for base, _ in parts if base not in FACTORS]
    if unknown:
        known = [*FACTORS, *SETS]
        near = difflib.get_close_matches(unknown[0], known, n=3) or list(SETS)
        raise UserError(
            f"features.factors: unknown factor {', '.join(map(repr, unknown))}; "
            f"the nearest known names are {', '.join(near)}"
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise UserError(f"features.factors: {', '.join(twice)} is listed twice")
    return [
        _coarse(FACTORS[base], name, interval) if interval else FACTORS[base]
        for name, (base, interval) in zip(names, parts, strict=True)
    ]


def _coarse(factor: Factor, name: str, interval: str) -> Factor:
    formula = f"{factor.formula}, of bars of {interval}"
    return replace(factor, name=name, formula=formula, interval=interval, bases=())


def sets_of(factors: Sequence[Factor]) -> list[list[str]]:
    """List the named sets that hold each factor, without ``all``."""
    members = {name: set(factor_names(name)) for name in SETS if name != "all"}
    bases = [parse_name(factor.name)[0] for factor in factors]
    return [[name for name in members if base in members[name]] for base in bases]


def expand_names(names: Sequence[str]) -> list[str]:
    """Replace the names of sets by those of their factors, each of them once.

    A factor keeps its first place; a set may overlap with other sets and with factors
    that are named beside it. ``alpha158@1h`` is the set of bars of one hour.
    """
    expanded: dict[str, None] = {}
    for name in names:
        base, interval = parse_name(name)
        members = factor_names(base) if base in SETS else [base]
        suffix = f"@{interval}" if interval else ""
        expanded.update(dict.fromkeys(member + suffix for member in members))
    return list(expanded)


def selected_factors(config: FeaturesConfig) -> list[str]:
    """Choose the factors that the parameters ask for.

    Raises
    ------
    UserError
        For unknown names, for names listed twice, or when nothing is left.
    """
    find_factors([name for name in config.factors if parse_name(name)[0] not in SETS])
    wanted = find_factors(expand_names(config.factors))
    excluded = expand_names(config.exclude)
    find_factors(excluded)
    names = [
        factor.name
        for factor in wanted
        if factor.name not in excluded
        and factor.lookback_bars <= config.max_lookback_bars
    ]
    if not names:
        raise UserError(
            "features: exclude and max_lookback_bars leave no factor; "
            f"the shortest look-back asked for is "
            f"{min(factor.lookback_bars for factor in wanted)} bars"
        )
    return names
