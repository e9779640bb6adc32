"""The ranker: networks trained on cross-sections, averaged as ranks over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import (
    ChannelScale,
    build_channels,
    channel_lookback,
    needs_scale,
)
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import resolve_device, torch_threads
from ranking_pipeline.learning.loop import LoopConfig, Measure, score, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.ranks import average_ranks
from ranking_pipeline.learning.windows import (
    BoolArray,
    ResidentPanel,
    window_transform,
)
from ranking_pipeline.ranking.metrics import rank_ic, tail_spread

FloatArray = npt.NDArray[np.floating]
HistoryRow = dict[str, float]


@dataclass(frozen=True)
class RankerSpec:
    """All that decides what a ranker is, apart from its data.

    Attributes
    ----------
    sequence_length : int
        Bars L of a window.
    normalization : str
        See :func:`ranking_pipeline.learning.channels.build_channels`.
    network : NetworkSpec
    loss : str
        A name of :func:`ranking_pipeline.learning.losses.make_loss`.
    loss_parameters : mapping
    loop : LoopConfig
        Its seed is replaced by each of ``seeds``.
    seeds : tuple of int
        One network each; their scores are averaged as ranks within the bar.
    min_symbols : int
        Smallest cross-section that is trained on or measured.
    top_pct, bottom_pct : float
        Tails of the validation spread.
    """

    sequence_length: int
    normalization: str
    network: NetworkSpec
    loss: str
    loss_parameters: Mapping[str, Any]
    loop: LoopConfig
    seeds: tuple[int, ...]
    min_symbols: int = 20
    top_pct: float = 0.1
    bottom_pct: float = 0.1

    @property
    def bars_required(self) -> int:
        """Bars that a complete window is computed from, with its channels' history."""
        return self.sequence_length + channel_lookback(self.normalization)


@dataclass(frozen=True)
class Ranker:
    """A fitted ranker.

    Attributes
    ----------
    spec : RankerSpec
    scale : ChannelScale or None
        Constants of the channels, fitted on the training bars.
    states : tuple of dict of Tensor
        Network parameters, one per seed.
    metrics : dict
        Validation metrics of the averaged score: best_ic, ic_std (ddof 1), ic_ir,
        ic_hit_rate, best_spread, n_bars, and epochs_trained, the latest epoch that is
        kept. The IC is against the payoff itself. NaN without validation.
    history : list of dict
        One row per seed and epoch, see :func:`ranking_pipeline.learning.loop.train`.
    """

    spec: RankerSpec
    scale: ChannelScale | None
    states: tuple[dict[str, Tensor], ...]
    metrics: dict[str, float]
    history: list[HistoryRow] = field(default_factory=list)


def train_ranker(
    ohlcv: FloatArray,
    target: FloatArray,
    payoff: FloatArray,
    cells: tuple[BoolArray, BoolArray],
    spec: RankerSpec,
    *,
    device: str = "cpu",
    threads: int = 1,
    on_epoch: Callable[[HistoryRow], None] | None = None,
) -> Ranker:
    """Train one network per seed on whole cross-sections.

    Parameters
    ----------
    ohlcv : ndarray, shape (S, T, 5)
        Open, high, low, close, volume; NaN where a symbol has no bar.
    target : ndarray, shape (T, S)
        What is learned; NaN where unknown. It is brought to mean 0 and deviation 1 over
        the training cells, which no ranking loss notices and pointwise losses need.
    payoff : ndarray, shape (T, S)
        The return behind the target; used for the validation spread alone.
    cells : (train, validation), ndarrays of bool, shape (T, S)
        Cells of each block whose label ends inside it. The channels' constants are
        fitted up to the last training bar. An all-False validation block keeps the last
        epoch.
    spec : RankerSpec
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    threads : int
        CPU threads; a result is repeatable to the bit for one number of them.
    on_epoch : callable, optional
        Called with each row of the history.

    Raises
    ------
    UserError
        When a name is unknown, no training bar is usable, or training fails.
    """
    train_cells, validation_cells = cells
    channels = build_channels(ohlcv, spec.normalization)
    scale = _fit_scale(channels, train_cells, spec.normalization)
    inputs = _resident(channels, scale, spec, device)
    learned = _standardised(target, train_cells)
    blocks = [
        CrossSections.build(inputs, learned, block, spec.min_symbols) for block in cells
    ]
    if validation_cells.any() and not blocks[1].n_bars:
        raise UserError(
            f"cs_ranking: no validation bar has {spec.min_symbols} names with a whole "
            "window; lower cs_ranking.batching.min_symbols_per_timestamp."
        )
    validation = blocks[1] if blocks[1].n_bars else None
    states, history = [], list[HistoryRow]()
    for seed in spec.seeds:
        network = make_network(spec.network, inputs.sample_shape, seed=seed)
        with torch_threads(threads):
            result = train(
                network,
                make_loss(spec.loss, **_seeded(spec, seed)),
                (blocks[0], validation),
                _measure(payoff, blocks[1], spec),
                replace(spec.loop, seed=seed),
                on_epoch=_tagged(on_epoch, seed),
            )
        states.append(result.state)
        history += [{"seed": float(seed)} | row for row in result.history]
    ranker = Ranker(spec, scale, tuple(states), {}, history)
    metrics = _validation_metrics(ranker, blocks[1], payoff)
    epochs = max(row["epoch"] for row in history if row["best"])
    return replace(ranker, metrics=metrics | {"epochs_trained": epochs})


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
    inputs = _resident(channels, ranker.scale, ranker.spec, device)
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


