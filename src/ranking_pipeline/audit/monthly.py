"""Monthly audit: candidates, portfolios and their books under other futures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ranking_pipeline.audit.book_checks import CHECK as BOOK_CHECK
from ranking_pipeline.audit.book_checks import book_checks
from ranking_pipeline.audit.candidate_checks import (
    CHECK as CANDIDATE_CHECK,
)
from ranking_pipeline.audit.candidate_checks import (
    GARCH_CHECK,
    candidate_checks,
    garch_checks,
)
from ranking_pipeline.audit.check import NOT_COVERED, Check, guarded
from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.learned import World
from ranking_pipeline.audit.month_world import Bars, MonthWorld
from ranking_pipeline.audit.portfolio_checks import CHECK as PORTFOLIO_CHECK
from ranking_pipeline.audit.portfolio_checks import (
    PortfolioWorld,
    TrainedModel,
    portfolio_checks,
)
from ranking_pipeline.audit.slices import (
    TRAIN_SHARE,
    VALIDATION_SHARE,
    evenly,
    sector_slice,
    spread,
    with_symbols,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.labels import LabelsConfig, TargetSpec
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.months import refuse_other_intervals
from ranking_pipeline.splits import Splits, make_splits

MODEL_FACTORS = 8
CLAIMS = (CANDIDATE_CHECK, GARCH_CHECK, PORTFOLIO_CHECK, BOOK_CHECK)


def monthly_checks(
    panel: Panel,
    splits: Splits,
    factor_names: Sequence[str],
    spec: TargetSpec | None,
    labels_config: LabelsConfig,
    config: AuditConfig,
) -> list[Check]:
    """Check the stages that work by the month, on the names of two sectors.

    Parameters
    ----------
    panel : Panel
        All bars.
    splits : Splits
        Made for it.
    factor_names : sequence of str
        What the scoring model learns from, a few of them.
    spec : TargetSpec or None
        What it learns; None, or no model family, lets the composite score choose.
    labels_config : LabelsConfig
    config : AuditConfig

    Returns
    -------
    list of Check
        On bars that are not daily, or too few of them, rows that say so.
    """
    if not config.month_cuts:
        return []
    try:
        refuse_other_intervals(panel)
    except UserError:
        return _without("not applicable: candidates are chosen on daily bars alone")
    part, own_sectors = sector_slice(panel, splits, config)
    world = MonthWorld(part)
    try:
        asof = _asof_bars(world)
    except UserError as error:
        return _without(str(error))
    cuts = world.cuts(asof, config.month_cuts)
    if not cuts:
        return _without(f"no bar follows a month end in {part.n_bars} bars")
    modes, ways, seed = config.modes, config.modes_at_a_cut, config.seed
    portfolios = PortfolioWorld(
        world, _model(part, factor_names, spec, labels_config, config)
    )
    found = guarded("candidates", candidate_checks, world, cuts, modes, ways, seed)
    found += guarded("volatility", _garch_checks, part, asof, config)
    found += guarded(
        "prediction", portfolio_checks, portfolios, cuts, modes, ways, seed
    )
    lag = labels_config.entry_lag_bars
    # who scores is of no account to the way from weights to returns
    books = PortfolioWorld(world, None)
    found += guarded("backtest", book_checks, books, cuts, modes, ways, lag, seed)
    return found if own_sectors else [_made_up(check) for check in found]


def _asof_bars(world: MonthWorld) -> Bars:
    """As-of bars of the months that have candidates."""
    months = world.selected(world.panel).candidates["month"]
    return np.unique(world.asof_bars(months))


def _model(
    part: Panel,
    names: Sequence[str],
    spec: TargetSpec | None,
    labels_config: LabelsConfig,
    config: AuditConfig,
) -> TrainedModel | None:
    if spec is None or not config.families:
        return None
    family = next(iter(config.families))
    kept = spread(np.arange(len(names)), MODEL_FACTORS)
    world = World(
        part,
        make_splits(part.timestamps, TRAIN_SHARE, VALIDATION_SHARE, 0),
        tuple(names[place] for place in kept),
        spec,
        labels_config,
        {family: config.families[family]},
        False,
        config.seed,
    )
    return TrainedModel(world, family)


def _garch_checks(part: Panel, asof: Bars, config: AuditConfig) -> list[Check]:
    """Fit a few names of one sector after the other, at a few late cuts."""
    if not config.garch_symbols:
        return []
    order = np.argsort(part.sectors[:, part.n_bars // 2], kind="stable")
    kept = np.sort(order[: max(2, config.garch_symbols)])
    world = MonthWorld(with_symbols(part, kept), garch=True)
    late = [Cut(int(bar), "month end") for bar in asof if bar < part.n_bars - 1]
    late = evenly(late[len(late) // 2 :], config.garch_cuts)
    return garch_checks(world, late, config.modes, config.modes_at_a_cut, config.seed)


def _made_up(check: Check) -> Check:
    return replace(check, what=f"{check.what}; two made-up sectors")


def _without(reason: str) -> list[Check]:
    return [
        Check(claim, "monthly stages", "cells", 0, 0, worst=reason, verdict=NOT_COVERED)
        for claim in CLAIMS
    ]
