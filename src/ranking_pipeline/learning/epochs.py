"""The order in which an epoch visits the bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ranking_pipeline.learning.cross_sections import (
    Batch,
    CrossSections,
    IntArray,
    pieces,
)
from ranking_pipeline.learning.device import Group
from ranking_pipeline.learning.loop_config import LoopConfig


@dataclass(frozen=True)
class EpochPlan:
    """The cells of one epoch and the steps that visit them.

    Attributes
    ----------
    block : CrossSections
    spans : list of (int, list of ndarray of int64)
        Spans of the inputs in the order in which they are opened, each with the
        positions (B,) of the bars of its steps. A step never crosses a span.
    """

    block: CrossSections
    spans: list[tuple[int, list[IntArray]]]

    @classmethod
    def make(cls, block: CrossSections, config: LoopConfig, epoch: int) -> EpochPlan:
        """Plan an epoch; the plan depends on (seed, epoch) alone."""
        if config.symbols_per_timestamp is not None:
            block = block.sampled(config.symbols_per_timestamp, (config.seed, epoch, 1))
        return cls(block, epoch_spans(block, config, epoch))

    @classmethod
    def whole(
        cls, block: CrossSections, bars_per_batch: int, group: Group
    ) -> EpochPlan:
        """Visit every bar once and in order; each process takes every size-th bar.

        Counted over all spans, so that as many bars as processes give each of them one.
        """
        mine = [r[r % group.size == group.rank] for r in block.span_rows()]
        spans = [(span, pieces(rows, bars_per_batch)) for span, rows in enumerate(mine)]
        return cls(block, [(span, steps) for span, steps in spans if steps])

    def batches(self, group: Group, skip: int = 0) -> Iterator[Batch]:
        """Give this process's part of each step, after the first ``skip`` steps."""
        left: list[tuple[int, list[IntArray]]] = []
        for span, steps in self.spans:
            left += [(span, steps[skip:])] if skip < len(steps) else []
            skip = max(0, skip - len(steps))
        following = [*(span for span, _ in left), None][1:]
        for (span, steps), later in zip(left, following, strict=True):
            block = self.block.opened(span, later)
            yield from block.cut(steps, group.rank, group.size)


def epoch_spans(
    block: CrossSections, config: LoopConfig, epoch: int
) -> list[tuple[int, list[IntArray]]]:
    """Positions of the bars of each step, by span: see :class:`EpochPlan`."""
    rows = block.span_rows()
    visits = np.arange(len(rows))
    random = np.random.default_rng([config.seed, epoch])
    if config.shuffle_timestamps:
        visits = np.random.default_rng([config.seed, epoch, 2]).permutation(visits)
    planned = [(int(span), _steps(rows[span], config, random)) for span in visits]
    return _first_bars(planned, config.timestamps_per_epoch or block.n_bars)


def n_steps(block: CrossSections, config: LoopConfig) -> int:
    """Steps of a whole training that no patience cuts off."""
    one_length = config.timestamps_per_epoch is None or (
        config.bars_per_block is None and len(block.inputs.spans) == 1
    )
    # Blocks and spans differ in length: which of them an epoch ends in, matters.
    epochs = 1 if one_length else config.epochs
    planned = [epoch_spans(block, config, 1 + epoch) for epoch in range(epochs)]
    counted = sum(len(steps) for spans in planned for _, steps in spans)
    return counted * (config.epochs // epochs)


def _steps(
    rows: IntArray, config: LoopConfig, random: np.random.Generator
) -> list[IntArray]:
    """Cut one span into steps: of random bars, or random blocks of following bars."""
    if config.bars_per_block is None:
        order = random.permutation(rows) if config.shuffle_timestamps else rows
        return pieces(order, config.timestamps_per_batch)
    blocks = pieces(rows, config.bars_per_block)
    if config.shuffle_timestamps:
        blocks = [blocks[place] for place in random.permutation(len(blocks))]
    return blocks


def _first_bars(
    planned: list[tuple[int, list[IntArray]]], n_bars: int
) -> list[tuple[int, list[IntArray]]]:
    """Keep the first ``n_bars`` bars; spans without any are left out."""
    kept = []
    for span, steps in planned:
        some = []
        for step in steps:
            some += [step[:n_bars]] if n_bars else []
            n_bars = max(0, n_bars - len(step))
        kept += [(span, some)] if some else []
    return kept
