"""Symbol codes: columns that name the symbol, or carry the mean of its labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.row_ranks import percentile_ranks_within
from ranking_pipeline.selection.config import LeakageConfig
from ranking_pipeline.selection.leakage_clocks import rows_of_some_symbols
from ranking_pipeline.selection.leakage_report import BLOCKED, Finding
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_CONSTANT = 1e-6  # share of its variance that a column without change keeps
_UPPER_TAIL = 0.05


def symbol_constants(problem: Problem, config: LeakageConfig) -> dict[str, Finding]:
    """Block columns constant within symbols that encode the symbols' own mean label.

    A column that is the same at every bar is a property of the symbol, such as its
    sector, or a mean over all rows, such as a target encoding. The mean label of a
    symbol is a true level plus luck, and nothing honest knows the luck: the correlation
    of an honest column with it is at most the square root of its reliability, the share
    of true levels in its variance. Above that bound (lower bound of the one, upper
    95 % bound of the other) the column has seen the labels. It takes some 50 symbols,
    and cannot tell where the levels are known to a good part anyhow, as for
    volatility; the damage is then small too.

    References
    ----------
    Spearman (1904) for the attenuation bound; reliability from a one-way analysis of
    variance of block means, Shrout and Fleiss (1978).
    """
    asked = rows_of_some_symbols(problem)
    candidates = [
        column
        for column in range(len(problem.samples.feature_names))
        if _is_constant_within(
            problem.samples.features[asked, column], problem.samples.symbols[asked]
        )
    ]
    found = {}
    for column in candidates if problem.view == "cross_section" else ():
        finding = _encoding(problem, column, config)
        if finding is not None:
            found[finding.feature] = finding
    return found


def identifies_symbols(problem: Problem, column: int, share: float) -> bool:
    """Whether that share of the variance of a feature's ranks lies between symbols."""
    ranks = problem.ranks[:, column].astype(np.float64)
    known = np.isfinite(ranks)
    if not known.any():
        return False
    between, total = _between(ranks[known], problem.samples.symbols[known])
    return bool(total > 0 and between >= share * total)


def _encoding(problem: Problem, column: int, config: LeakageConfig) -> Finding | None:
    from scipy import stats

    samples = problem.samples
    values = samples.features[:, column].astype(np.float64)
    if not _is_constant_within(values, samples.symbols):
        return None
    size, low, limit = 0.0, 0.0, 1.0
    for level in _symbol_levels(problem):
        x, y = _first_values(values, samples.symbols, level.symbols), level.means
        known = np.isfinite(x)
        if known.sum() < 5 or np.ptp(x[known]) == 0:
            continue
        r = abs(float(stats.spearmanr(x[known], y[known]).statistic))
        r = min(r, 1 - 1e-12)
        half = float(stats.norm.ppf(config.confidence)) / np.sqrt(known.sum() - 3)
        bound = float(np.tanh(np.arctanh(r) - half))
        if bound - level.attenuation > low - limit:
            size, low, limit = r, max(bound, 0.0), level.attenuation
    if not low > limit:
        return None
    text = (
        f"does not change within symbols and correlates {size:.3f} with their mean "
        f"label; what is true of these means allows {limit:.3f}"
    )
    name = samples.feature_names[column]
    return Finding(name, "encodes_symbols", size, low, limit, BLOCKED, text)


class _Level:
    """Mean label of each symbol, and how much an honest column can know of it."""

    def __init__(self, blocks: npt.NDArray[np.float64], symbols: Rows) -> None:
        from scipy import stats

        self.symbols = symbols
        self.means = np.asarray(np.nanmean(blocks, axis=1))
        count = np.isfinite(blocks).sum(axis=1)
        within = float(np.nanmean(np.nanvar(blocks, axis=1, ddof=1) / count))
        ratio = float(self.means.var(ddof=1)) / within if within > 0 else np.inf
        freedom = len(symbols) - 1
        noise = stats.f.ppf(_UPPER_TAIL, freedom, freedom * (count.mean() - 1))
        reliability = max(0.0, 1.0 - noise / ratio) if ratio > 0 else 0.0
        self.attenuation = float(np.sqrt(reliability))


def _symbol_levels(problem: Problem) -> list[_Level]:
    """Levels of the label's ranks, and of the label less the bar's mean."""
    samples = problem.samples
    _, bar = np.unique(samples.bars, return_inverse=True)
    mean = np.bincount(bar, problem.outcome) / np.bincount(bar)
    ranks = percentile_ranks_within(problem.outcome, samples.bars) - 0.5
    found = []
    for label in (ranks, problem.outcome - mean[bar]):
        blocks = _block_means(label, bar // problem.block_bars, samples.symbols)
        kept = np.flatnonzero(np.isfinite(blocks).sum(axis=1) >= 3)
        if len(kept) >= 5:
            found.append(_Level(blocks[kept], kept))
    return found


def _block_means(label: Series, block: Rows, symbols: Rows) -> npt.NDArray[np.float64]:
    shape = int(symbols.max()) + 1, int(block.max()) + 1
    place = symbols * shape[1] + block
    size = shape[0] * shape[1]
    count = np.bincount(place, minlength=size).astype(np.float64)
    total = np.bincount(place, label, size)
    means = np.full(size, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means.reshape(shape)


def _is_constant_within(values: npt.NDArray[np.floating], symbols: Rows) -> bool:
    known = np.isfinite(values)
    if not known.any():
        return False
    kept = values[known].astype(np.float64)
    between, total = _between(kept, symbols[known])
    return bool(total > 0 and total - between <= _CONSTANT * total)


def _between(values: Series, symbols: Rows) -> tuple[float, float]:
    """Sum of squares between the symbols, and the whole of it."""
    _, group = np.unique(symbols, return_inverse=True)
    centred = values - values.mean()
    count = np.bincount(group)
    sums = np.bincount(group, centred)
    return float((sums**2 / count).sum()), float(centred @ centred)


def _first_values(values: Series, symbols: Rows, wanted: Rows) -> Series:
    """A known value of each wanted symbol, NaN where there is none."""
    known = np.flatnonzero(np.isfinite(values))
    first = np.full(int(symbols.max()) + 1, np.nan)
    first[symbols[known[::-1]]] = values[known[::-1]]
    return np.asarray(first[wanted])
