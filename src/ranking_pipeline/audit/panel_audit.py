"""Panel audit: all checks on one slice of a panel, in one report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.check import (
    CAUGHT,
    CLEAN,
    LOOKS_AHEAD,
    MISSED,
    NOT_COVERED,
    Check,
    check_of,
    guarded,
)
from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.audit.cuts import Cut, cuts
from ranking_pipeline.audit.example_market import example_market
from ranking_pipeline.audit.execution import execution_checks
from ranking_pipeline.audit.feature_checks import audit_features, feature_checks
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.label_checks import AFTER_CHECK, label_checks
from ranking_pipeline.audit.learned import World, learned_checks
from ranking_pipeline.audit.lookahead import audit_function
from ranking_pipeline.audit.monthly import monthly_checks
from ranking_pipeline.audit.planted import HONEST, PLANTED
from ranking_pipeline.audit.planted_stages import HONEST_STAGES, PLANTED_STAGES
from ranking_pipeline.audit.probe import stacked
from ranking_pipeline.audit.purging import CHECK as PURGE_CHECK
from ranking_pipeline.audit.purging import check_blocks, check_folds
from ranking_pipeline.audit.report import (
    FEATURES_CHECK,
    HONEST_CHECK,
    PLANTED_CHECK,
    LookaheadReport,
)
from ranking_pipeline.audit.slices import (
    TRAIN_SHARE,
    VALIDATION_SHARE,
    audited_slice,
    evenly,
    spread,
    thinned,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.features import compute_features
from ranking_pipeline.labels import LabelsConfig, TargetSpec
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.selection.problem import Problem
from ranking_pipeline.splits import Splits, make_splits

N_FOLDS = 3
LEAST_EMBARGO = 1
MOST_FACTORS = 40  # of the small models: what they learn from does not matter
EXAMPLE_CUTS, EXAMPLE_RANDOM_CUTS = 24, 4


def audit_panel(
    panel: Panel,
    factor_names: Sequence[str],
    target_specs: Sequence[TargetSpec],
    labels_config: LabelsConfig,
    splits: Splits,
    config: AuditConfig,
) -> LookaheadReport:
    """Audit the library on the user's own bars.

    Parameters
    ----------
    panel : Panel
    factor_names : sequence of str
        Factors of the run.
    target_specs : sequence of TargetSpec
    labels_config : LabelsConfig
    splits : Splits
        Made for the panel.
    config : AuditConfig

    Returns
    -------
    LookaheadReport
        A look-ahead is a finding in the report, not an error; see
        :func:`~ranking_pipeline.audit.report.require_clean`.
    """
    part, part_splits = audited_slice(panel, splits, config)
    chosen = cuts(
        part,
        part_splits,
        config.random_cuts,
        config.seed,
        every=config.every_bar,
        at_most=config.event_cuts,
    )
    few = evenly(chosen, config.label_cuts)
    names, seed = list(factor_names), config.seed
    specs = [spec for spec in target_specs if _fits(spec, part, labels_config)]
    modes, ways = config.modes, config.modes_at_a_cut
    checks = guarded(
        "features",
        feature_checks,
        part,
        names,
        chosen,
        modes,
        ways,
        config.warm_up_cuts,
        seed,
    )
    checks += guarded("features", _rest_of_features, panel, part, names, config)
    checks += [_too_long(spec) for spec in target_specs if spec not in specs]
    if specs:
        checks += guarded(
            "labels", label_checks, part, specs, labels_config, few, modes, ways, seed
        )
        checks += guarded(
            "splits", _purge_checks, part, part_splits, specs, labels_config
        )
    lag = labels_config.entry_lag_bars
    checks += guarded("backtest", execution_checks, part, few, modes, lag, seed)
    checks += guarded(
        "models", _learned, part, part_splits, names, specs, labels_config, config
    )
    checks += guarded(
        "monthly stages",
        monthly_checks,
        panel,
        splits,
        names,
        _shortest_return(specs),
        labels_config,
        config,
    )
    planted, shares = planted_checks(seed) if config.planted else ([], pd.DataFrame())
    scope = (
        f"Audited were {part.n_symbols} of {panel.n_symbols} symbols and {part.n_bars} "
        f"of {panel.n_bars} bars, {part.trading_dates[0]} to "
        f"{part.trading_dates[-1]}, with {len(names)} factors and {len(specs)} "
        "targets."
    )
    return LookaheadReport((*checks, *planted), shares, scope)


def _rest_of_features(
    panel: Panel, part: Panel, names: Sequence[str], config: AuditConfig
) -> list[Check]:
    """Check the factors that have no value in the slice on more, but thinner, sessions.

    Cells that are missing in every run are equal and prove nothing. What has no value
    there either is named as not covered.
    """
    idle = _without_value(part, names)
    thin = thinned(panel, part, config.bars) if idle else part
    without = set(_without_value(thin, idle)) if thin is not part else set(idle)
    rest = [name for name in idle if name not in without]
    checks = []
    if rest:
        events = config.event_cuts
        chosen = cuts(thin, None, config.random_cuts, config.seed, at_most=events)
        modes, ways = config.modes, config.modes_at_a_cut
        result = audit_features(thin, rest, chosen, modes, ways, config.seed)
        what = f"{len(rest)} factors of many sessions, each thinned out"
        checks.append(check_of(FEATURES_CHECK, what, result))
    if without:
        reason = f"no value in {part.n_bars} bars; raise audit.bars"
        what = ", ".join(sorted(without))
        checks.append(_not_covered(FEATURES_CHECK, what, "cells", reason))
    return checks


def _without_value(panel: Panel, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    values = np.isfinite(compute_features(panel, names)).reshape(-1, len(names))
    return [name for place, name in enumerate(names) if not values[:, place].any()]


def _fits(spec: TargetSpec, panel: Panel, config: LabelsConfig) -> bool:
    """Whether the slice is long enough to hold windows before, at and after a cut."""
    return 3 * (config.entry_lag_bars + spec.horizon_bars) <= panel.n_bars


def _too_long(spec: TargetSpec) -> Check:
    reason = f"a horizon of {spec.horizon_bars} bars needs a longer slice"
    return _not_covered(AFTER_CHECK, spec.name, "cells", reason)


def _not_covered(check: str, what: str, unit: str, reason: str) -> Check:
    return Check(check, what, unit, 0, 0, worst=reason, verdict=NOT_COVERED)


def _purge_checks(
    panel: Panel, splits: Splits, specs: Sequence[TargetSpec], config: LabelsConfig
) -> list[Check]:
    """Check blocks and folds of each horizon, over all tradable cells.

    Without an embargo nothing would show that one is kept: at least one bar is asked
    for here.
    """
    bars, symbols = panel.rows()
    embargo = max(splits.embargo_bars, LEAST_EMBARGO)
    splits = make_splits(panel.timestamps, TRAIN_SHARE, VALIDATION_SHARE, embargo)
    found = []
    for horizon in sorted({spec.horizon_bars for spec in specs}):
        ends = bars + config.entry_lag_bars + horizon
        ends = np.where(ends < panel.n_bars, ends, -1)
        found.append(check_blocks(splits, bars, ends, f"blocks, {horizon} bars"))
        train = np.flatnonzero(splits.mask("train", bars, ends))
        what = f"folds, {horizon} bars"
        try:
            rows = (bars[train], symbols[train], ends[train])
            problem = _problem(panel, *rows, config.entry_lag_bars, horizon, embargo)
            folds = problem.folds(N_FOLDS) + problem.two_sided_folds(N_FOLDS)
        except UserError as error:  # too few bars for this horizon: nothing to compare
            found.append(_not_covered(PURGE_CHECK, what, "pairs", str(error)))
            continue
        found.append(check_folds(folds, bars[train], ends[train], embargo, what))
    return found


def _problem(
    panel: Panel,
    bars: npt.NDArray[np.intp],
    symbols: npt.NDArray[np.intp],
    ends: npt.NDArray[np.intp],
    lag_bars: int,
    horizon_bars: int,
    embargo_bars: int,
) -> Problem:
    """The rows as the stages that select and route see them; only folds are asked."""
    nothing = np.zeros(len(bars), dtype=np.float32)
    empty = nothing[:, None][:, :0]
    samples = Samples(panel, bars, symbols, empty, (), nothing, ends, "regression")
    return Problem(
        target="",
        task="regression",
        kind="forward_return",
        horizon_bars=horizon_bars,
        entry_lag_bars=lag_bars,
        samples=samples,
        outcome=nothing.astype(np.float64),
        ranks=empty,
        n_cells=len(bars),
        embargo_bars=embargo_bars,
        min_symbols=1,
        min_per_class=1,
    )


def _learned(
    panel: Panel,
    splits: Splits,
    names: Sequence[str],
    specs: Sequence[TargetSpec],
    labels_config: LabelsConfig,
    config: AuditConfig,
) -> list[Check]:
    shortest = _shortest_return(specs)
    if shortest is None or not (config.families or config.network):
        return []
    world = World(
        panel,
        splits,
        tuple(names[place] for place in spread(np.arange(len(names)), MOST_FACTORS)),
        shortest,
        labels_config,
        config.families,
        config.network,
        config.seed,
    )
    test = np.arange(splits.test.first_bar, splits.test.last_bar)
    bars = spread(test, config.score_cuts)
    return learned_checks(world, [Cut(int(bar), "test block") for bar in bars])


def _shortest_return(specs: Sequence[TargetSpec]) -> TargetSpec | None:
    returns = [spec for spec in specs if spec.kind == "forward_return"]
    return min(returns, key=lambda spec: spec.horizon_bars, default=None)


def planted_checks(seed: int) -> tuple[list[Check], pd.DataFrame]:
    """Try to catch what was planted, on a small market made for the purpose.

    Returns
    -------
    checks : list of Check
        One per planted look-ahead and per honest look-alike.
    shares : DataFrame
        See :class:`~ranking_pipeline.audit.report.LookaheadReport`.
    """
    panel, splits = example_market(seed)
    chosen = cuts(panel, splits, EXAMPLE_RANDOM_CUTS, seed, at_most=EXAMPLE_CUTS)
    probes = (*PLANTED, *PLANTED_STAGES, *HONEST, *HONEST_STAGES)
    names = [probe.name for probe in probes]
    result = audit_function(
        stacked(probes),
        panel,
        chosen,
        MODES,
        names,
        seed=seed,
        reach=[probe.reach for probe in probes],
    )
    shares = pd.DataFrame(
        (result.different > 0).mean(axis=1), index=names, columns=list(MODES)
    )
    each = result.compared // len(probes)
    checks = []
    for number, probe in enumerate(probes):
        n_different = int(np.maximum(result.different[number], 0).sum())
        if probe.caught_by:
            check, verdict = PLANTED_CHECK, CAUGHT if n_different else MISSED
        else:
            check, verdict = HONEST_CHECK, LOOKS_AHEAD if n_different else CLEAN
        first = str(result.first.get(probe.name, ""))
        checks.append(
            Check(
                check,
                probe.name,
                "cells",
                each,
                n_different,
                cuts=len(chosen),
                ways=len(MODES),
                worst=first,
                verdict=verdict,
            )
        )
    return checks, shares
