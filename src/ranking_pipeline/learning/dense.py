"""Dense scores: one convolution over the series scores every window it contains."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.windows import Inputs, ResidentPanel

IntArray = npt.NDArray[np.integer]

# Cells of a pass without gradients; the activations of more would only cost memory.
_CELLS_AT_ONCE = 1 << 16


class SeriesScorer(Protocol):
    """A network that can score all windows of a series in one pass."""

    def score_series(self, series: Tensor) -> Tensor:
        """Score series (S, T, C) at every window end, shape (S, T - L + 1[, K])."""


@torch.no_grad()
def dense_scores(
    network: SeriesScorer, block: CrossSections, cells_at_once: int = _CELLS_AT_ONCE
) -> Tensor:
    """Score every cell of a block by passes over its series.

    A causal convolution that windows of L bars share is computed once a bar, not L
    times. The scores are those of the windows up to rounding.

    Parameters
    ----------
    network : Scorer with ``has_series``
        In evaluation mode already, and on the device of the inputs.
    block : CrossSections
        Its inputs are ``series_ready``.
    cells_at_once : int
        Bars times symbols of one pass; bounds the memory of the activations.

    Returns
    -------
    Tensor, shape (n_bars, S) or (n_bars, S, K)
        In the order of ``block.bars``; 0 outside the mask.
    """
    spans, parts = _used_spans(block.inputs, block.bars), []
    for place, (span, rows) in enumerate(spans):
        following = spans[place + 1][0] if place + 1 < len(spans) else None
        inputs = block.inputs.open(span, following)
        for run in _runs(rows, block.bars, inputs.sample_shape[0]):
            bars, mask = block.bars[run], block.mask[run]
            width = max(1, cells_at_once // int(bars[-1] - bars[0] + 1))
            parts.append(_in_pieces(network, inputs, bars, mask, width))
    return torch.cat(parts) if parts else torch.zeros_like(block.targets)


def dense_block(
    network: SeriesScorer, inputs: Inputs, bars: IntArray, mask: Tensor
) -> Tensor:
    """Score the cells of a few bars in one pass, with gradients.

    Parameters
    ----------
    network : Scorer with ``has_series``
    inputs : Inputs
        ``series_ready``, and opened where they are streamed.
    bars : ndarray of int, shape (B,), on the host
        Decision bars, ascending. What lies between them is computed too, so they should
        be neighbours.
    mask : Tensor of bool, shape (B, S)

    Returns
    -------
    Tensor, shape (B, S) or (B, S, K)
        0 outside the mask, where no gradient flows.
    """
    return _masked(_pass(network, inputs, bars, slice(None)), mask)


def _in_pieces(
    network: SeriesScorer, inputs: Inputs, bars: IntArray, mask: Tensor, width: int
) -> Tensor:
    """Score ``width`` symbols at a time."""
    n_symbols = mask.shape[1]
    pieces = [
        _pass(network, inputs, bars, slice(first, first + width))
        for first in range(0, n_symbols, width)
    ]
    return _masked(torch.cat(pieces, dim=1), mask)


def _pass(
    network: SeriesScorer, inputs: Inputs, bars: IntArray, symbols: slice
) -> Tensor:
    """Scores (B, s) of the windows that end at the bars, complete or not."""
    assert isinstance(inputs, ResidentPanel)
    assert inputs.series_ready
    first, last = int(bars[0]), int(bars[-1])
    series = inputs.series(first - inputs.length + 1, last + 1)[symbols]
    # A convolution would carry one NaN into complete windows through 0 * NaN.
    known = torch.nan_to_num(series, nan=0.0, posinf=0.0, neginf=0.0)
    scores = network.score_series(known).transpose(0, 1)  # (last - first + 1, s)
    if len(bars) == last - first + 1:
        return scores
    wanted = torch.from_numpy(bars - first).to(scores.device)
    return scores.index_select(0, wanted)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    inside = mask if scores.ndim == mask.ndim else mask.unsqueeze(-1)
    return torch.where(inside, scores, 0.0)


def _used_spans(inputs: Inputs, bars: IntArray) -> list[tuple[int, slice]]:
    """Spans that hold bars of the block, with the rows that are theirs."""
    edges = [(*np.searchsorted(bars, span),) for span in inputs.spans]
    rows = [slice(int(first), int(stop)) for first, stop in edges]
    return [(span, part) for span, part in enumerate(rows) if part.start < part.stop]


def _runs(rows: slice, bars: IntArray, length: int) -> list[slice]:
    """Cut rows where the gap between their bars costs more than a new start."""
    gaps = np.flatnonzero(np.diff(bars[rows]) >= length) + 1
    edges = [rows.start, *(rows.start + gaps).tolist(), rows.stop]
    return [slice(a, b) for a, b in pairwise(edges)]
