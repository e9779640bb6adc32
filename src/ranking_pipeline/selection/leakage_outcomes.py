"""Futures to screen against: the label, its size, and labels of other bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.row_ranks import percentile_ranks_within
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Future:
    """Something that nobody can know at the decision bar.

    Attributes
    ----------
    rule : str
        Under which a feature that knows it is reported.
    words : str
        Of what the correlation is, for the evidence.
    ranks : ndarray of float64, shape (n,)
        Percentile ranks within the bar, or within the symbol over time.
    """

    rule: str
    words: str
    ranks: Series


def futures(problem: Problem) -> list[Future]:
    """What features are screened against; the label itself comes first.

    Returns
    -------
    list of Future
        ``partial_ic``: the label. ``partial_ic_size``: how far the label lies from the
        middle, which a by-product such as the bars until a barrier is hit knows
        without knowing the side; excursions are sizes already. ``shifted``: the
        labels of neighbouring decision bars that lie wholly after this one, although
        outside this row's own label: with an entry lag the label of the bar before
        begins at this close (it shows a feature that reads the next open), and the
        label that follows this one shows a join that is late.
    """
    found = [Future("partial_ic", "the label", _ranks(problem, problem.outcome))]
    if problem.kind == "forward_return" or problem.task == "three_class":
        size = np.abs(problem.outcome - _middle(problem))
        found.append(Future("partial_ic_size", "its size", _ranks(problem, size)))
    lag, horizon = problem.entry_lag_bars, problem.horizon_bars
    # a swing is a swing beside the bars before it, which are known
    before = range(0) if problem.kind == "swing" else range(-lag, 0)
    for shift in (*before, max(horizon, 1)):
        words = (
            f"the label of the bar {abs(shift)} {'before' if shift < 0 else 'later'}"
        )
        label = _shifted(problem, shift)
        if np.isfinite(label).any():
            found.append(Future("shifted", words, _ranks(problem, label)))
    return found


def groups_of(problem: Problem) -> npt.NDArray[np.intp]:
    """Rows that are ranked together: those of a bar, or over time of a symbol."""
    over_time = problem.view == "time_series"
    return problem.samples.symbols if over_time else problem.samples.bars


def _ranks(problem: Problem, values: Series) -> Series:
    return percentile_ranks_within(values, groups_of(problem))


def _middle(problem: Problem) -> Series:
    """Median of each row's group; 0 for classes, which have a middle of their own."""
    if problem.task != "regression":
        return np.zeros(len(problem.outcome))
    _, group = np.unique(groups_of(problem), return_inverse=True)
    order = np.lexsort((problem.outcome, group))
    count = np.bincount(group)
    first = np.cumsum(count) - count
    ordered = problem.outcome[order]
    low, high = ordered[first + (count - 1) // 2], ordered[first + count // 2]
    return np.asarray(((low + high) / 2)[group])


def _shifted(problem: Problem, shift: int) -> Series:
    """Label of the same symbol ``shift`` bars later; NaN where there is none."""
    samples = problem.samples
    labels = to_cross_sections(
        problem.outcome, samples.bars, samples.symbols, samples.shape
    )
    bars = samples.bars + shift
    inside = (bars >= 0) & (bars < samples.shape[0])
    result = np.full(len(bars), np.nan)
    result[inside] = labels[bars[inside], samples.symbols[inside]]
    return result
