"""Monthly audit: candidates, portfolios and their books under other futures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

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
from ranking_pipeline.audit.month_world import SCORINGS, Bars, MonthWorld
from ranking_pipeline.audit.portfolio_checks import CHECK as PORTFOLIO_CHECK
from ranking_pipeline.audit.portfolio_checks import (
    PortfolioWorld,
    portfolio_checks,
    prediction_config,
)
from ranking_pipeline.audit.promoted_model import promoted_version
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
from ranking_pipeline.portfolio.optimisers import require_optimiser
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
    how = (config.modes, config.modes_at_a_cut)
    found = []
    for scoring in SCORINGS:
        scored = replace(world, scoring=scoring)
        found += guarded(
            "candidates", candidate_checks, scored, cuts, *how, config.seed
        )
    found += guarded("volatility", _garch_checks, part, asof, config)
    learned = _learned(part, factor_names, spec, labels_config, config)
    found += guarded("prediction", _prediction_checks, world, learned, cuts, config)
    found += guarded("optimisers", _optimiser_checks, world, cuts, config)
    # who scores is of no account to the way from weights to returns
    books, lag = PortfolioWorld(world, None), labels_config.entry_lag_bars
    found += guarded("backtest", book_checks, books, cuts, *how, lag, config.seed)
    return found if own_sectors else [_made_up(check) for check in found]


def _asof_bars(world: MonthWorld) -> Bars:
    """As-of bars of the months that have candidates."""
    months = world.selected(world.panel).candidates["month"]
    return np.unique(world.asof_bars(months))


def _learned(
    part: Panel,
    names: Sequence[str],
    spec: TargetSpec | None,
    labels_config: LabelsConfig,
    config: AuditConfig,
) -> World | None:
    """What the scoring model learns; its family is the only one."""
    if spec is None or not config.families:
        return None
    family = next(iter(config.families))
    kept = spread(np.arange(len(names)), MODEL_FACTORS)
    return World(
        part,
        make_splits(part.timestamps, TRAIN_SHARE, VALIDATION_SHARE, 0),
        tuple(names[place] for place in kept),
        spec,
        labels_config,
        {family: config.families[family]},
        False,
        config.seed,
    )


def _prediction_checks(
    world: MonthWorld, learned: World | None, cuts: Sequence[Cut], config: AuditConfig
) -> list[Check]:
    """Predict by a model that is promoted for this, or by the composite score."""
    how = (cuts, config.modes, config.modes_at_a_cut, config.seed)
    if learned is None:
        return portfolio_checks(PortfolioWorld(world, None), *how)
    with TemporaryDirectory(prefix="audit-") as folder:
        (family,) = learned.families
        model = promoted_version(learned, family, Path(folder))
        return portfolio_checks(PortfolioWorld(world, model), *how)


def _optimiser_checks(
    world: MonthWorld, cuts: Sequence[Cut], config: AuditConfig
) -> list[Check]:
    """Compare weights of optimisers at a few late cuts; composite scores choose."""
    methods = tuple(config.optimisers)
    if not methods:
        return []
    month = str(world.panel.trading_dates[-1].astype("M8[M]"))
    try:
        require_optimiser(prediction_config(methods[0], [month]).weighting)
    except UserError as error:
        return [_not_covered(PORTFOLIO_CHECK, ", ".join(methods), str(error))]
    late = evenly(cuts[len(cuts) // 2 :], config.optimiser_cuts)
    chosen = PortfolioWorld(world, None, methods)
    return portfolio_checks(
        chosen, late, config.modes, config.modes_at_a_cut, config.seed
    )


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
    return [_not_covered(claim, "monthly stages", reason) for claim in CLAIMS]


def _not_covered(claim: str, what: str, reason: str) -> Check:
    return Check(claim, what, "cells", 0, 0, worst=reason, verdict=NOT_COVERED)
