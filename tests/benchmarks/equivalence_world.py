"""Both sides of the comparison: one small market as our cells and as padded batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from benchmarks.naive_loop import NaiveDataset, PaddedBatch, naive_collate
from torch import Tensor

from ranking_pipeline.learning.channels import build_channels
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.losses.base import CrossSectionLoss, mean_over_days
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.steps import (
    Step,
    block_tables,
    make_optimizer,
    make_step,
)
from ranking_pipeline.learning.windows import ResidentPanel, window_transform

SYMBOLS, BARS, LENGTH, MIN_SYMBOLS = 30, 130, 12, 16
ANCHORED, PER_BAR = "returns", "log_returns"


@dataclass(frozen=True)
class Market:
    """Bars (S, T, 5) with holes, and targets (T, S) of which no two are equal."""

    ohlcv: np.ndarray
    targets: np.ndarray


def make_market(seed: int = 0) -> Market:
    rng = np.random.default_rng([seed, 77])
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (SYMBOLS, BARS)), axis=1))
    opening = close * np.exp(rng.normal(0, 0.005, close.shape))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.01, close.shape))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.01, close.shape))
    volume = np.round(np.exp(rng.normal(9, 0.7, close.shape)))
    ohlcv = np.stack([opening, high, low, close, volume], axis=2).astype(np.float32)
    for symbol in range(0, SYMBOLS, 3):
        ohlcv[symbol, : rng.integers(60)] = np.nan
        hole = rng.integers(70, BARS - 5)
        ohlcv[symbol, hole : hole + 2] = np.nan
    ohlcv[1, 90, 4] = 0.0  # a day without trading
    targets = rng.permuted(np.tile(np.linspace(-2, 2, SYMBOLS), (BARS, 1)), axis=1)
    targets[-3:] = np.nan
    targets[40:, 5] = np.nan
    targets[70, 10:] = np.nan  # too few names
    return Market(ohlcv, targets)


def our_block(market: Market, normalization: str = ANCHORED) -> CrossSections:
    """All cells of a market, without the constants of a scale."""
    inputs = ResidentPanel.build(
        build_channels(market.ohlcv, normalization),
        LENGTH,
        transform=window_transform(normalization),
    )
    everything = np.ones(inputs.valid.shape, dtype=bool)
    return CrossSections.build(inputs, market.targets, everything, MIN_SYMBOLS)


def naive_dataset(market: Market, normalization: str = ANCHORED) -> NaiveDataset:
    return NaiveDataset(
        market.ohlcv, market.targets, LENGTH, normalization, MIN_SYMBOLS
    )


def one_batch(block: CrossSections, rows: np.ndarray) -> Batch:
    (batch,) = block.batches(rows, len(rows))
    return batch


def padded(dataset: NaiveDataset, rows: np.ndarray) -> PaddedBatch:
    return naive_collate([dataset[int(row)] for row in rows])


def network_of(name: str, block: CrossSections, **sizes: object) -> Scorer:
    spec = NetworkSpec(name, **({"hidden": 16, "layers": 1} | sizes))  # type: ignore[arg-type]
    return make_network(spec, block.inputs.sample_shape, seed=3)


def our_loss(
    network: Scorer, loss: CrossSectionLoss, block: CrossSections, batch: Batch
) -> Tensor:
    """The loss of a batch with tables made once for the block, as in training."""
    tables = loss.tables(block.targets, block.mask)
    rows = {name: table.index_select(0, batch.rows) for name, table in tables.items()}
    scores = network(batch.windows(), batch.layout)  # (N,)
    return mean_over_days(*loss.per_day(batch.layout.spread(scores), rows))


def gradients(network: torch.nn.Module, value: Tensor) -> dict[str, Tensor]:
    """Gradients by name, without the last bias.

    A ranking loss does not change when all scores of a bar move: that bias has no
    gradient but rounding.
    """
    network.zero_grad()
    value.backward()
    return kept_gradients(network)


def step_of(network: Scorer, block: CrossSections, config: LoopConfig) -> Step:
    """A training step with every pair."""
    loss = make_loss("pairwise")
    optimizer = make_optimizer(network, config)
    tables = block_tables(loss, block)
    return make_step(network, loss, tables, optimizer, config, block.inputs)


def kept_gradients(network: torch.nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Gradients that a step left behind, without the last bias."""
    return {
        prefix + name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and prefix + name != "body.head.bias"
    }


def largest_relative_gap(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The largest |a - b| in units of the largest |b|, over all parameters."""
    assert ours.keys() == theirs.keys()
    scale = max(float(value.abs().max()) for value in theirs.values())
    return max(float((ours[n] - theirs[n]).abs().max()) for n in ours) / scale
