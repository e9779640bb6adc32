"""The plain training loop: stored windows, padded batches, one read per step.

This is how the loop is written when nobody thinks of speed: a data set that holds every
window, a collate function in Python, a network that also sees the padding, a loss that
walks over the bars, ``loss.item()`` in each step, and scipy's rank correlation for each
bar. It is not made slow on purpose. It shares no code with the project beside the
network that it is given, so it also checks that the fast loop computes the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.naive_losses import NaiveLoss

Array = npt.NDArray[np.float64]
# A window (L, C) and its target.
Cell = tuple[npt.NDArray[np.float32], float]
CLOSE, VOLUME = 3, 4
VOLATILITY_BARS, VOLATILITY_KNOWN = 60, 20
VOLUME_BARS, VOLUME_KNOWN = 20, 10


@dataclass(frozen=True)
class Sample:
    """The cross-section of one bar, with a slot for each of M symbols.

    Attributes
    ----------
    bar : int
    windows : Tensor of float32, shape (M, L, C)
        0 where the symbol has no complete window or no target.
    targets, mask : Tensor of float32, shape (M,)
        The mask is 1 for a name and 0 for padding.
    """

    bar: int
    windows: Tensor
    targets: Tensor
    mask: Tensor


@dataclass(frozen=True)
class PaddedBatch:
    """B cross-sections: windows (B, M, L, C), targets and mask (B, M)."""

    windows: Tensor
    targets: Tensor
    mask: Tensor


class NaiveDataset(Dataset[Sample]):
    """Every window of every symbol, normalised one by one and kept, grouped by bar.

    Parameters
    ----------
    ohlcv : ndarray, shape (S, T, 5)
        NaN where a symbol has no bar.
    targets : ndarray, shape (T, S)
        NaN where the label is unknown.
    length : int
        Bars in a window.
    normalization : str
        See :func:`naive_windows`.
    min_symbols : int
        Bars with fewer names are left out.
    bars : sequence of int, optional
        Bars to keep; all by default.
    """

    def __init__(
        self,
        ohlcv: npt.NDArray[np.floating],
        targets: npt.NDArray[np.floating],
        length: int,
        normalization: str,
        min_symbols: int = 1,
        bars: Sequence[int] | None = None,
    ) -> None:
        wanted = range(ohlcv.shape[1]) if bars is None else bars
        cells: dict[int, dict[int, Cell]] = {bar: {} for bar in wanted}
        for symbol, series in enumerate(naive_source(ohlcv, normalization)):
            known = [bar for bar in wanted if np.isfinite(targets[bar, symbol])]
            kept, windows = naive_windows(series, known, length, normalization)
            for bar, window in zip(kept, windows, strict=True):
                cells[bar][symbol] = (window, targets[bar, symbol])
        self._shape = (len(ohlcv), length, ohlcv.shape[2])
        self._cells = [
            (bar, names)
            for bar, names in cells.items()
            if len(names) >= max(1, min_symbols)
        ]

    def __len__(self) -> int:
        """Count the bars."""
        return len(self._cells)

    def __getitem__(self, index: int) -> Sample:
        """Put the names of one bar into their slots."""
        bar, names = self._cells[index]
        windows = np.zeros(self._shape, dtype=np.float32)
        targets = np.zeros(self._shape[0], dtype=np.float32)
        mask = np.zeros(self._shape[0], dtype=np.float32)
        for symbol, (window, target) in names.items():
            windows[symbol] = window
            targets[symbol] = target
            mask[symbol] = 1.0
        return Sample(bar, *map(torch.from_numpy, (windows, targets, mask)))

    @property
    def n_windows(self) -> int:
        """Windows of the bars that were kept."""
        return sum(len(names) for _, names in self._cells)


def naive_source(ohlcv: npt.NDArray[np.floating], normalization: str) -> Array:
    """Prepare the series (S, T, 5) that windows are cut from, symbol by symbol."""
    if normalization != "log_returns":
        return ohlcv.astype(np.float64)
    return np.stack([_scaled_log_returns(bars) for bars in ohlcv.astype(np.float64)])


def naive_windows(
    series: Array, bars: Iterable[int], length: int, normalization: str
) -> tuple[list[int], list[npt.NDArray[np.float32]]]:
    """Cut and normalise the windows of one symbol, one after the other.

    Parameters
    ----------
    series : ndarray, shape (T, 5)
        Of one symbol, see :func:`naive_source`.
    bars : iterable of int
        Bars that the windows end at.
    length : int
    normalization : str
        ``none``; ``log_returns`` (done per bar before the cut); ``returns`` (ratio to
        the first close and the first volume); ``log_anchored`` (log price minus that
        of the last close, log volume minus its mean); ``zscore``; ``minmax``.

    Returns
    -------
    bars : list of int
        Those whose window is complete.
    windows : list of ndarray of float32, each (L, 5)
    """
    kept, windows = [], []
    for bar in bars:
        raw = series[max(0, bar - length + 1) : bar + 1]
        if len(raw) < length or not np.isfinite(raw).all():
            continue
        window = _normalised(raw, normalization)
        if np.isfinite(window).all():
            kept.append(int(bar))
            windows.append(window.astype(np.float32))
    return kept, windows


def _normalised(window: Array, normalization: str) -> Array:
    if normalization in {"none", "log_returns"}:
        return window
    if normalization == "returns":
        if not (window[:, VOLUME] > 0).all():
            return np.full_like(window, np.nan)
        first = window[0]
        anchor = np.append(np.repeat(first[CLOSE], 4), first[VOLUME])
        return np.asarray(window / anchor - 1)
    if normalization == "log_anchored":
        return _log_anchored(window)
    if normalization == "zscore":
        deviation = window.std(axis=0)
        steady = deviation <= 1e-6 * np.abs(window).max(axis=0)
        centred = window - window.mean(axis=0)
        return np.where(steady, 0.0, centred / np.where(steady, 1.0, deviation))
    if normalization == "minmax":
        low, high = window.min(axis=0), window.max(axis=0)
        flat = high <= low
        return np.where(flat, 0.0, (window - low) / np.where(flat, 1.0, high - low))
    raise ValueError(f"normalization {normalization!r} is unknown")


def _log_anchored(window: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.log(window)
        result[:, :VOLUME] -= result[-1, CLOSE]
        volume = np.log1p(window[:, VOLUME])
    result[:, VOLUME] = volume - volume.mean()
    return result


def _scaled_log_returns(bars: Array) -> Array:
    """Per-bar channels (T, 5) of one symbol, with pandas' rolling means."""
    with np.errstate(invalid="ignore", divide="ignore"):
        prices = np.log(bars[:, :VOLUME])
        volume = pd.Series(np.log1p(bars[:, VOLUME]))
    before = np.append(np.nan, prices[:-1, CLOSE])
    returns = prices - before[:, None]
    squares = pd.Series(returns[:, CLOSE] ** 2)
    variance = squares.rolling(VOLATILITY_BARS, VOLATILITY_KNOWN).mean().to_numpy()
    usual = volume.rolling(VOLUME_BARS, VOLUME_KNOWN).mean().shift(1)
    channels = np.column_stack([returns / np.sqrt(variance)[:, None], volume - usual])
    return np.asarray(np.clip(channels, -8.0, 8.0))


