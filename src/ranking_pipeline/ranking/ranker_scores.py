"""Ranker scores: what a fitted ranker says about a panel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.channels import ChannelScale, build_channels
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import resolve_device
from ranking_pipeline.learning.loop import score
from ranking_pipeline.learning.networks import Scorer, make_network
from ranking_pipeline.learning.ranks import average_ranks
from ranking_pipeline.learning.streaming import make_inputs
from ranking_pipeline.learning.windows import BoolArray, Inputs
from ranking_pipeline.ranking.fitted_ranker import Ranker
from ranking_pipeline.ranking.ranker_data import FloatArray
from ranking_pipeline.ranking.ranker_spec import RankerSpec

_MEGABYTE = 1e6


def score_panel(
    ranker: Ranker,
    ohlcv: FloatArray,
    cells: BoolArray | None = None,
    device: str = "cpu",
) -> npt.NDArray[np.float32]:
    """Score every cell of a panel whose window is complete.

    Parameters
    ----------
    ranker : Ranker
    ohlcv : ndarray, shape (S, T, 5)
    cells : ndarray of bool, shape (T, S), optional
        Cells to score and to rank against each other; all by default.
    device : str

    Returns
    -------
    ndarray of float32, shape (T, S)
        Mean over seeds of rank / (n + 1) within the bar, in (0, 1); NaN where the
        window is incomplete. Comparable within a bar only.
    """
    channels = build_channels(ohlcv, ranker.spec.normalization)
    where = resolve_device(device).type
    inputs = ranker_inputs(channels, ranker.scale, ranker.spec, where)
    wanted = np.ones_like(inputs.valid) if cells is None else cells
    block = CrossSections.build(inputs, np.zeros(inputs.valid.shape), wanted)
    scores = np.full(inputs.valid.shape, np.nan, dtype=np.float32)
    if block.n_bars:
        average, mask = averaged_ranks(ranker, block)
        found = torch.where(mask, average, torch.nan).cpu().numpy()
        scores[block.bars] = found
    return scores


def averaged_ranks(ranker: Ranker, block: CrossSections) -> tuple[Tensor, Tensor]:
    """Mean over seeds of rank / (n + 1), and where it exists; both (n_bars, S)."""
    total: Tensor | None = None
    for network in _networks(ranker, block.inputs.sample_shape):
        scores, _, mask = score(network, block, ranker.spec.loop.timestamps_per_batch)
        share = average_ranks(scores, mask) / (mask.sum(dim=1, keepdim=True) + 1)
        total = share if total is None else total + share
    assert total is not None
    return total / len(ranker.states), mask


def _networks(ranker: Ranker, shape: tuple[int, int]) -> list[Scorer]:
    networks = []
    for state in ranker.states:
        network = make_network(ranker.spec.network, shape, seed=0)
        network.load_state_dict(state)
        networks.append(network)
    return networks


def ranker_inputs(
    channels: npt.NDArray[np.float32],
    scale: ChannelScale | None,
    spec: RankerSpec,
    device: str,
) -> Inputs:
    """Make the windows (T, S) of a panel, resident or streamed as the budget allows."""
    budget = spec.device_budget_mb
    return make_inputs(
        channels,
        spec.sequence_length,
        device,
        spec.normalization,
        scale,
        None if budget is None else int(budget * _MEGABYTE),
    )
