"""Filters: what a feature shows by itself, before any model is asked.

All are off by default, for none helped. Chosen on past folds and measured out of fold,
against all 99 features (change of the rank IC of ``fwd_ret_1d``, its standard error):

===================================  ===============  ===============
filter                               3 simulations    S&P 500 to 2017
===================================  ===============  ===============
coverage 0.9                         +.0007 (.0018)   -.0041 (.0035)
variance of ranks 0.95               -.0036 (.0018)   -.0029 (.0020)
|t| of the IC 1                      +.0001 (.0022)   -.0018 (.0049)
|t| of the IC 2                      +.0000 (.0020)   -.0043 (.0068)
mutual information 0.002             +.0006 (.0022)   -.0001 (.0025)
mutual information 0.004             -.0058 (.0023)   -.0055 (.0028)
===================================  ===============  ===============
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.row_ranks import percentile_ranks_within
from ranking_pipeline.selection.config import FeatureFilterConfig
from ranking_pipeline.selection.leakage_outcomes import groups_of
from ranking_pipeline.selection.partial_ic import (
    RankColumns,
    partial_ics,
    partial_products,
)
from ranking_pipeline.selection.problem import Problem

Column = npt.NDArray[np.float64]

COLUMNS = (
    "target", "feature", "coverage", "rank_variance", "ic", "ic_t",
    "mutual_information", "reason",
)  # fmt: skip
BINS = 8
_UNIFORM_VARIANCE = 1 / 12


def feature_facts(
    problem: Problem, names: Sequence[str], config: FeatureFilterConfig
) -> pd.DataFrame:
    """Measure each feature alone and say which filter, if any, refuses it.

    Parameters
    ----------
    problem : Problem
    names : sequence of str
    config : FeatureFilterConfig

    Returns
    -------
    DataFrame
        Columns as in ``COLUMNS``, one row per name: the share of rows on which the
        feature is known; the variance of its ranks (1 without ties, 0 for a column
        equal for all symbols of a bar); its mean rank correlation with the target and
        the t of that over blocks of bars; the mutual information in nats. ``reason`` is
        empty where no filter refuses it.
    """
    outcome = percentile_ranks_within(problem.outcome, groups_of(problem))
    columns = [problem.samples.feature_names.index(name) for name in names]
    skills = _ics(problem, outcome)
    rows = []
    for name, column in zip(names, columns, strict=True):
        ranks = problem.ranks[:, column]
        test = block_test(skills[:, column], problem.block_bars)
        rows.append(
            {
                "target": problem.target,
                "feature": name,
                "coverage": float(np.isfinite(ranks).mean()),
                "rank_variance": rank_variance(ranks),
                "ic": test.mean,
                "ic_t": test.t,
                "mutual_information": mutual_information(ranks, outcome),
            }
        )
    facts = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    return facts.assign(reason=_refusals(facts, config))


def rank_variance(ranks: npt.NDArray[np.floating]) -> float:
    """Mean square of rank - 1/2 over that of the uniform law; 0 where never known."""
    known = ranks[np.isfinite(ranks)].astype(np.float64)
    if not len(known):
        return 0.0
    return float(np.mean((known - 0.5) ** 2) / _UNIFORM_VARIANCE)


def mutual_information(
    feature: npt.NDArray[np.floating], outcome: npt.NDArray[np.floating]
) -> float:
    """Mutual information of two columns of ranks in nats, in an 8 by 8 table.

    It sees a relation that is not monotone, of which a rank correlation is blind. The
    expected excess of independent columns is taken off, so that the result may be
    negative; rows that depend on one another have more than that.

    Parameters
    ----------
    feature, outcome : ndarray, shape (n,)
        Ranks in (0, 1); rows where either is NaN are left out.

    Returns
    -------
    float
        NaN where no row is left.

    References
    ----------
    Miller (1955) for the correction.
    """
    known = np.isfinite(feature) & np.isfinite(outcome)
    n = int(known.sum())
    if not n:
        return float("nan")
    x, y = ((values[known] * BINS).astype(np.intp) for values in (feature, outcome))
    joint = np.bincount(x * BINS + y, minlength=BINS * BINS).reshape(BINS, BINS) / n
    across, down = joint.sum(axis=1), joint.sum(axis=0)
    there = joint > 0
    plain = np.sum(joint[there] * np.log(joint[there] / np.outer(across, down)[there]))
    excess = ((across > 0).sum() - 1) * ((down > 0).sum() - 1) / (2 * n)
    return float(plain - excess)


def univariate_scores(problem: Problem) -> Column:
    """|t| of the rank correlation of each feature with the target, shape (F,)."""
    outcome = percentile_ranks_within(problem.outcome, groups_of(problem))
    skills = _ics(problem, outcome)
    tests = [block_test(skill, problem.block_bars) for skill in skills.T]
    size = np.abs([test.t for test in tests])
    return np.asarray(np.nan_to_num(size), dtype=np.float64)


def _ics(problem: Problem, outcome: Column) -> npt.NDArray[np.float64]:
    """Rank correlation of every feature with the outcome per bar, shape (T, F)."""
    samples = problem.samples
    columns = RankColumns(
        features=problem.ranks,
        outcomes=outcome[:, None],
        reference=np.empty((len(samples), 0)),
        bars=samples.bars,
        symbols=samples.symbols,
        n_bars=samples.shape[0],
        min_rows=problem.min_symbols,
    )
    cross_section = problem.view == "cross_section"
    skills = (partial_ics if cross_section else partial_products)(columns)
    return np.asarray(skills[:, :, 0])


def _refusals(facts: pd.DataFrame, config: FeatureFilterConfig) -> list[str]:
    limits = (
        ("coverage", facts["coverage"], config.min_coverage),
        ("variance of ranks", facts["rank_variance"], config.min_rank_variance),
        ("|t| of its IC", facts["ic_t"].abs(), config.min_abs_ic_t),
        (
            "mutual information",
            facts["mutual_information"],
            config.min_mutual_information,
        ),
    )
    reasons = [""] * len(facts)
    for what, values, limit in limits:
        if limit is None:
            continue
        for row, value in enumerate(values):
            if not reasons[row] and not value >= limit:
                reasons[row] = f"filter: {what} {value:.3g} is below {limit:g}"
    return reasons
