"""The vae family: a variational information bottleneck on the factors of one bar."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from ranking_pipeline.config import Config
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.losses.base import CrossSectionLoss
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.networks.bottleneck import (
    BottleneckLoss,
    BottleneckNetwork,
)
from ranking_pipeline.models.neural_config import MlpConfig
from ranking_pipeline.models.own_network import OwnNetworkModel
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples


class VaeConfig(MlpConfig):
    """Parameters of the vae family."""

    code: int = Field(gt=0, description="dimensions of the code between the heads")
    beta: float = Field(
        ge=0,
        description="weight of the divergence of the code from a standard normal, in "
        "nats, beside the loss of the prediction; 0 leaves the code free, a large one "
        "makes every prediction the same",
    )
    reconstruction: float = Field(
        ge=0, description="weight of the mean squared error of the factors told back"
    )


@register
class VaeModel(OwnNetworkModel):
    """A network that predicts from a short noisy code, which also tells its input back.

    The encoder gives a normal distribution for each row. Steps draw a code from it;
    predictions take its mean. The divergence from a standard normal limits what the
    code can carry, and validation judges the prediction alone.

    Measured beside mlp by ``python -m benchmarks families``, it gains nothing.
    """

    family: ClassVar[str] = "vae"
    description: ClassVar[str] = "variational information bottleneck on factors"
    experimental: ClassVar[bool] = True
    config_type: ClassVar[type[Config]] = VaeConfig

    def _body(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> nn.Module:
        return BottleneckNetwork(spec, length, channels, outputs, code=self.config.code)

    def _trained_by(
        self, loss: CrossSectionLoss, rows: Samples, block: CrossSections
    ) -> CrossSectionLoss:
        return BottleneckLoss(
            loss, self._network.outputs, self.config.reconstruction, self.config.beta
        )
