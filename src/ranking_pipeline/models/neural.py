"""Neural families: a perceptron on factors and an LSTM on windows of bars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from ranking_pipeline.config import Config
from ranking_pipeline.learning.channels import ChannelScale, build_channels, needs_scale
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import resolve_device, torch_threads
from ranking_pipeline.learning.loop import (
    History,
    LoopConfig,
    negative_loss,
    score,
    train,
)
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.windows import (
    Inputs,
    ResidentPanel,
    ResidentRows,
    window_transform,
)
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.classes import CLASSES, class_output, encode
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import OHLCV

_WEIGHTS, _META = "model.safetensors", "model.json"
FloatArray = npt.NDArray[np.floating]


class NeuralConfig(Config):
    """Parameters that all neural families share."""

    hidden: int = Field(gt=0, description="units of a hidden layer or recurrent state")
    layers: int = Field(gt=0, description="hidden layers")
    dropout: float = Field(ge=0, lt=1, description="share of hidden units dropped")
    regression_loss: Literal["huber", "mse"] = Field(
        description="loss of a regression, on a target of mean 0 and deviation 1"
    )
    epochs: int = Field(gt=0, description="passes over the training bars at most")
    timestamps_per_batch: int = Field(gt=0, description="bars whose rows make one step")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    weight_decay: float = Field(ge=0, description="decoupled weight decay of Adam")
    gradient_clip: float = Field(gt=0, description="largest norm of a gradient")
    patience: int = Field(
        gt=0, description="epochs without a better validation loss before stopping"
    )
    min_delta: float = Field(ge=0, description="fall of the loss that counts as better")
    device: Literal["cpu", "cuda", "auto"] = Field(description="where to train")


class MlpConfig(NeuralConfig):
    """Parameters of the mlp family."""

    clip_sigma: float = Field(
        gt=0, description="standardised factors are clipped at this many deviations"
    )


class LstmConfig(NeuralConfig):
    """Parameters of the lstm family."""

    sequence_length: int = Field(gt=1, description="bars in a window")
    normalization: Literal["log_returns", "returns", "zscore", "none"] = Field(
        description="how the bars of a window are made comparable"
    )


class NeuralModel(BaseModel):
    """What the neural families share: the training loop, and files without code.

    A regression learns the target in training units (mean 0, deviation 1); classes
    learn by cross-entropy. With validation rows the epoch with the lowest loss is kept,
    otherwise the last one.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"regression", *CLASSES})

    _task: str
    _network: Scorer
    _facts: dict[str, Any]
    _history: History

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Learn from ``train``; ``validation`` chooses the epoch."""
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
        if self._task == "regression":
            deviation, mean = (
                self._facts["target_deviation"],
                self._facts["target_mean"],
            )
            return PredictionOutput((values * deviation + mean).astype(np.float32))
        return class_output(values)

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
        """One row per epoch, see :func:`ranking_pipeline.learning.loop.train`."""
        return getattr(self, "_history", [])

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        """Constants of the inputs, from the training rows, as JSON values."""
        raise TypeError(f"{type(self).__name__} does not say how its inputs are made")

    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        """Make inputs of the rows; ``symbols`` (n,) counts only those that occur."""
        raise TypeError(f"{type(self).__name__} does not say how its inputs are made")

    def _train(self, rows: Samples, validation: Samples | None) -> None:
        train_block, _ = self._block(rows, self._learned(rows))
        held_out = None
        if validation is not None:
            held_out, _ = self._block(validation, self._learned(validation))
            held_out = held_out if held_out.n_bars else None
        self._facts["sample_shape"] = list(train_block.inputs.sample_shape)
        self._network = self._new_network(train_block.inputs.sample_shape)
        loss = make_loss(
            self.config.regression_loss
            if self._task == "regression"
            else "cross_entropy"
        )
        result = train(
            self._network,
            loss,
            (train_block, held_out),
            negative_loss(loss),
            self._loop(),
        )
        self._history = result.history

    def _block(
        self, rows: Samples, values: FloatArray
    ) -> tuple[CrossSections, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
        """Cross-sections of the rows, and their places in (T, symbols that occur)."""
        _, symbols = np.unique(rows.symbols, return_inverse=True)
        shape = (rows.panel.n_bars, int(symbols.max(initial=0)) + 1)
        targets, cells = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
        targets[rows.bars, symbols] = values
        cells[rows.bars, symbols] = True
        inputs = self._inputs(rows, symbols)
        return CrossSections.build(inputs, targets, cells), (rows.bars, symbols)

    def _learned(self, rows: Samples) -> FloatArray:
        """Give what the network is to output: scaled targets, or class codes."""
        if self._task != "regression":
            return encode(rows.target, self._task).astype(np.float64)
        mean, deviation = self._facts["target_mean"], self._facts["target_deviation"]
        return np.asarray((rows.target.astype(np.float64) - mean) / deviation)

    def _new_network(self, sample_shape: tuple[int, int]) -> Scorer:
        config = self.config
        spec = NetworkSpec(self.family, config.hidden, config.layers, config.dropout)
        outputs = 1 if self._task == "regression" else len(CLASSES[self._task])
        return make_network(spec, sample_shape, outputs, seed=self.seed)

    def _loop(self) -> LoopConfig:
        shared = set(LoopConfig.__dataclass_fields__) & set(
            type(self.config).model_fields
        )
        chosen = {name: getattr(self.config, name) for name in shared}
        return LoopConfig(**chosen, seed=self.seed)


@register
class MlpModel(NeuralModel):
    """A perceptron on the factors of one bar.

    Factors are standardised by the training rows and clipped. An unknown factor enters
    as 0, the training mean, and a factor that is ever unknown in training brings a
    second input that says so: the network can tell "unknown" from "average".
    """

    family: ClassVar[str] = "mlp"
    description: ClassVar[str] = "perceptron on factors (PyTorch)"
    device: ClassVar[str] = "gpu"
    config_type: ClassVar[type[Config]] = MlpConfig

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        known = np.isfinite(train.features)
        count = np.maximum(known.sum(axis=0), 1)
        values = np.where(known, train.features, 0.0)
        mean = values.sum(axis=0) / count
        squares = np.where(known, values - mean, 0.0) ** 2
        deviation = np.sqrt(squares.sum(axis=0) / count)
        told = deviation > 1e-12 * np.maximum(1.0, np.abs(mean))
        return {
            "feature_mean": mean.tolist(),
            "feature_deviation": np.where(told, deviation, 1.0).tolist(),
            "sometimes_unknown": np.flatnonzero(~known.all(axis=0)).tolist(),
        }

    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        shape = (rows.panel.n_bars, int(symbols.max(initial=0)) + 1)
        values = self._design(rows.features)
        device = resolve_device(self.config.device)
        return ResidentRows.build(values, rows.bars, symbols, shape, device)

    def _design(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        mean = np.array(self._facts["feature_mean"])
        z = (features - mean) / np.array(self._facts["feature_deviation"])
        unknown = ~np.isfinite(features)
        z = np.where(
            unknown, 0.0, z.clip(-self.config.clip_sigma, self.config.clip_sigma)
        )
        flags = unknown[:, self._facts["sometimes_unknown"]]
        return np.hstack([z, flags]).astype(np.float32)


@register
class LstmModel(NeuralModel):
    """Long short-term memory on windows of bars (Hochreiter and Schmidhuber, 1997)."""

    family: ClassVar[str] = "lstm"
    description: ClassVar[str] = "long short-term memory on windows of bars (PyTorch)"
    device: ClassVar[str] = "gpu"
    sequence: ClassVar[bool] = True
    config_type: ClassVar[type[Config]] = LstmConfig

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        if not needs_scale(self.config.normalization):
            return {"channel_scale": None}
        seen = np.zeros(train.panel.n_bars, dtype=np.bool_)
        seen[: train.bars.max() + 1] = True
        scale = ChannelScale.fit(self._channels(train), seen)
        return {"channel_scale": asdict(scale)}

    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        channels, scale = self._channels(rows), self._facts["channel_scale"]
        if scale is not None:
            channels = ChannelScale(
                tuple(scale["mean"]), tuple(scale["deviation"])
            ).apply(channels)
        return ResidentPanel.build(
            channels,
            self.config.sequence_length,
            resolve_device(self.config.device),
            window_transform(self.config.normalization),
        )

    def _channels(self, rows: Samples) -> npt.NDArray[np.float32]:
        """Channels of the symbols that occur in the rows, shape (symbols, T, 5)."""
        panel = rows.panel
        fields = [panel.fields.index(name) for name in OHLCV]
        used = panel.values[np.unique(rows.symbols)][:, :, fields]
        return build_channels(used, self.config.normalization)


def _target_scale(rows: Samples) -> Mapping[str, float]:
    deviation = float(rows.target.std(dtype=np.float64))
    return {
        "target_mean": float(rows.target.mean(dtype=np.float64)),
        "target_deviation": deviation if deviation > 0 else 1.0,
    }


def _scores(network: Scorer, block: CrossSections, bars_per_batch: int) -> FloatArray:
    """Scores (T, S), or class probabilities (T, S, K); NaN where there is no window."""
    n_bars, n_symbols = block.targets.shape
    tail = () if network.outputs == 1 else (network.outputs,)
    filled = np.full((n_bars, n_symbols, *tail), np.nan)
    if block.n_bars == 0:
        return filled
    scores, _, mask = score(network, block, bars_per_batch)
    values: Tensor = scores if not tail else scores.double().softmax(dim=2)
    inside = mask if not tail else mask.unsqueeze(2)
    found = torch.where(inside, values.double(), torch.nan)
    filled[block.bars] = found.cpu().numpy()
    return filled
