"""Symbol importance: what single symbols rely on, set against all symbols together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.importance import (
    Importances,
    native_importance,
    normalised,
    ranks_of,
)
from ranking_pipeline.selection.importance_rows import take_rows
from ranking_pipeline.selection.out_of_fold import families_for, fit_family
from ranking_pipeline.selection.problem import Problem

Shares = npt.NDArray[np.float64]

SYMBOL_COLUMNS = ("target", "symbol", "family", "feature", "importance", "rank")
COMPARISON_COLUMNS = (
    "target", "feature", "pooled", "per_symbol", "n_symbols", "label",
)  # fmt: skip
CORE, SYMBOL_SPECIFIC = "CORE", "SYMBOL_SPECIFIC"
CS_SPECIFIC, WEAK = "CS_SPECIFIC", "WEAK"


def symbol_importances(
    problem: Problem, names: Sequence[str], config: FeatureSelectionConfig
) -> pd.DataFrame:
    """Fit each family to the rows of single symbols and ask what it relies on.

    Only native importance is asked: a few hundred rows leave none to hold out. Fits of
    so few rows find noise, and a symbol whose list differs from the pooled one is no
    evidence that it should have a model of its own.

    Parameters
    ----------
    problem : Problem
    names : sequence of str
        Features that may be used.
    config : FeatureSelectionConfig

    Returns
    -------
    DataFrame
        Columns as in ``SYMBOL_COLUMNS``; empty when no symbol has enough rows.
    """
    frames = []
    symbols = problem.samples.symbols
    for symbol in chosen_symbols(symbols, config):
        own = take_rows(problem, np.flatnonzero(symbols == symbol)).for_models(names)
        if len(np.unique(own.samples.target)) < 2:
            continue
        for family in families_for(config, problem.task):
            native = native_importance(fit_family(own.samples, family, config))
            if native is None:
                continue
            share = normalised(native)
            values = {
                "target": problem.target,
                "symbol": problem.samples.panel.symbols[symbol],
                "family": family,
                "feature": list(names),
                "importance": share,
                "rank": ranks_of(share),
            }
            frames.append(pd.DataFrame(values))
    if not frames:
        return pd.DataFrame(columns=list(SYMBOL_COLUMNS))
    return pd.concat(frames, ignore_index=True)


def chosen_symbols(
    symbols: npt.NDArray[np.intp], config: FeatureSelectionConfig
) -> npt.NDArray[np.intp]:
    """Symbols with enough rows, evenly thinned to at most ``max_symbols``."""
    limits = config.symbol_importance
    enough = np.flatnonzero(np.bincount(symbols) >= limits.min_rows)
    wanted = min(limits.max_symbols, len(enough))
    if not wanted:
        return enough[:0]
    places = ((np.arange(wanted) + 0.5) * len(enough) / wanted).astype(np.intp)
    return enough[places]


def compare_importance(
    target: str, pooled: Importances, per_symbol: pd.DataFrame, threshold: float
) -> pd.DataFrame:
    """Label each feature by where it matters.

    Parameters
    ----------
    target : str
    pooled : Importances
    per_symbol : DataFrame
        Of :func:`symbol_importances`.
    threshold : float
        Share of the largest importance of a side from which a feature counts there.

    Returns
    -------
    DataFrame
        Columns as in ``COMPARISON_COLUMNS``: native importance, mean over families (and
        symbols), and ``CORE`` (both sides), ``SYMBOL_SPECIFIC``, ``CS_SPECIFIC`` or
        ``WEAK`` (neither); empty without importances of symbols.
    """
    native = [
        share for (_, method), share in pooled.shares.items() if method == "native"
    ]
    native = [share for share in native if np.isfinite(share).all()]
    if per_symbol.empty or not native:
        return pd.DataFrame(columns=list(COMPARISON_COLUMNS))
    together = np.mean(native, axis=0)
    alone = per_symbol.groupby("feature")["importance"].mean()
    apart = alone.reindex(list(pooled.features)).to_numpy(dtype=np.float64)
    return pd.DataFrame(
        {
            "target": target,
            "feature": pooled.features,
            "pooled": together,
            "per_symbol": apart,
            "n_symbols": per_symbol["symbol"].nunique(),
            "label": _labels(together, apart, threshold),
        },
        columns=list(COMPARISON_COLUMNS),
    )


def _labels(together: Shares, apart: Shares, threshold: float) -> list[str]:
    words = {
        (True, True): CORE,
        (False, True): SYMBOL_SPECIFIC,
        (True, False): CS_SPECIFIC,
        (False, False): WEAK,
    }
    return [
        words[bool(a), bool(b)]
        for a, b in zip(
            _used(together, threshold), _used(apart, threshold), strict=True
        )
    ]


def _used(importance: Shares, threshold: float) -> npt.NDArray[np.bool_]:
    known = np.nan_to_num(importance)
    used = (known > 0) & (known >= threshold * known.max(initial=0.0))
    return np.asarray(used)
