"""The gan family: a generator draws the returns that may follow the factors of a bar."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import Batch, CrossSections, pieces
from ranking_pipeline.learning.device import seeded, torch_threads
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.networks.generator import (
    CriticNetwork,
    GeneratorNetwork,
    critic_loss,
    ranked_probability,
)
from ranking_pipeline.models.neural_config import AdamConfig
from ranking_pipeline.models.own_epochs import train_epochs
from ranking_pipeline.models.own_network import OwnNetworkModel
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.standardise import ClippedConfig

# Gulrajani et al. (2017) train both networks with little memory of past slopes.
_BETAS = (0.5, 0.9)


class GanConfig(ClippedConfig, AdamConfig):
    """Parameters of the gan family."""

    noise: int = Field(gt=0, description="dimensions of a draw of noise")
    draws: int = Field(
        ge=2,
        multiple_of=2,
        description="fixed draws per row whose mean is the prediction; even",
    )
    critic_steps: int = Field(
        gt=0, description="steps of the critic for one of the generator"
    )
    slope_penalty: float = Field(
        ge=0, description="weight of the squared distance of the critic's slope from 1"
    )
    averaging: float = Field(
        ge=0,
        lt=1,
        description="share of the averaged generator that each of its steps keeps; 0 "
        "takes the newest one",
    )


@register
class GanModel(OwnNetworkModel):
    """A generator of forward returns given the factors, trained against a critic.

    The critic tells drawn from real returns by the Wasserstein distance; the generator
    learns to leave it nothing to tell. The prediction is the mean over fixed draws, and
    :meth:`quantiles` come from the same draws. Validation judges the draws by their
    continuous ranked probability score, which rewards the right centre and spread.

    Returns alone can be drawn: there are no classes here. Rows with weights are weighed
    in both networks and in validation.

    Measured beside mlp by ``python -m benchmarks families``, its mean gains nothing, at
    many times the time. What it adds are quantiles; their spread follows the factors
    only with a small ``slope_penalty``: for rows with noise of 1 and of 0.3 it was 0.59
    and 0.53 with 1, and 0.90 and 0.31 with 0.1.
    """

    family: ClassVar[str] = "gan"
    description: ClassVar[str] = "conditional Wasserstein generator of returns"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    experimental: ClassVar[bool] = True
    config_type: ClassVar[type[Config]] = GanConfig

    def quantiles(
        self, rows: Samples, levels: Sequence[float]
    ) -> npt.NDArray[np.float32]:
        """Give quantiles of the returns that may follow, shape (n, len(levels)).

        Raises
        ------
        UserError
            When a level is not between 0 and 1.
        """
        if not all(0 <= level <= 1 for level in levels):
            raise UserError(f"levels are {list(levels)}; use numbers from 0 to 1.")
        with torch_threads(1), torch.no_grad():
            design = torch.from_numpy(self._design(rows.features)).unsqueeze(1)
            device = self._generator.draws.device
            told = self._generator.outcomes(design.to(device))
            wanted = torch.tensor(levels, dtype=told.dtype, device=device)
            values = torch.quantile(told, wanted, dim=1).T.double().cpu().numpy()
        mean, deviation = self._facts["target_mean"], self._facts["target_deviation"]
        return np.asarray(values * deviation + mean, dtype=np.float32)

    @property
    def _generator(self) -> GeneratorNetwork:
        body = self._network.body
        assert isinstance(body, GeneratorNetwork)
        return body

    def _body(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> nn.Module:
        own = {"noise": self.config.noise, "draws": self.config.draws}
        return GeneratorNetwork(spec, length, channels, **own)

    def _train(self, rows: Samples, validation: Samples | None) -> None:
        block, _ = self._block(rows, self._learned(rows))
        shape = block.inputs.sample_shape
        self._facts |= {"sample_shape": list(shape), "score_scale": None}
        self._network = self._new_network(shape).to(block.inputs.device)
        spec = NetworkSpec(name=self.family, **self._shared_with(NetworkSpec))
        with seeded(self.seed + 1, torch.device("cpu")):
            critic = CriticNetwork(spec, *shape).to(block.inputs.device)
        step = _AdversarialStep(self._generator, critic, block, self.config)
        judge = None
        if validation is not None and _counts(validation):
            held_out, _ = self._block(validation, self._learned(validation))

            def judge() -> float:
                return -_mean_score(self._generator, held_out)

        self._history = train_epochs(self._network, block, step, judge, self._loop())


class _AdversarialStep:
    """One step of the critic, and after several of them one of the generator."""

    def __init__(
        self,
        generator: GeneratorNetwork,
        critic: CriticNetwork,
        block: CrossSections,
        config: GanConfig,
    ) -> None:
        self._averaged, self._critic = generator, critic
        self._generator = copy.deepcopy(generator)
        self._block, self._config = block, config
        self._optimizers = [
            torch.optim.AdamW(
                network.parameters(),
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                betas=_BETAS,
                fused=True,
            )
            for network in (self._generator, critic)
        ]
        self._n_done = 0

    def __call__(self, batch: Batch) -> Tensor:
        """Give the critic's loss: minus the distance that it finds; 0 without weight."""
        real, weights = _weighed(self._block, batch)
        if not weights.any():
            return weights.sum()  # nothing counts here: there is nothing to learn
        windows, weights = batch.windows(), weights / weights.sum()
        with torch.no_grad():
            drawn = self._generator.sample(windows)
        penalty = self._config.slope_penalty
        loss = critic_loss(self._critic, windows, real, drawn, weights, penalty)
        self._update(self._critic, self._optimizers[1], loss)
        self._n_done += 1
        if self._n_done % self._config.critic_steps == 0:
            judged = self._critic(windows, self._generator.sample(windows))
            found = -(weights * judged).sum()
            self._update(self._generator, self._optimizers[0], found)
            self._average()
        return loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generator towards the one that steps: it circles."""
        pairs = zip(
            self._averaged.parameters(), self._generator.parameters(), strict=True
        )
        for averaged, newest in pairs:
            averaged.lerp_(newest, 1 - self._config.averaging)

    def _update(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor
    ) -> None:
        parameters = list(network.parameters())
        slopes = torch.autograd.grad(loss, parameters)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope
        nn.utils.clip_grad_norm_(parameters, self._config.gradient_clip)
        optimizer.step()


def _counts(rows: Samples) -> bool:
    return rows.weight is None or bool(rows.weight.any())


def _weighed(block: CrossSections, batch: Batch) -> tuple[Tensor, Tensor]:
    """Targets (N,) of a batch, and weights (N,); all 1 where rows have none."""
    real = batch.layout.collect(block.targets.index_select(0, batch.rows))
    if block.weights is None:
        return real, torch.ones_like(real)
    return real, batch.layout.collect(block.weights.index_select(0, batch.rows))


@torch.no_grad()
def _mean_score(generator: GeneratorNetwork, block: CrossSections) -> float:
    """Mean ranked probability score of a block, each row by its weight."""
    total, counted = 0.0, 0.0
    for batch in block.cut(pieces(np.arange(block.n_bars), 32)):
        real, weights = _weighed(block, batch)
        score = ranked_probability(generator.outcomes(batch.windows()), real)
        total += float((weights * score).sum())
        counted += float(weights.sum())
    return total / counted
