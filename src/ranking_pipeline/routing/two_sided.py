"""Two-sided folds: tests of scores whose models train on both sides of what they score.

Without any signal such a score is noise fitted in the other folds, and the sum of its
products with the outcome is one of products of the noise of two rows in two folds. A pair
of rows enters twice: once with the one as train row, once with the other. Twice the same
number has twice the variance that two numbers would have, which is what block means
assume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ranking_pipeline.evaluation.inference import BlockTest
from ranking_pipeline.models.samples import thin_bars
from ranking_pipeline.selection.problem import Fold, Rows


def mirrored_share(bars: Rows, folds: Sequence[Fold], max_train_rows: int) -> float:
    """Share of the pairs of rows that enter twice.

    Every row of a fold is scored; of the train rows those count that are fitted. So a
    pair comes back the other way round as often as a train row is fitted.

    Parameters
    ----------
    bars : ndarray of int, shape (n,)
        Bar of each row.
    folds : sequence of (train rows, test rows)
    max_train_rows : int
        Above it whole bars are left out of a fit.

    Returns
    -------
    float
        Above 0, and 1 where every train row is fitted.
    """
    shares = [
        len(thin_bars(bars[train], max_train_rows)) / len(train)
        for train, _ in folds
        if len(train)
    ]
    return float(np.mean(shares)) if shares else 1.0


def of_two_sided_folds(test: BlockTest, mirrored: float = 1.0) -> BlockTest:
    """Widen the test of a score against no skill.

    The standard error grows by the root of 1 + ``mirrored``. Measured without a signal,
    as the deviation of t: one model per symbol 1.24 to 1.49 before, 1 after; pooled
    ridge 1.51, 1.26 and 1.14 where all, a half and a tenth of the train rows are fitted
    (120 markets each), 1.07, 1.03 and 1.09 after. With a signal the widened test is
    cautious, and so it is for trees, which each see a part of the rows.

    Parameters
    ----------
    test : BlockTest
        From folds as in
        :meth:`~ranking_pipeline.selection.problem.Problem.two_sided_folds`.
    mirrored : float
        See :func:`mirrored_share`.
    """
    return _widened(test, float(np.sqrt(1.0 + mirrored)))


def of_difference(difference: BlockTest, own: BlockTest) -> BlockTest:
    """Widen the paired test of a symbol's own score against the pooled one.

    The products of the own score have twice the variance that ``own`` shows; what it
    lacks is added to that of the difference. The pooled score of a symbol comes nearly
    all from other symbols, whose noise does not come back. Measured on symbols without
    a signal, in a market where others have one: 9 % rejections at a level of 5 % and
    2.4 % at 1 % before, 6 % and 1.2 % after.

    Parameters
    ----------
    difference, own : BlockTest
        On the same bars; ``own`` as its block means give it, not widened.
    """
    if not difference.standard_error > 0:
        return difference
    ratio = own.standard_error / difference.standard_error
    return _widened(difference, float(np.sqrt(1.0 + ratio**2)))


def _widened(test: BlockTest, factor: float) -> BlockTest:
    """The same estimate with ``factor`` times its standard error."""
    from scipy import stats

    t, half = test.t / factor, (test.ci_high - test.mean) * factor
    p = float(stats.t.sf(t, test.n_blocks - 1))
    return replace(
        test,
        t=t,
        p=p,
        z=float(stats.norm.isf(p)),
        ci_low=test.mean - half,
        ci_high=test.mean + half,
        standard_error=test.standard_error * factor,
    )
