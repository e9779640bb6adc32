"""Sequence families: one network of ``learning/networks`` each, on windows of bars.

To add one: add the network there, three lines here, and a line to ``LISTINGS``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking_pipeline.config import Config
from ranking_pipeline.learning.channels import ChannelScale, build_channels, fit_scale
from ranking_pipeline.learning.device import resolve_device
from ranking_pipeline.learning.streaming import make_inputs
from ranking_pipeline.learning.windows import Inputs
from ranking_pipeline.models.neural import NeuralModel
from ranking_pipeline.models.neural_config import (
    AttentionConfig,
    ConvolutionConfig,
    CrossStockConfig,
    InterpolationConfig,
    PatchConfig,
    SequenceConfig,
    StockTransformerConfig,
)
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import OHLCV


class SequenceModel(NeuralModel):
    """A network over the window of bars that ends at a row's bar; no factors."""

    sequence: ClassVar[bool] = True
    config_type: ClassVar[type[Config]] = SequenceConfig

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        seen = np.zeros(train.panel.n_bars, dtype=np.bool_)
        seen[: train.bars.max() + 1] = True
        scale = fit_scale(
            self._channels(train),
            seen,
            self.config.normalization,
            self.config.sequence_length,
        )
        return {"channel_scale": None if scale is None else asdict(scale)}

    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        scale = self._facts["channel_scale"]
        return make_inputs(
            self._channels(rows),
            self.config.sequence_length,
            resolve_device(self.config.device),
            self.config.normalization,
            None if scale is None else ChannelScale.from_dict(scale),
        )

    def _channels(self, rows: Samples) -> npt.NDArray[np.float32]:
        """Channels of the symbols that occur in the rows, shape (symbols, T, 5)."""
        panel = rows.panel
        fields = [panel.fields.index(name) for name in OHLCV]
        used = panel.values[np.unique(rows.symbols)][:, :, fields]
        return build_channels(used, self.config.normalization)


@register
class GruModel(SequenceModel):
    """Gated recurrent units (Cho et al., 2014)."""

    family = "gru"
    description = "gated recurrent units on windows of bars (PyTorch)"


@register
class LstmModel(SequenceModel):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997)."""

    family = "lstm"
    description = "long short-term memory on windows of bars (PyTorch)"


@register
class AlstmModel(SequenceModel):
    """An LSTM with attention over its states (Feng et al., 2019)."""

    family = "alstm"
    description = "attentive long short-term memory on windows of bars (PyTorch)"


@register
class TcnModel(SequenceModel):
    """Dilated causal convolutions (Bai, Kolter and Koltun, 2018)."""

    family = "tcn"
    description = "temporal convolutions on windows of bars (PyTorch)"
    config_type = ConvolutionConfig


@register
class TransformerModel(SequenceModel):
    """A transformer encoder (Vaswani et al., 2017)."""

    family = "transformer"
    description = "transformer encoder on windows of bars (PyTorch)"
    config_type = AttentionConfig


@register
class MixerModel(SequenceModel):
    """Perceptrons over bars and over units in turn (Tolstikhin et al., 2021)."""

    family = "mixer"
    description = "mixer of bars and units on windows of bars (PyTorch)"


@register
class StockTransformerModel(SequenceModel):
    """Feature attention, then prediction attention, averaged over the bars."""

    family = "stock_transformer"
    description = "two-stage attention on windows of bars (PyTorch)"
    config_type = StockTransformerConfig


@register
class CrossStockModel(SequenceModel):
    """Names of a bar that see each other through market tokens (Lee et al., 2019).

    A score depends on which other names of the bar are scored with it: whole
    cross-sections belong together.
    """

    family = "cross_stock"
    description = "windows of bars whose names see each other (PyTorch)"
    config_type = CrossStockConfig


@register
class Cnn1dModel(SequenceModel):
    """Padded convolutions and pooling (LeCun et al., 1998)."""

    family = "cnn1d"
    description = "convolutions and pooling on windows of bars (PyTorch)"
    config_type = ConvolutionConfig


@register
class NhitsModel(SequenceModel):
    """Stacks of pooled perceptrons with backcasts (Challu et al., 2023)."""

    family = "nhits"
    description = "N-HiTS: multi-rate stacks on windows of bars (PyTorch)"
    config_type = InterpolationConfig


@register
class TftModel(SequenceModel):
    """The encoder of the temporal fusion transformer (Lim et al., 2021)."""

    family = "tft"
    description = "temporal fusion transformer on windows of bars (PyTorch)"
    config_type = AttentionConfig


@register
class PatchtstModel(SequenceModel):
    """A transformer over patches of bars (Nie et al., 2023)."""

    family = "patchtst"
    description = "PatchTST: attention over patches of bars (PyTorch)"
    config_type = PatchConfig
