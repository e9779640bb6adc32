"""The multi_task family: one encoder that learns several targets of a bar at once."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import torch_threads
from ranking_pipeline.learning.losses.base import CrossSectionLoss
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.networks.several_heads import (
    SeveralHeadsNetwork,
    SeveralTargets,
)
from ranking_pipeline.models.neural_config import MlpConfig
from ranking_pipeline.models.own_network import OwnNetworkModel
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples


class MultiTaskConfig(MlpConfig):
    """Parameters of the multi_task family."""

    helper_share: float = Field(
        ge=0,
        description="weight of the mean loss of the further targets beside the main "
        "target's 1; 0 learns the main target alone",
    )


@register
class MultiTaskModel(OwnNetworkModel):
    """A perceptron with one head for each target.

    The main target is ``train.target``; the columns of ``train.auxiliary`` help, as
    numbers in units of their deviation, by Huber's loss. A row need not know all of
    them. Validation judges the main target alone, and so do the scores.

    Measured beside mlp by ``python -m benchmarks families``, with returns of 1 and 20
    days as helpers of those of 5, it gains nothing. A helper pays where it has the
    signal of the main target and clearly less noise.
    """

    family: ClassVar[str] = "multi_task"
    description: ClassVar[str] = "perceptron with one head per target, on factors"
    multi_target: ClassVar[bool] = True
    config_type: ClassVar[type[Config]] = MultiTaskConfig

    def check(self, train: Samples) -> None:
        """Refuse rows as every family does, and rows without further targets.

        Raises
        ------
        UserError
            Also where a further target is infinite or never known.
        """
        super().check(train)
        if train.auxiliary is None or not train.auxiliary_names:
            raise UserError(
                "multi_task needs further targets, and its rows have none: set "
                "model_training.strategy to multi_task with several targets, or take "
                "the family mlp for one."
            )
        never = ~np.isfinite(train.auxiliary).any(axis=0)
        wrong = never | np.isinf(train.auxiliary).any(axis=0)
        if wrong.any():
            named = [train.auxiliary_names[k] for k in np.flatnonzero(wrong)]
            raise UserError(
                "multi_task cannot learn further targets that are infinite or never "
                f"known: {', '.join(named)}. Take them out of the list of targets."
            )

    def heads(self, rows: Samples) -> npt.NDArray[np.float32]:
        """Give what every head tells of the rows, each on the scale of its target.

        Returns
        -------
        ndarray of float32, shape (n, 1 + H)
            The score of :meth:`predict`, then one column for each further target in
            the order of training, see :attr:`helper_names`.
        """
        network = self._network.body
        assert isinstance(network, SeveralHeadsNetwork)
        score = self.predict(rows).score
        with torch_threads(1), torch.no_grad():
            design = torch.from_numpy(self._design(rows.features)).unsqueeze(1)
            network.eval()
            parts = [
                network.helpers(part.to(self._trained_on)) for part in _cut(design)
            ]
            told = torch.cat(parts).double().cpu().numpy()
        mean, deviation = self._facts["helper_mean"], self._facts["helper_deviation"]
        scaled = told * np.array(deviation) + np.array(mean)
        return np.column_stack([score, scaled]).astype(np.float32)

    @property
    def helper_names(self) -> tuple[str, ...]:
        """Names of the further targets that were learned."""
        return tuple(self._facts["helper_names"])

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        known = np.asarray(train.auxiliary, dtype=np.float64)
        deviation = np.nanstd(known, axis=0)
        return super()._fit_inputs(train) | {
            "helper_names": list(train.auxiliary_names),
            "helper_mean": np.nanmean(known, axis=0).tolist(),
            "helper_deviation": np.where(deviation > 0, deviation, 1.0).tolist(),
        }

    def _body(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> nn.Module:
        helpers = len(self._facts["helper_names"])
        return SeveralHeadsNetwork(spec, length, channels, outputs, helpers=helpers)

    def _trained_by(
        self, loss: CrossSectionLoss, rows: Samples, block: CrossSections
    ) -> CrossSectionLoss:
        assert rows.auxiliary is not None
        mean, deviation = self._facts["helper_mean"], self._facts["helper_deviation"]
        scaled = (rows.auxiliary - np.array(mean)) / np.array(deviation)
        _, symbols = np.unique(rows.symbols, return_inverse=True)
        shape = (rows.panel.n_bars, block.mask.shape[1], scaled.shape[1])
        helpers = np.full(shape, np.nan, dtype=np.float32)
        helpers[rows.bars, symbols] = scaled
        told = torch.from_numpy(helpers[block.bars]).to(block.inputs.device)
        outputs = self._network.outputs
        return SeveralTargets(loss, outputs, told, self.config.helper_share)


def _cut(design: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Cut rows into parts whose hidden units fit the cache of a processor."""
    return torch.split(design, 8192)
