"""The tab_transformer family: attention over the factors of one bar."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ranking_pipeline.config import Config
from ranking_pipeline.models.families.mlp import MlpModel
from ranking_pipeline.models.neural_config import TabTransformerConfig
from ranking_pipeline.models.registry import register


@register
class TabTransformerModel(MlpModel):
    """Factors as tokens that see each other (Gorishniy et al., 2021).

    It sees the factors of a row as the mlp does, standardised and clipped, but for the
    unknown: such a factor has a learned token in place of its value's, so that a flag
    need not be a token too.
    """

    family: ClassVar[str] = "tab_transformer"
    description: ClassVar[str] = "attention over factors (PyTorch)"
    config_type: ClassVar[type[Config]] = TabTransformerConfig

    def _design(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return self._standardised(features).astype(np.float32)