def naive_collate(samples: list[Sample]) -> PaddedBatch:
    """Stack the cross-sections of a batch."""
    return PaddedBatch(
        torch.stack([sample.windows for sample in samples]),
        torch.stack([sample.targets for sample in samples]),
        torch.stack([sample.mask for sample in samples]),
    )


def naive_loader(
    dataset: NaiveDataset, bars_per_batch: int = 32, *, shuffle: bool = True
) -> Iterable[PaddedBatch]:
    """Batch the bars of a data set in this process."""
    return DataLoader(dataset, bars_per_batch, shuffle, collate_fn=naive_collate)


def naive_scores(network: nn.Module, windows: Tensor) -> Tensor:
    """Score all slots (B, M) of windows (B, M, L, C), the padded ones too."""
    n_bars, n_names, length, channels = windows.shape
    flat = windows.view(n_bars * n_names, length, channels)  # (B * M, L, C)
    scores: Tensor = network(flat)
    return scores.squeeze(-1).view(n_bars, n_names)  # (B, M)


def naive_step(
    network: nn.Module,
    batch: PaddedBatch,
    optimizer: torch.optim.Optimizer,
    loss: NaiveLoss,
    gradient_clip: float = 1.0,
) -> float:
    """Make one step and read its loss.

    Parameters
    ----------
    network : nn.Module
        Windows (N, L, C) -> scores (N, 1).
    batch : PaddedBatch
    optimizer : Optimizer
    loss : NaiveLoss
    gradient_clip : float
        Largest norm of the gradient.
    """
    optimizer.zero_grad()
    scores = naive_scores(network, batch.windows)
    value = loss(scores, batch.targets, batch.mask)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
    optimizer.step()
    return value.item()


def naive_epoch(
    network: nn.Module,
    loader: Iterable[PaddedBatch],
    optimizer: torch.optim.Optimizer,
    loss: NaiveLoss,
    gradient_clip: float = 1.0,
) -> float:
    """Train on every batch of a loader once; the mean loss of its steps."""
    network.train()
    total, steps = 0.0, 0
    for batch in loader:
        total += naive_step(network, batch, optimizer, loss, gradient_clip)
        steps += 1
    return total / steps


def naive_evaluate(network: nn.Module, loader: Iterable[PaddedBatch]) -> list[float]:
    """Rank correlation of scores and targets of each bar, by scipy."""
    network.eval()
    correlations = []
    with torch.no_grad():
        for batch in loader:
            scores = naive_scores(network, batch.windows).numpy()
            correlations += naive_rank_ic(
                scores, batch.targets.numpy(), batch.mask.numpy() > 0
            )
    return correlations


def naive_rank_ic(
    scores: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
) -> list[float]:
    """Spearman correlation of each row (B, M) over its mask."""
    return [
        float(spearmanr(score[valid], target[valid]).statistic)
        for score, target, valid in zip(scores, targets, mask, strict=True)
    ]
