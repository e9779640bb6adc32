"""Rank information coefficient: whole matrices against a loop over scipy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from benchmarks.harness import Row, row
from ranking_pipeline.learning.device import torch_threads
from ranking_pipeline.ranking.metrics import rank_ic
from ranking_pipeline.ranking.validation import validation_metrics

SIZES = ((1000, 500), (100, 5000), (20, 20000))
VALID_SHARE = 0.82
LARGEST_DIFFERENCE = 1e-6

T = TypeVar("T")
Block = tuple[Tensor, Tensor, Tensor]


def run(rounds: int | None = None) -> list[Row]:
    """Processor milliseconds for a block of bars with M names each.

    The peer calls ``scipy.stats.spearmanr`` on the names of each bar. The last row is
    everything that a validation block is measured by, which has no peer.
    """
    rows = []
    with torch_threads(1):
        for n_bars, n_symbols in SIZES:
            rows += _rows(make_block(n_bars, n_symbols), rounds or 7)
    return rows


def _rows(block: Block, rounds: int) -> list[Row]:
    ours, peer, whole = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        mine, found = _timed(lambda: rank_ic(*block).numpy())
        theirs, expected = _timed(lambda: scipy_loop(*block))
        gap = float(np.abs(found - expected).max())
        if not gap <= LARGEST_DIFFERENCE:
            raise RuntimeError(f"rank_ic and scipy differ by {gap}")
        metrics, _ = _timed(
            lambda: validation_metrics(*block, top_pct=0.1, bottom_pct=0.1)
        )
        ours.append(mine)
        peer.append(theirs)
        whole.append(metrics)
    n_bars, n_symbols = block[0].shape
    return [
        row(f"M={n_symbols}", f"ms for {n_bars} bars", ours, peer),
        row(f"M={n_symbols} all metrics", f"ms for {n_bars} bars", whole),
    ]


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    started = time.process_time()
    result = call()
    return 1e3 * (time.process_time() - started), result


def make_block(n_bars: int, n_symbols: int) -> Block:
    """Scores (float32), returns (float64) and a mask with holes, each (B, M)."""
    rng = np.random.default_rng([n_bars, n_symbols])
    scores = rng.normal(size=(n_bars, n_symbols)).astype(np.float32)
    payoffs = 0.01 * (0.05 * scores + rng.normal(size=scores.shape))
    mask = rng.random(scores.shape) < VALID_SHARE
    return torch.from_numpy(scores), torch.from_numpy(payoffs), torch.from_numpy(mask)


def scipy_loop(
    scores: Tensor, payoffs: Tensor, mask: Tensor
) -> npt.NDArray[np.float64]:
    """Spearman's correlation of each bar, one call each, (B,)."""
    values = []
    rows = zip(scores.numpy(), payoffs.numpy(), mask.numpy(), strict=True)
    for score, payoff, known in rows:
        values.append(stats.spearmanr(score[known], payoff[known]).statistic)
    return np.array(values)
