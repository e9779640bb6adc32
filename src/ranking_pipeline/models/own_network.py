"""Own networks: families on the factors of one bar whose network no other one shares."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from ranking_pipeline.learning.device import seeded
from ranking_pipeline.learning.networks import NetworkSpec, Scorer
from ranking_pipeline.models.families.mlp import MlpModel


class OwnNetworkModel(MlpModel):
    """What these families share: the inputs of mlp, and a network of their own."""

    @property
    def _trained_on(self) -> torch.device:
        """Device that holds the network."""
        return next(self._network.parameters()).device

    @abstractmethod
    def _body(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> nn.Module:
        """Make the network; torch is seeded."""

    def _new_network(self, sample_shape: tuple[int, int]) -> Scorer:
        spec = NetworkSpec(name=self.family, **self._shared_with(NetworkSpec))
        outputs = self._n_outputs
        with seeded(self.seed, torch.device("cpu")):
            return Scorer(self._body(spec, *sample_shape, outputs), outputs)
