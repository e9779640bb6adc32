"""Networks by name: windows (N, L, C) in, one score or K class scores out.

To add one, write a small file with an ``nn.Module`` whose constructor takes (spec,
length, channels, outputs) and whose forward gives (N, outputs) through ``score_head``,
then add its line to ``_NETWORKS``; the tests of all networks find it by that name.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.device import seeded
from ranking_pipeline.learning.networks.attentive_recurrent import (
    AttentiveRecurrentNetwork,
)
from ranking_pipeline.learning.networks.base import (
    CrossStockNetwork,
    NetworkSpec,
    Scorer,
    SeriesNetwork,
)
from ranking_pipeline.learning.networks.cnn1d import PooledConvolutionNetwork
from ranking_pipeline.learning.networks.convolutional import ConvolutionalNetwork
from ranking_pipeline.learning.networks.cross_stock import MarketTokenNetwork
from ranking_pipeline.learning.networks.linear import LinearNetwork
from ranking_pipeline.learning.networks.mixer import MixerNetwork
from ranking_pipeline.learning.networks.nhits import InterpolatedStacksNetwork
from ranking_pipeline.learning.networks.patchtst import PatchTransformerNetwork
from ranking_pipeline.learning.networks.perceptron import PerceptronNetwork
from ranking_pipeline.learning.networks.recurrent import (
    LARGEST_RECURRENT_STATE,
    RecurrentNetwork,
)
from ranking_pipeline.learning.networks.stock_transformer import StockTransformerNetwork
from ranking_pipeline.learning.networks.tab_transformer import (
    FactorTransformerNetwork,
)
from ranking_pipeline.learning.networks.tft import FusionNetwork
from ranking_pipeline.learning.networks.transformer import TransformerNetwork

__all__ = [
    "LARGEST_RECURRENT_STATE",
    "CrossStockNetwork",
    "NetworkSpec",
    "Scorer",
    "SeriesNetwork",
    "make_network",
    "network_names",
]

_NETWORKS: dict[str, Callable[[NetworkSpec, int, int, int], nn.Module]] = {
    "linear": LinearNetwork,
    "mlp": PerceptronNetwork,
    "lstm": RecurrentNetwork,
    "gru": RecurrentNetwork,
    "alstm": AttentiveRecurrentNetwork,
    "tcn": ConvolutionalNetwork,
    "transformer": TransformerNetwork,
    "mixer": MixerNetwork,
    "stock_transformer": StockTransformerNetwork,
    "cross_stock": MarketTokenNetwork,
    "cnn1d": PooledConvolutionNetwork,
    "nhits": InterpolatedStacksNetwork,
    "tft": FusionNetwork,
    "patchtst": PatchTransformerNetwork,
    "tab_transformer": FactorTransformerNetwork,
}


def network_names() -> list[str]:
    """List the names that :func:`make_network` knows."""
    return sorted(_NETWORKS)


def make_network(
    spec: NetworkSpec, sample_shape: tuple[int, int], outputs: int = 1, *, seed: int
) -> Scorer:
    """Build a network with weights drawn from ``seed``.

    Parameters
    ----------
    spec : NetworkSpec
    sample_shape : (L, C)
    outputs : int
        1 for a score, the number of classes K for a classifier.
    seed : int
        torch's own random state is left as it was.

    Raises
    ------
    UserError
        When the name is unknown or the size is not allowed.
    """
    if spec.name not in _NETWORKS:
        raise UserError(
            f"network.name is {spec.name!r}; use one of {', '.join(network_names())}."
        )
    length, channels = sample_shape
    with seeded(seed, torch.device("cpu")):
        return Scorer(_NETWORKS[spec.name](spec, length, channels, outputs), outputs)