def _fit_scale(
    channels: npt.NDArray[np.float32], cells: BoolArray, normalization: str
) -> ChannelScale | None:
    if not needs_scale(normalization):
        return None
    bars = np.zeros(len(cells), dtype=np.bool_)
    used = np.flatnonzero(cells.any(axis=1))
    bars[: used[-1] + 1 if len(used) else 0] = True
    return ChannelScale.fit(channels, bars)


def _standardised(target: FloatArray, cells: BoolArray) -> FloatArray:
    known = target[cells & np.isfinite(target)]
    deviation = known.std() if len(known) else 0.0
    if not deviation > 0:
        return target
    return np.asarray((target - known.mean()) / deviation)


def _resident(
    channels: npt.NDArray[np.float32],
    scale: ChannelScale | None,
    spec: RankerSpec,
    device: str,
) -> ResidentPanel:
    return ResidentPanel.build(
        channels if scale is None else scale.apply(channels),
        spec.sequence_length,
        resolve_device(device),
        window_transform(spec.normalization),
    )


def _measure(payoff: FloatArray, block: CrossSections, spec: RankerSpec) -> Measure:
    payoffs = torch.from_numpy(payoff[block.bars]).to(block.inputs.device)

    def measure(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        ic = rank_ic(scores, targets, mask, spec.min_symbols)
        spread = tail_spread(scores, payoffs, mask, spec.top_pct, spec.bottom_pct)
        return {
            "validation_ic": ic.nanmean(),
            "validation_spread": spread.nanmean(),
        }

    return measure


def _validation_metrics(
    ranker: Ranker, block: CrossSections, payoff: FloatArray
) -> dict[str, float]:
    names = ("best_ic", "ic_std", "ic_ir", "ic_hit_rate", "best_spread", "n_bars")
    if block.n_bars == 0:
        return dict.fromkeys(names, float("nan"))
    spec = ranker.spec
    scores, mask = averaged_ranks(ranker, block)
    payoffs = torch.from_numpy(payoff[block.bars]).to(block.inputs.device)
    series = rank_ic(scores, payoffs, mask, spec.min_symbols)
    ic = series[torch.isfinite(series)]
    spread = tail_spread(scores, payoffs, mask, spec.top_pct, spec.bottom_pct)
    mean, deviation = ic.mean(), ic.std()
    values = torch.stack(
        [mean, deviation, mean / deviation, (ic > 0).double().mean(), spread.nanmean()]
    )
    return dict(zip(names, [*values.tolist(), float(len(ic))], strict=True))


def _seeded(spec: RankerSpec, seed: int) -> dict[str, Any]:
    parameters = dict(spec.loss_parameters)
    if parameters.get("max_pairs") is not None:
        parameters["seed"] = seed
    return parameters


def _tagged(
    on_epoch: Callable[[HistoryRow], None] | None, seed: int
) -> Callable[[HistoryRow], None] | None:
    if on_epoch is None:
        return None
    return lambda row: on_epoch({"seed": float(seed)} | row)
