"""Cautions: what the portfolios of a run hide from one who reads only their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ranking_pipeline.evaluation.formats import percent
from ranking_pipeline.portfolio.month_outcomes import Outcome
from ranking_pipeline.portfolio.prediction_config import WeightingConfig
from ranking_pipeline.portfolio.selection import PortfolioSelection
from ranking_pipeline.wording import counted, shortened

_SHOWN = 5
# Shares of sectors that differ by less are equal but for rounding.
_UNEVEN = 1e-6


def told_left_out(outcomes: Sequence[Outcome]) -> list[str]:
    """Name the candidates that were left out of portfolios, once for each reason."""
    names = dict[str, dict[str, None]]()
    found = dict[str, list[tuple[str, str]]]()
    for one in outcomes:
        for name, why in one.selection.excluded.items():
            names.setdefault(why.code, {})[name] = None
            found.setdefault(why.code, []).append(
                (one.month, f"{name}: {why.sentence}")
            )
    return [
        f"{counted(len(names[code]), 'candidate')} left out as {code}, "
        f"{counted(len(cases), 'time')} ({shortened(list(names[code]), _SHOWN)}); "
        f"in {cases[-1][0]} {cases[-1][1]}"
        for code, cases in found.items()
    ]


def told_uneven_sectors(
    outcomes: Sequence[Outcome], candidates: pd.DataFrame, how: WeightingConfig
) -> str:
    """Say where the cap keeps sectors from the equal shares that were asked for.

    Parameters
    ----------
    outcomes : sequence of Outcome
    candidates : DataFrame
        The table ``sector_candidates``.
    how : WeightingConfig

    Returns
    -------
    str
        Empty where every leg gives its sectors the same share.
    """
    if not how.sector_neutral or how.max_weight is None:
        return ""
    keys = ["month", "symbol"]
    sectors = candidates.astype(dict.fromkeys(keys, str)).set_index(keys)["sector"]
    known = {key: str(name) for key, name in sectors.items()}
    legs = [
        (f"{leg} leg of {one.month}", shares)
        for one in outcomes
        for leg, shares in _sector_shares(one.selection, known).items()
    ]
    uneven = [
        (name, min(shares.values()), max(shares.values()))
        for name, shares in legs
        if max(shares.values()) - min(shares.values()) > _UNEVEN
    ]
    if not uneven:
        return ""
    name, least, most = uneven[-1]
    return (
        f"prediction.weighting.max_weight {how.max_weight:g} keeps the sectors of "
        f"{len(uneven)} of {counted(len(legs), 'leg')} from equal shares: a sector of "
        f"the {name} gets {percent(least)}, another {percent(most)}. Raise it, or "
        "prediction.top_n, or set sector_neutral false"
    )


def _sector_shares(
    selection: PortfolioSelection, sectors: Mapping[object, str]
) -> dict[str, dict[str, float]]:
    """Leg -> sector -> its share of the leg's capital."""
    found = dict[str, dict[str, float]]()
    for held in selection.holdings:
        shares = found.setdefault(held.leg, {})
        sector = sectors[selection.month, held.symbol]
        shares[sector] = shares.get(sector, 0.0) + abs(held.weight)
    return found
