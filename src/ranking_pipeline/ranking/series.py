"""Summaries of a series over bars, on its device: ratio, hit rate and t values.

The formulas are those of ``evaluation/metrics.py`` and ``evaluation/inference.py``.
Each function takes a series (T,) in the order of time, NaN where a bar is not measured,
and gives one number of float64 without reading anything back.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MIN_BLOCKS = 8
SHORTEST_BLOCK_BARS = 10


def on_time_axis(series: Tensor, bars: npt.NDArray[np.signedinteger]) -> Tensor:
    """Put values (B,) at their bars, first to last; NaN between, shape (T,)."""
    first = int(bars[0]) if len(bars) else 0
    length = int(bars[-1]) - first + 1 if len(bars) else 0
    places = torch.from_numpy(np.asarray(bars, dtype=np.int64) - first)
    axis = series.new_full((length,), torch.nan)
    return axis.index_copy(0, places.to(series.device), series)


def mean(series: Tensor) -> Tensor:
    """Mean over the measured bars."""
    return series.double().nanmean()


def deviation(series: Tensor) -> Tensor:
    """Standard deviation (ddof 1); NaN below two measured bars."""
    values, known = _known(series)
    count = known.sum()
    gaps = torch.where(known, values - values.sum() / count, 0.0)
    value = (gaps.square().sum() / (count - 1)).sqrt()
    return torch.where(count > 1, value, torch.nan)


def information_ratio(series: Tensor) -> Tensor:
    """Mean over standard deviation (ddof 1), per bar, not annualised.

    NaN below two measured bars or where all of them are equal.
    """
    ratio = mean(series) / deviation(series)
    return torch.where(_varies(series), ratio, torch.nan)


def hit_rate(series: Tensor) -> Tensor:
    """Share of the measured bars above zero; NaN without one."""
    values, known = _known(series)
    return (values > 0).sum() / known.sum().double()


def newey_west_lags(lag_bars: int, horizon_bars: int) -> int:
    """Lags of :func:`newey_west_t`: twice the bars that a label spans."""
    return 2 * (lag_bars + horizon_bars)


def newey_west_t(series: Tensor, lags: int) -> Tensor:
    """T value of the mean with Bartlett-weighted autocovariances.

    Parameters
    ----------
    series : Tensor, shape (T,)
        NaN bars keep their place and take part in no product.
    lags : int
        See :func:`newey_west_lags`.

    Returns
    -------
    Tensor of float64, shape (); NaN below two measured bars or without variance.

    References
    ----------
    Newey and West (1987).
    """
    values, known = _known(series)
    count = known.sum()
    average = values.sum() / count
    gaps = torch.where(known, values - average, 0.0)
    variance = gaps.square().sum()
    for lag in range(1, min(lags, len(gaps) - 1) + 1):
        weight = 2.0 * (1.0 - lag / (lags + 1.0))
        variance = variance + weight * (gaps[lag:] * gaps[:-lag]).sum()
    value = average / (variance.sqrt() / count)
    return torch.where((count > 1) & (variance > 0), value, torch.nan)


def block_length(lag_bars: int, horizon_bars: int) -> int:
    """Bars per block for labels that end lag + horizon bars after the decision."""
    return max(SHORTEST_BLOCK_BARS, 2 * (lag_bars + horizon_bars))


def block_t(series: Tensor, block_bars: int) -> Tensor:
    """T value of the mean from the spread of block means, on k - 1 degrees of freedom.

    Parameters
    ----------
    series : Tensor, shape (T,)
        NaN bars keep their place, so that a block always spans the same time.
    block_bars : int
        See :func:`block_length`. Blocks start at the first measured bar; one that is
        measured on fewer than half of its bars does not count.

    Returns
    -------
    Tensor of float64, shape (); NaN with fewer than eight blocks. Infinite where the
    blocks do not differ and the mean is not zero.

    References
    ----------
    Conway (1963), batch means.
    """
    values, known = _known(series)
    blocks, counts = _blocks(values, known, block_bars)
    used = 2 * counts >= block_bars
    k = used.sum()
    means = torch.where(used, blocks / counts, 0.0)
    gaps = torch.where(used, means - means.sum() / k, 0.0)
    spread = (gaps.square().sum() / (k - 1)).sqrt()
    # Equal blocks differ from their own mean by rounding alone.
    spread = torch.where(spread <= 1e-12 * means.abs().amax(), 0.0, spread)
    value = values.sum() / known.sum() / (spread / k.double().sqrt())
    return torch.where(k >= MIN_BLOCKS, value, torch.nan)


def _blocks(values: Tensor, known: Tensor, block_bars: int) -> tuple[Tensor, Tensor]:
    """Sums and counts of consecutive blocks from the first measured bar, (K,) each."""
    length = len(values)
    n_blocks = max(1, -(-length // block_bars))
    first = known.to(torch.uint8).argmax() if length else 0
    place = torch.arange(n_blocks * block_bars, device=values.device) + first
    inside = place < length
    place = place.clamp(max=max(0, length - 1))
    if not length:
        return values.new_zeros(1), values.new_zeros(1)
    sums = torch.where(inside, values.index_select(0, place), 0.0)
    counts = inside & known.index_select(0, place)
    return (
        sums.view(n_blocks, block_bars).sum(dim=1),  # (K,)
        counts.view(n_blocks, block_bars).double().sum(dim=1),
    )


def _known(series: Tensor) -> tuple[Tensor, Tensor]:
    """Values in float64 with 0 where they are not measured, and where they are."""
    known = torch.isfinite(series)
    return torch.where(known, series, 0.0).double(), known


def _varies(series: Tensor) -> Tensor:
    _, known = _known(series)
    high = torch.where(known, series, -torch.inf)
    low = torch.where(known, series, torch.inf)
    if not len(series):
        return torch.zeros((), dtype=torch.bool, device=series.device)
    return high.amax() > low.amin()
