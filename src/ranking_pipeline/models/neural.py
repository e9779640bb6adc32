"""Neural families: the training loop behind the interface of a model."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import torch_threads
from ranking_pipeline.learning.loop import LoopConfig, negative_loss, score, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.losses.base import CrossSectionLoss
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.windows import Inputs
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.classes import class_output, encode
from ranking_pipeline.models.rank_scale import ScoreScale
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import CLASSES, TASKS

_WEIGHTS, _META = "model.safetensors", "model.json"
FloatArray = npt.NDArray[np.floating]
Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


class NeuralModel(BaseModel):
    """What the neural families share: the training loop, and files without code.

    A regression learns the target in training units (mean 0, deviation 1); classes
    learn by cross-entropy. With validation rows the epoch with the lowest loss is kept,
    otherwise the last one. Where the loss only ranks the names of a bar, scores are put
    on the scale of the target by an increasing line
    (:class:`ranking_pipeline.models.rank_scale.ScoreScale`).

    Rows may have weights (:class:`ranking_pipeline.models.samples.Samples`): pointwise
    losses and cross-entropy weigh each row, ranking losses each bar by the mean weight
    of its rows, and the loss that chooses the epoch does the same.

    A family says what its network sees (:meth:`_fit_inputs`, :meth:`_inputs`); its name
    is that of the network.
    """

    device: ClassVar[str] = "gpu"
    weighted: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = TASKS
    network: ClassVar[str] = ""  # of learning/networks; "": it has the family's name

    _task: str
    _network: Scorer
    _facts: dict[str, Any]
    _history: list[dict[str, float]]

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Learn from ``train``; ``validation`` chooses the epoch.

        Raises
        ------
        UserError
            Also where the loss ranks and no bar has two names.
        """
        self.check(train)
        self._task, self._facts = train.task, self._fit_inputs(train)
        self._facts |= _target_scale(train)
        held_out = validation if validation is not None and len(validation) else None
        # Parallel sums would make the result depend on the number of threads.
        with torch_threads(1):
            self._train(train, held_out)

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows; NaN where a row's window of bars is incomplete."""
        with torch_threads(1):
            block, places = self._block(rows, np.zeros(len(rows)))
            raw = _scores(self._network, block, self.config.timestamps_per_batch)
        values = raw[places]
        if self._task != "regression":
            return class_output(values)
        if self._facts["score_scale"] is not None:
            values = ScoreScale(**self._facts["score_scale"]).apply(values)
        mean, deviation = self._facts["target_mean"], self._facts["target_deviation"]
        return PredictionOutput((values * deviation + mean).astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors and the rest as JSON."""
        from safetensors.torch import save_file

        state = self._network.state_dict()
        save_file(
            {k: v.cpu().contiguous() for k, v in state.items()}, folder / _WEIGHTS
        )
        meta = {"task": self._task, "facts": self._facts}
        text = json.dumps(meta, indent=2, allow_nan=False)
        (folder / _META).write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; the caller has checked the files' hashes."""
        from safetensors.torch import load_file

        model = cls(config, seed=seed, threads=threads)
        meta = json.loads((folder / _META).read_text("utf-8"))
        model._task, model._facts = meta["task"], meta["facts"]
        model._network = model._new_network(tuple(model._facts["sample_shape"]))
        model._network.load_state_dict(load_file(folder / _WEIGHTS))
        return model

    def history(self) -> list[dict[str, float]]:
        """One row per epoch, see :func:`ranking_pipeline.learning.loop.train`.

        What has no value is left out: classes have no rank IC.
        """
        rows: list[dict[str, float]] = getattr(self, "_history", [])
        return [
            {name: value for name, value in row.items() if math.isfinite(value)}
            for row in rows
        ]

    @abstractmethod
    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        """Constants of the inputs, from the training rows, as JSON values."""

    @abstractmethod
    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        """Make inputs of the rows; ``symbols`` (n,) counts only those that occur."""

    def _train(self, rows: Samples, validation: Samples | None) -> None:
        loss = self._loss()
        ranks = self._task == "regression" and _only_ranks(loss)
        least = 2 if ranks else 1
        train_block, _ = self._block(rows, self._learned(rows), least)
        if ranks and not train_block.n_bars:
            raise UserError(
                f"{self.family}: regression_loss {self.config.regression_loss!r} ranks "
                "the names of a bar, and no training bar has two with complete windows; "
                "use huber or mse for jobs of one symbol."
            )
        held_out = None
        if validation is not None:
            held_out, _ = self._block(validation, self._learned(validation), least)
            held_out = held_out if held_out.n_bars else None
        self._facts["sample_shape"] = list(train_block.inputs.sample_shape)
        self._network = self._new_network(train_block.inputs.sample_shape)
        blocks, config = (train_block, held_out), self._loop()
        steps = self._trained_by(loss, rows, train_block)
        measure = negative_loss(loss, held_out.weights if held_out else None)
        result = train(self._network, steps, blocks, measure, config)
        self._history = result.history
        scale = self._scale_of(train_block) if ranks else None
        self._facts["score_scale"] = None if scale is None else asdict(scale)

    def _loss(self) -> CrossSectionLoss:
        if self._task != "regression":
            return make_loss("cross_entropy")
        return make_loss(self.config.regression_loss, **self.config.loss_parameters)

    def _trained_by(
        self, loss: CrossSectionLoss, rows: Samples, block: CrossSections
    ) -> CrossSectionLoss:
        """Loss of the steps; a family may add to the one that validation judges by."""
        return loss

    def _scale_of(self, block: CrossSections) -> ScoreScale:
        """Scale of the scores of the trained network on the cells that it learned."""
        raw = _scores(self._network, block, self.config.timestamps_per_batch)
        mask = block.mask.cpu().numpy()
        targets = block.targets.cpu().numpy()[mask]
        return ScoreScale.fit(raw[block.bars][mask], targets, np.nonzero(mask)[0])

    def _block(
        self, rows: Samples, values: FloatArray, min_symbols: int = 1
    ) -> tuple[CrossSections, Places]:
        """Cross-sections of the rows, and their places in (T, symbols that occur)."""
        _, symbols = np.unique(rows.symbols, return_inverse=True)
        shape = (rows.panel.n_bars, int(symbols.max(initial=0)) + 1)
        targets, cells = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
        targets[rows.bars, symbols] = values
        cells[rows.bars, symbols] = True
        weights = None if rows.weight is None else np.zeros(shape)
        if weights is not None:
            weights[rows.bars, symbols] = rows.weight
        inputs = self._inputs(rows, symbols)
        block = CrossSections.build(inputs, targets, cells, min_symbols, weights)
        return block, (rows.bars, symbols)

    def _learned(self, rows: Samples) -> FloatArray:
        """Give what the network is to output: scaled targets, or class codes."""
        if self._task != "regression":
            return encode(rows.target, self._task).astype(np.float64)
        mean, deviation = self._facts["target_mean"], self._facts["target_deviation"]
        return np.asarray((rows.target.astype(np.float64) - mean) / deviation)

    def _new_network(self, sample_shape: tuple[int, int]) -> Scorer:
        name = self.network or self.family
        spec = NetworkSpec(name=name, **self._shared_with(NetworkSpec))
        return make_network(spec, sample_shape, self._n_outputs, seed=self.seed)

    @property
    def _n_outputs(self) -> int:
        return 1 if self._task == "regression" else len(CLASSES[self._task])

    def _loop(self) -> LoopConfig:
        return LoopConfig(**self._shared_with(LoopConfig), seed=self.seed)

    def _shared_with(self, kind: type[NetworkSpec | LoopConfig]) -> dict[str, Any]:
        """Parameters of the family that are fields of a dataclass too."""
        names = {f.name for f in fields(kind)} & set(type(self.config).model_fields)
        return {name: getattr(self.config, name) for name in names}


def _only_ranks(loss: CrossSectionLoss) -> bool:
    """Whether a bar of one name tells a loss nothing: it sees order, not level."""
    one = torch.ones((1, 1))
    _, counted = loss.per_day(torch.zeros_like(one), loss.tables(one, one.bool()))
    return not bool(counted.any())


def _target_scale(rows: Samples) -> dict[str, float]:
    deviation = float(rows.target.std(dtype=np.float64))
    return {
        "target_mean": float(rows.target.mean(dtype=np.float64)),
        "target_deviation": deviation if deviation > 0 else 1.0,
    }


def _scores(network: Scorer, block: CrossSections, bars_per_batch: int) -> FloatArray:
    """Scores (T, S), or class probabilities (T, S, K); NaN where there is no window."""
    tail = () if network.outputs == 1 else (network.outputs,)
    filled = np.full((*block.inputs.valid.shape, *tail), np.nan)
    if block.n_bars == 0:
        return filled
    scores, _, mask = score(network, block, bars_per_batch)
    values: Tensor = scores if not tail else scores.double().softmax(dim=2)
    inside = mask if not tail else mask.unsqueeze(2)
    found = torch.where(inside, values.double(), torch.nan)
    filled[block.bars] = found.cpu().numpy()
    return filled
