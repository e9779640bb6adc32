"""Ensemble weights: how much each model counts, by what it said out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import BlockTest, block_length, block_test
from ranking_pipeline.evaluation.metrics import rank_ic
from ranking_pipeline.models.learning_target import demeaned
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.row_ranks import Groups

Floats = npt.NDArray[np.float64]
NEUTRAL = 0.5  # the middle of the ranks: no opinion
_MIN_NAMES = 3  # the correlation of two names is 1 or -1, whatever they are


@dataclass(frozen=True)
class Evidence:
    """What the members of an ensemble said about rows that they did not learn from.

    Attributes
    ----------
    ranks : ndarray of float64, shape (n, M)
        Percentile rank of each member's score within the bar, 1/2 where it has none.
    target : ndarray of float64, shape (n,)
        What is learned, less its mean in the bar.
    tests : tuple of BlockTest, length M
        Of each member's rank IC per bar.
    """

    ranks: Floats
    target: Floats
    tests: tuple[BlockTest, ...]


def evidence(scores: Sequence[npt.NDArray[np.float32]], rows: Samples) -> Evidence:
    """Measure members on the labelled rows of the train block.

    Parameters
    ----------
    scores : sequence of ndarray, shape (n,)
        Out-of-fold scores of each member; NaN where it has none.
    rows : Samples
        Labelled, on the learning scale.

    Returns
    -------
    Evidence
        The blocks of the tests are those of the longest label, see
        :func:`ranking_pipeline.evaluation.inference.block_length`.
    """
    bars = Groups.of(rows.bars)
    ranks = np.column_stack([member_ranks(score, bars) for score in scores])
    length = block_length(0, int((rows.label_end - rows.bars).max()))
    truth = to_cross_sections(rows.target, rows.bars, rows.symbols, rows.shape)
    tests = [
        block_test(rank_ic(_matrix(rank, rows), truth, _MIN_NAMES), length)
        for rank in ranks.T
    ]
    target = demeaned(rows.target.astype(np.float64), rows.bars)
    return Evidence(ranks, target, tuple(tests))


def member_ranks(score: npt.NDArray[np.floating], bars: Groups) -> Floats:
    """Percentile ranks of a score within its bars; 1/2 where there is none."""
    ranks = bars.percentile_ranks(score)
    return np.where(np.isfinite(ranks), ranks, NEUTRAL)


def equal_weights(n_members: int) -> Floats:
    """Weights of the plain mean."""
    return np.full(n_members, 1.0 / n_members)


def ic_weights(found: Evidence) -> Floats | None:
    """Weights in proportion to the rank IC, none for a negative one.

    Returns
    -------
    ndarray of float64, shape (M,), or None
        Summing to one; None where no member has a positive rank IC.
    """
    ics = np.nan_to_num(np.array([test.mean for test in found.tests]))
    return _to_one(np.maximum(ics, 0.0))


def stacking_weights(found: Evidence) -> Floats | None:
    """Weights of the ranks that come nearest to the target, none of them negative.

    Non-negative least squares (Lawson and Hanson, 1974) as in the stacking of Breiman
    (1996), brought to a sum of one: only the order within a bar counts.

    Returns
    -------
    ndarray of float64, shape (M,), or None
        None where every member is better left out.
    """
    from scipy.optimize import nnls

    weights, _ = nnls(found.ranks - NEUTRAL, found.target)
    return _to_one(weights)


def _to_one(weights: Floats) -> Floats | None:
    total = float(weights.sum())
    return np.asarray(weights / total) if total > 0 else None


def _matrix(values: Floats, rows: Samples) -> Floats:
    return to_cross_sections(values, rows.bars, rows.symbols, rows.shape)
