"""The mlp family: a perceptron on the factors of one bar."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ranking_pipeline.config import Config
from ranking_pipeline.learning.device import resolve_device
from ranking_pipeline.learning.windows import Inputs, ResidentRows
from ranking_pipeline.models.neural import NeuralModel
from ranking_pipeline.models.neural_config import MlpConfig
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.standardise import mean_and_deviation


@register
class MlpModel(NeuralModel):
    """A perceptron on the factors of one bar.

    Factors are standardised by the training rows and clipped. An unknown factor enters
    as 0, the training mean, and a factor that is ever unknown in training brings a
    second input that says so: the network can tell "unknown" from "average".
    """

    family: ClassVar[str] = "mlp"
    description: ClassVar[str] = "perceptron on factors (PyTorch)"
    config_type: ClassVar[type[Config]] = MlpConfig

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        mean, deviation = mean_and_deviation(train.features)
        unknown = ~np.isfinite(train.features).all(axis=0)
        return {
            "feature_mean": mean.tolist(),
            "feature_deviation": np.where(deviation > 0, deviation, 1.0).tolist(),
            "sometimes_unknown": np.flatnonzero(unknown).tolist(),
        }

    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        shape = (rows.panel.n_bars, int(symbols.max(initial=0)) + 1)
        values = self._design(rows.features)
        device = resolve_device(self.config.device)
        return ResidentRows.build(values, rows.bars, symbols, shape, device)

    def _design(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        z = self._standardised(features)
        unknown = np.isnan(z)
        flags = unknown[:, self._facts["sometimes_unknown"]]
        return np.hstack([np.where(unknown, 0.0, z), flags]).astype(np.float32)

    def _standardised(
        self, features: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Factors in deviations of the training rows, clipped; NaN where unknown."""
        mean = np.array(self._facts["feature_mean"])
        z = (features - mean) / np.array(self._facts["feature_deviation"])
        z = z.clip(-self.config.clip_sigma, self.config.clip_sigma)
        return np.where(np.isfinite(features), z, np.nan)
