"""The meta_learning family: start weights that adapt to each symbol's own past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ranking_pipeline.config import Config
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.device import resolve_device, torch_threads
from ranking_pipeline.learning.loop_config import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.networks.perceptron import PerceptronNetwork
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.classes import class_output
from ranking_pipeline.models.neural_config import EpochsConfig
from ranking_pipeline.models.own_epochs import train_epochs
from ranking_pipeline.models.own_network import OwnNetworkModel
from ranking_pipeline.models.past_rows import IntArray, PastRows
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.reptile import (
    InnerLoop,
    Tasks,
    move_towards,
    padded,
    places,
    row_losses,
    start_of,
    task_block,
    tasks_of,
)
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.standardise import ClippedConfig

_PAST = "past.safetensors"
# Tasks that are adapted at once when rows are scored.
_TASKS_AT_ONCE = 64


class MetaLearningConfig(ClippedConfig, EpochsConfig):
    """Parameters of the meta_learning family."""

    tasks_per_step: int = Field(gt=0, description="symbols whose rows make one step")
    inner_steps: int = Field(
        gt=0, description="gradient steps on the rows of one symbol, each on a share"
    )
    inner_rate: float = Field(gt=0, description="size of these steps")
    outer_rate: float = Field(
        ge=0,
        le=1,
        description="share of the way from the start weights to the symbols' own "
        "weights that one step goes; 0 keeps the weights drawn at the start",
    )
    past_rows: int = Field(
        gt=0,
        description="latest rows of a symbol to which the weights adapt before its "
        "prediction; their labels are known at the predicted bar",
    )


@register
class MetaLearningModel(OwnNetworkModel):
    """A perceptron whose weights adapt to the past of each symbol before predicting.

    Reptile learns start weights with the symbols as tasks. The model keeps the latest
    training rows of each symbol. To predict a bar it takes those whose label is known
    at that bar, and moves a copy of the start weights by a few steps on them; where
    there are none, as for a symbol never seen, the start weights predict. Targets of
    the rows that are predicted are not looked at.

    Validation judges the adapted predictions: by Huber's loss, or cross-entropy for
    classes. Rows with weights are weighed in the steps of their symbol, so that one of
    little weight moves the start weights little, and in validation.

    Measured beside mlp by ``python -m benchmarks families``, it gains nothing. It can
    where symbols answer to a signal with different signs; low_rank does so with less.
    """

    family: ClassVar[str] = "meta_learning"
    description: ClassVar[str] = "Reptile: a perceptron that adapts to each symbol"
    experimental: ClassVar[bool] = True
    config_type: ClassVar[type[Config]] = MetaLearningConfig

    _past: PastRows

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows by weights adapted to what is known of their symbol by then."""
        with torch_threads(1):
            outputs = self._outputs(rows)
        if self._task != "regression":
            return class_output(outputs.softmax(dim=1).numpy())
        mean, deviation = self._facts["target_mean"], self._facts["target_deviation"]
        values = outputs[:, 0].numpy() * deviation + mean
        return PredictionOutput(values.astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write the start weights and the kept rows as safetensors, the rest as JSON."""
        from safetensors.numpy import save_file

        super().save(folder)
        save_file(self._past.arrays(), folder / _PAST)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; the caller has checked the files' hashes."""
        from safetensors.numpy import load_file

        model = super().load(folder, config, seed=seed, threads=threads)
        symbols = tuple(model._facts["past_symbols"])
        model._past = PastRows(**load_file(folder / _PAST), symbols=symbols)
        return model

    def _body(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> nn.Module:
        return PerceptronNetwork(spec, length, channels, outputs)

    def _loop(self) -> LoopConfig:
        own = self._shared_with(LoopConfig)
        batch, rate = self.config.tasks_per_step, self.config.inner_rate
        return LoopConfig(
            **own, timestamps_per_batch=batch, learning_rate=rate, seed=self.seed
        )

    def _train(self, rows: Samples, validation: Samples | None) -> None:
        inputs, targets = self._design(rows.features), self._learned(rows)
        self._past = PastRows.latest(rows, inputs, targets, self.config.past_rows)
        self._facts |= {
            "sample_shape": [1, inputs.shape[1]],
            "past_symbols": list(self._past.symbols),
        }
        device = resolve_device(self.config.device)
        self._network = self._new_network((1, inputs.shape[1])).to(device)
        _, task = np.unique(rows.symbols, return_inverse=True)
        weights = np.ones(len(rows)) if rows.weight is None else rows.weight
        block = task_block(inputs, targets, weights, task, device)
        judge = None if validation is None else self._judge(validation)
        step = self._step(block)
        self._history = train_epochs(self._network, block, step, judge, self._loop())

    def _step(self, block: CrossSections) -> Callable[[Batch], Tensor]:
        body, inner = self._network.body, self._inner()

        def step(batch: Batch) -> Tensor:
            own, loss = inner.adapt(start_of(body), tasks_of(block, batch))
            move_towards(body, own, self.config.outer_rate)
            return loss

        return step

    def _judge(self, validation: Samples) -> Callable[[], float]:
        targets = torch.from_numpy(self._learned(validation)).float()
        weights = torch.ones(len(targets), dtype=torch.float64)
        if validation.weight is not None:
            weights = torch.from_numpy(validation.weight.astype(np.float64))

        def judge() -> float:
            losses = row_losses(self._outputs(validation).float(), targets)
            return -float((weights * losses).sum() / weights.sum())

        return judge

    def _inner(self) -> InnerLoop:
        steps, rate = self.config.inner_steps, self.config.inner_rate
        return InnerLoop(self._network.body, steps, rate)

    @torch.no_grad()
    def _outputs(self, rows: Samples) -> Tensor:
        """Outputs (n, K) of the weights that fit each row's symbol and bar."""
        self._network.eval()
        inputs, inner = self._design(rows.features), self._inner()
        start, device = start_of(self._network.body), self._trained_on
        outputs = torch.zeros((len(rows), self._network.outputs), dtype=torch.float64)
        for part in _parts(*self._past.stops(rows)):
            support = self._support(part.first, part.stop, device)
            own, _ = inner.adapt(start, support)
            asked = padded(inputs[part.rows], part.task, len(part.first)).to(device)
            told = inner.told(own, asked).cpu().double()
            outputs[part.rows] = told[part.task, places(part.task)]
        return outputs

    def _support(self, first: IntArray, stop: IntArray, device: torch.device) -> Tasks:
        """Past rows first ... stop - 1 of each task."""
        size = stop - first
        task = np.repeat(np.arange(len(size)), size)
        rows = np.repeat(first, size) + places(task)
        past, n_tasks = self._past, len(size)
        kept = (past.inputs, past.targets, past.row_weights)
        return Tasks(*(padded(part[rows], task, n_tasks).to(device) for part in kept))


class _Part(NamedTuple):
    """Rows that need few enough tasks to adapt them at once.

    Attributes
    ----------
    rows, task : ndarray of int, shape (n,)
        The rows, and the task of each.
    first, stop : ndarray of int, shape (G,)
        Past rows of each task.
    """

    rows: IntArray
    task: IntArray
    first: IntArray
    stop: IntArray


def _parts(first: IntArray, stop: IntArray) -> Iterator[_Part]:
    """Group rows by what is known of them: one task for each (first, stop)."""
    known, task = np.unique(np.stack([first, stop]), axis=1, return_inverse=True)
    order = np.argsort(task, kind="stable")
    for begin in range(0, known.shape[1], _TASKS_AT_ONCE):
        end = min(begin + _TASKS_AT_ONCE, known.shape[1])
        inside = slice(*np.searchsorted(task[order], [begin, end]))
        rows = order[inside]
        yield _Part(rows, task[rows] - begin, *known[:, begin:end])
