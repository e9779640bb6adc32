"""Checks of the factors: no future, and no more history than declared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.check import Check, check_of
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import TRUNCATED
from ranking_pipeline.audit.lookahead import AuditResult, audit_function, audit_past
from ranking_pipeline.features import compute_features
from ranking_pipeline.features.registry import Factor
from ranking_pipeline.features.selection import find_factors
from ranking_pipeline.features.timeframes import fine_lookback_bars
from ranking_pipeline.panel import Panel

WARM_UP_MODES = (TRUNCATED, "random_walk", "missing")


def audit_features(
    panel: Panel,
    names: Sequence[str],
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    seed: int,
) -> AuditResult:
    """Compare the factors at the bars up to each cut under other futures."""
    return audit_function(
        lambda altered: compute_features(altered, names),
        panel,
        cuts,
        modes,
        names,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
        progress="factors audited",
    )


def audit_warm_up(
    panel: Panel, names: Sequence[str], n_cuts: int, seed: int
) -> AuditResult:
    """Compare the factors after their declared look-back under other histories.

    The history starts later, consists of other prices, or is missing before each of
    ``n_cuts`` bars. A factor of a session has its look-back from the session's opening;
    one of the whole history declares none that would suffice and is left out, as is
    one of the sessions of coarser bars.
    """
    factors = [
        factor
        for factor in find_factors(names)
        if not factor.expanding and not (factor.interval and factor.session)
    ]
    kept = [factor.name for factor in factors]
    starts = _starts(panel, n_cuts, seed)
    needed = np.stack([_needed(panel, cut.bar, factors) for cut in starts])
    return audit_past(
        lambda altered: compute_features(altered, kept),
        panel,
        starts,
        WARM_UP_MODES,
        kept,
        needed,
        seed=seed,
    )


def _starts(panel: Panel, n_cuts: int, seed: int) -> list[Cut]:
    """Bars in the first half, so that long look-backs still leave bars to compare."""
    bars = np.random.default_rng(seed).permutation(np.arange(1, panel.n_bars // 2 + 1))
    return [Cut(int(bar), "later start") for bar in np.sort(bars[:n_cuts])]


def _needed(
    panel: Panel, start: int, factors: Sequence[Factor]
) -> npt.NDArray[np.int64]:
    session = panel.session
    return np.array(
        [
            max(_lookback(panel, factor), _until_opening(session, start, factor))
            for factor in factors
        ],
        dtype=np.int64,
    )


def _lookback(panel: Panel, factor: Factor) -> int:
    """Look-back in bars of the panel, also of a factor that counts coarser ones."""
    if factor.interval is None:
        return factor.lookback_bars
    return fine_lookback_bars(panel, factor.lookback_bars, factor.interval)


def _until_opening(session: npt.NDArray[np.int32], start: int, factor: Factor) -> int:
    """Bars until the factor's window opens inside the shorter history."""
    if not factor.session:
        return 0
    first = session[start] + 1 + factor.lookback_sessions
    return int(np.searchsorted(session, first)) - start


def feature_checks(
    panel: Panel,
    names: Sequence[str],
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    warm_up_cuts: int,
    seed: int,
) -> list[Check]:
    """Give the rows of the factors."""
    ahead = audit_features(panel, names, cuts, modes, modes_at_a_cut, seed)
    early = audit_warm_up(panel, names, warm_up_cuts, seed)
    return [
        check_of("features ignore the future", f"{len(names)} factors", ahead),
        check_of(
            "features need their declared look-back only",
            f"{len(early.names)} factors",
            early,
        ),
    ]
