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
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.models.scaled_levels import SCALED_LEVELS, scaled_levels
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
            max_missing=self._max_missing,
        )

    @property
    def _max_missing(self) -> int:
        """Bars that a window may lack; more than 0 only where a network masks them."""
        return 0

    def _channels(self, rows: Samples) -> npt.NDArray[np.float32]:
        """Channels of the symbols that occur in the rows, (symbols, T, 5 or 25)."""
        panel, symbols = rows.panel, np.unique(rows.symbols)
        if self.config.normalization == SCALED_LEVELS:
            return scaled_levels(panel, symbols)
        fields = [panel.fields.index(name) for name in OHLCV]
        used = panel.values[symbols][:, :, fields]
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
    """Feature attention, then prediction attention, averaged over the bars.

    Windows may lack some bars, which attention and average leave out. An epoch draws
    some symbols of some bars: all 100,000 rows would take two minutes of a processor.

    Notes
    -----
    Measured on S&P 500 names, returns of 5 days, trained to 2017 on 99,681 rows; rank
    IC (t-value by blocks) on 2018 alone, by which the epoch was chosen too. A fit of
    the shipped parameters takes 95 processor seconds and gave 0.033 (1.8); squared
    error without pairs 0.040 (2.0), other channels (``log_returns``) 0.008 (0.4). With
    32 units two seeds gave 0.027 and 0.033, without pairs -0.011 and 0.042, with
    ``log_returns`` 0.019 and 0.007, then without pairs 0.018 and 0.006. None of these
    is sure to differ from another. Pairs judged by a hinge without margin shrink all
    scores of a bar to one (spread 2e-5 to 4e-5 deviations of the target); the logistic
    form does not.
    """

    family = "stock_transformer"
    description = "two-stage attention on windows of bars (PyTorch)"
    config_type = StockTransformerConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Learn from ``train``; some bars of ``validation`` choose the epoch."""
        most = self.config.max_validation_rows
        if validation is not None and most is not None:
            validation = thin(validation, most)
        super().fit(train, validation)

    @property
    def _max_missing(self) -> int:
        share, length = self.config.max_missing_share, self.config.sequence_length
        # 0.29 * 100 is below 29.
        return int(share * length + 1e-9)


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
