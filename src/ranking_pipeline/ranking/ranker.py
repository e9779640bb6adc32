"""The ranker: networks trained on cross-sections, averaged as ranks over seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.learning.channels import (
    ChannelScale,
    build_channels,
    fit_scale,
)
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import (
    Group,
    SingleProcess,
    resolve_device,
    torch_threads,
    use_huge_pages,
)
from ranking_pipeline.learning.loop import train
from ranking_pipeline.learning.losses import loss_parameters, make_loss
from ranking_pipeline.learning.networks import make_network
from ranking_pipeline.learning.windows import BoolArray
from ranking_pipeline.ranking.fitted_ranker import Ranker
from ranking_pipeline.ranking.ranker_checkpoints import Checkpoints, training_key
from ranking_pipeline.ranking.ranker_data import FloatArray, TrainingData
from ranking_pipeline.ranking.ranker_scores import (
    averaged_ranks,
    ranker_inputs,
    score_panel,
)
from ranking_pipeline.ranking.ranker_spec import RankerSpec
from ranking_pipeline.ranking.ranker_validation import (
    final_metrics,
    measure_of,
    require_validation,
)
from ranking_pipeline.ranking.watcher import HistoryRow, Watcher

__all__ = [
    "Checkpoints",
    "HistoryRow",
    "Ranker",
    "RankerSpec",
    "TrainingData",
    "Watcher",
    "averaged_ranks",
    "score_panel",
    "train_here",
    "train_ranker",
]


def train_ranker(
    data: TrainingData,
    spec: RankerSpec,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoints: Checkpoints | None = None,
    watcher: Watcher | None = None,
) -> Ranker:
    """Train one network per seed on whole cross-sections.

    Parameters
    ----------
    data : TrainingData
    spec : RankerSpec
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    threads : int
        CPU threads; a result is repeatable to the bit for one number of them.
    checkpoints : Checkpoints, optional
        A training that was killed goes on from there, to the same bits.
    watcher : Watcher, optional

    Raises
    ------
    UserError
        When a name is unknown, no training bar is usable, or training fails.
    """
    where = resolve_device(device).type
    watcher = watcher or Watcher()
    if spec.processes > 1:
        from ranking_pipeline.ranking.ranker_processes import train_together

        return train_together(data, spec, where, threads, checkpoints, watcher)
    with torch_threads(threads):
        return train_here(data, spec, where, threads, checkpoints, watcher)


def train_here(
    data: TrainingData,
    spec: RankerSpec,
    device: str,
    threads: int,
    checkpoints: Checkpoints | None,
    watcher: Watcher,
    group: Group = SingleProcess(),  # noqa: B008 - immutable
) -> Ranker:
    """Do :func:`train_ranker` in this process, which may be one of a group."""
    use_huge_pages()  # each process of a group comes here by itself
    channels = build_channels(data.ohlcv, spec.normalization)
    scale = _fit_scale(channels, data.train, spec)
    inputs = ranker_inputs(channels, scale, spec, device)
    learned = _standardised(data.target, data.train)
    blocks = [
        CrossSections.build(inputs, learned, cells, spec.min_symbols)
        for cells in (data.train, data.validation)
    ]
    require_validation(data, blocks[1], spec)
    at_most = _windows_at_most(blocks[0], spec)
    watcher.start(at_most)
    key = "" if checkpoints is None else training_key(data, spec, device, threads)
    states, history = [], list[HistoryRow]()
    for seed in spec.seeds:
        network = make_network(spec.network, inputs.sample_shape, seed=seed)
        result = train(
            network,
            make_loss(spec.loss, **_seeded(spec, seed)),
            (blocks[0], blocks[1] if blocks[1].n_bars else None),
            measure_of(data.payoff, blocks[1], spec),
            replace(spec.loop, seed=seed),
            on_epoch=_tagged(watcher.epoch, seed),
            on_step=watcher.step,
            checkpoint=None if checkpoints is None else checkpoints.of(seed, key),
            group=group,
        )
        states.append(result.state)
        watcher.reach(at_most * len(states) // len(spec.seeds))
        history += [{"seed": float(seed)} | row for row in result.history]
    ranker = Ranker(spec, scale, tuple(states), {}, history, _counts(blocks))
    return replace(ranker, metrics=final_metrics(ranker, data, blocks[1]))


def _fit_scale(
    channels: npt.NDArray[np.float32], cells: BoolArray, spec: RankerSpec
) -> ChannelScale | None:
    bars = np.zeros(len(cells), dtype=np.bool_)
    used = np.flatnonzero(cells.any(axis=1))
    bars[: used[-1] + 1 if len(used) else 0] = True
    return fit_scale(channels, bars, spec.normalization, spec.sequence_length)


def _standardised(target: FloatArray, cells: BoolArray) -> FloatArray:
    known = target[cells & np.isfinite(target)]
    deviation = known.std() if len(known) else 0.0
    if not deviation > 0:
        return target
    return np.asarray((target - known.mean()) / deviation)


def _windows_at_most(block: CrossSections, spec: RankerSpec) -> int:
    """Windows of all epochs and seeds, if training never stops early."""
    counts = np.diff(block.offsets)
    if spec.loop.symbols_per_timestamp is not None:
        counts = np.minimum(counts, spec.loop.symbols_per_timestamp)
    n_bars = max(1, len(counts))
    share = min(1.0, (spec.loop.timestamps_per_epoch or n_bars) / n_bars)
    return int(counts.sum() * share * spec.loop.epochs * len(spec.seeds))


def _counts(blocks: list[CrossSections]) -> dict[str, int]:
    return {
        f"{name}_{what}": count
        for name, block in zip(("train", "validation"), blocks, strict=True)
        for what, count in (
            ("bars", block.n_bars),
            ("windows", block.n_cells),
            ("bars_dropped", block.n_dropped),
        )
    }


def _seeded(spec: RankerSpec, seed: int) -> dict[str, Any]:
    """Give a loss that draws pairs the seed of its network."""
    parameters = dict(spec.loss_parameters)
    if "seed" in loss_parameters(spec.loss):
        parameters["seed"] = seed
    return parameters


def _tagged(
    on_epoch: Callable[[HistoryRow], None], seed: int
) -> Callable[[HistoryRow], None]:
    return lambda row: on_epoch({"seed": float(seed)} | row)
