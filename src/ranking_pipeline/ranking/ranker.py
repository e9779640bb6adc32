"""The ranker: networks trained on cross-sections, averaged as ranks over seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
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
    fit_scale,
)
from ranking_pipeline.learning.checkpoints import CheckpointFile
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import (
    Group,
    SingleProcess,
    resolve_device,
    torch_threads,
    use_huge_pages,
)
from ranking_pipeline.learning.loop import LoopConfig, Measure, score, train
from ranking_pipeline.learning.losses import loss_parameters, make_loss
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.ranks import average_ranks
from ranking_pipeline.learning.streaming import make_inputs
from ranking_pipeline.learning.windows import BoolArray, Inputs
from ranking_pipeline.ranking.metrics import rank_ic
from ranking_pipeline.ranking.tails import tail_spread
from ranking_pipeline.ranking.validation import (
    no_validation_metrics,
    require_returns,
    validation_metrics,
)
from ranking_pipeline.storage import module_digest, sources_digest

FloatArray = npt.NDArray[np.floating]
HistoryRow = dict[str, float]
MEGABYTE = 1e6


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
    cost_bps_per_side : float
        Basis points of the traded notional in the net validation spread.
    device_budget_mb : float or None
        Megabytes that the bars may take on the device; a larger panel is streamed.
    processes : int
        Processes that share each step's bars.
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
    cost_bps_per_side: float = 0.0
    device_budget_mb: float | None = None
    processes: int = 1

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> RankerSpec:
        """Rebuild a spec from what :func:`dataclasses.asdict` made of it."""
        values = dict(stored) | {
            "network": NetworkSpec(**stored["network"]),
            "loop": LoopConfig(**stored["loop"]),
            "seeds": tuple(stored["seeds"]),
        }
        return cls(**values)

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
        Of the averaged score on the validation block, against the payoff itself: see
        :func:`ranking_pipeline.ranking.validation.validation_metrics`. Besides,
        ``seed_ic_mean`` and ``seed_ic_std`` (ddof 1) over the best epochs of the single
        seeds, and ``epochs_trained``, the latest epoch that is kept. NaN without
        validation.
    history : list of dict
        One row per seed and epoch, see :func:`ranking_pipeline.learning.loop.train`.
    counts : dict
        Bars and windows of the train and the validation block, and the bars of each
        that have too few names.
    """

    spec: RankerSpec
    scale: ChannelScale | None
    states: tuple[dict[str, Tensor], ...]
    metrics: dict[str, float]
    history: list[HistoryRow] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class Watcher:
    """Hears how training goes; this one does nothing with it."""

    def start(self, windows: int) -> None:
        """Training begins, of at most so many windows over all epochs and seeds."""

    def step(self, windows: int) -> None:
        """A step took so many windows."""

    def epoch(self, row: HistoryRow) -> None:
        """An epoch is over; the row also holds ``windows_per_second``."""

    def reach(self, windows: int) -> None:
        """So many windows need no more steps: a seed has stopped, early or not."""


@dataclass(frozen=True)
class Checkpoints:
    """Where unfinished training is kept: one file per seed.

    Attributes
    ----------
    folder : Path
    every_seconds : float
        See :class:`ranking_pipeline.learning.checkpoints.CheckpointFile`.
    """

    folder: Path
    every_seconds: float

    def of(self, seed: int, key: str) -> CheckpointFile:
        """The file of one seed; ``key`` names all that its result depends on."""
        return CheckpointFile(
            self.folder / f"seed-{seed}.ckpt", key, self.every_seconds
        )


@dataclass(frozen=True)
class TrainingData:
    """What a ranker learns from.

    Attributes
    ----------
    ohlcv : ndarray, shape (S, T, 5)
        Open, high, low, close, volume; NaN where a symbol has no bar.
    target : ndarray, shape (T, S)
        What is learned; NaN where unknown. It is brought to mean 0 and deviation 1 over
        the training cells, which no ranking loss notices and pointwise losses need.
    payoff : ndarray, shape (T, S)
        The simple return behind the target; only measured, never learned.
    train, validation : ndarray of bool, shape (T, S)
        Cells of each block whose label ends inside it. The channels' constants are
        fitted up to the last training bar. An all-False validation block keeps the last
        epoch.
    lag_bars, horizon_bars : int
        Of the payoff: from the decision to the entry, and from there to the exit.
    """

    ohlcv: FloatArray
    target: FloatArray
    payoff: FloatArray
    train: BoolArray
    validation: BoolArray
    lag_bars: int = 0
    horizon_bars: int = 1

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        names = ("ohlcv", "target", "payoff", "train", "validation")
        return {name: getattr(self, name) for name in names}

    def digest(self) -> str:
        """SHA-256 of all of it."""
        content = hashlib.sha256(f"{self.lag_bars} {self.horizon_bars}".encode())
        for name, values in self.arrays().items():
            content.update(f"{name} {values.dtype} {values.shape}".encode())
            content.update(np.ascontiguousarray(values).data)
        return content.hexdigest()


def train_ranker(
    data: TrainingData,
    spec: RankerSpec,
    *,
    device: str = "cpu",
    threads: int = 1,
    checkpoints: Checkpoints | None = None,
    watcher: Watcher | None = None,
) -> Ranker:
    """Train one network per seed on whole cross-sections.

    Parameters
    ----------
    data : TrainingData
    spec : RankerSpec
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    threads : int
        CPU threads; a result is repeatable to the bit for one number of them.
    checkpoints : Checkpoints, optional
        A training that was killed goes on from there, to the same bits.
    watcher : Watcher, optional

    Raises
    ------
    UserError
        When a name is unknown, no training bar is usable, or training fails.
    """
    where = resolve_device(device).type
    watcher = watcher or Watcher()
    if spec.processes > 1:
        return _train_together(data, spec, where, threads, checkpoints, watcher)
    with torch_threads(threads):
        return _train(data, spec, where, threads, checkpoints, watcher)


def _train(
    data: TrainingData,
    spec: RankerSpec,
    device: str,
    threads: int,
    checkpoints: Checkpoints | None,
    watcher: Watcher,
    group: Group = SingleProcess(),  # noqa: B008 - immutable
) -> Ranker:
    use_huge_pages()  # each process of a group comes here by itself
    channels = build_channels(data.ohlcv, spec.normalization)
    scale = _fit_scale(channels, data.train, spec)
    inputs = _inputs(channels, scale, spec, device)
    learned = _standardised(data.target, data.train)
    blocks = [
        CrossSections.build(inputs, learned, cells, spec.min_symbols)
        for cells in (data.train, data.validation)
    ]
    _require_validation(data, blocks[1], spec)
    require_returns(torch.from_numpy(data.payoff[blocks[1].bars]), blocks[1].mask.cpu())
    at_most = _windows_at_most(blocks[0], spec)
    watcher.start(at_most)
    key = "" if checkpoints is None else _key(data, spec, device, threads)
    states, history = [], list[HistoryRow]()
    for seed in spec.seeds:
        network = make_network(spec.network, inputs.sample_shape, seed=seed)
        result = train(
            network,
            make_loss(spec.loss, **_seeded(spec, seed)),
            (blocks[0], blocks[1] if blocks[1].n_bars else None),
            _measure(data.payoff, blocks[1], spec),
            replace(spec.loop, seed=seed),
            on_epoch=_tagged(watcher.epoch, seed),
            on_step=watcher.step,
            checkpoint=None if checkpoints is None else checkpoints.of(seed, key),
            group=group,
        )
        states.append(result.state)
        watcher.reach(at_most * len(states) // len(spec.seeds))
        history += [{"seed": float(seed)} | row for row in result.history]
    ranker = Ranker(spec, scale, tuple(states), {}, history, _counts(blocks))
    return replace(ranker, metrics=_metrics(ranker, data, blocks[1]))


def _train_together(
    data: TrainingData,
    spec: RankerSpec,
    device: str,
    threads: int,
    checkpoints: Checkpoints | None,
    watcher: Watcher,
) -> Ranker:
    """Train in several processes, each on its share of every step."""
    from ranking_pipeline.learning.distributed import train_distributed

    options = {
        "spec": asdict(spec),
        "lag_bars": data.lag_bars,
        "horizon_bars": data.horizon_bars,
        "threads": threads,
        "checkpoints": checkpoints
        and {
            "folder": str(checkpoints.folder.absolute()),
            "every_seconds": checkpoints.every_seconds,
        },
    }
    found = train_distributed(
        "ranking_pipeline.ranking.ranker:train_share",
        data.arrays(),
        options,
        processes=spec.processes,
        device=device,
        threads=threads,
        on_report=lambda event: getattr(watcher, event["what"])(event["value"]),
    )
    states: list[dict[str, Tensor]] = [{} for _ in spec.seeds]
    for name, values in found.arrays.items():
        place, parameter = name.split(".", 1)
        states[int(place)][parameter] = torch.from_numpy(values)
    scale, facts = found.values["scale"], found.values
    return Ranker(
        spec,
        None if scale is None else ChannelScale.from_dict(scale),
        tuple(states),
        facts["metrics"],
        facts["history"],
        facts["counts"],
    )


def train_share(share: Any) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Do one process's share of :func:`train_ranker`; run by ``train_distributed``."""
    options = share.options
    kept = options["checkpoints"]
    ranker = _train(
        TrainingData(
            **share.arrays,
            lag_bars=options["lag_bars"],
            horizon_bars=options["horizon_bars"],
        ),
        RankerSpec.from_dict(options["spec"]),
        share.device,
        options["threads"],
        kept and Checkpoints(Path(kept["folder"]), kept["every_seconds"]),
        _Reporting(share.report, share.group.size),
        share.group,
    )
    arrays = {
        f"{place}.{name}": value.numpy()
        for place, state in enumerate(ranker.states)
        for name, value in state.items()
    }
    scale = None if ranker.scale is None else asdict(ranker.scale)
    return arrays, {
        "scale": scale,
        "metrics": ranker.metrics,
        "history": ranker.history,
        "counts": ranker.counts,
    }


class _Reporting(Watcher):
    """Sends what it hears to the process that started the training.

    Only the first process is heard: its windows stand for those of all.
    """

    def __init__(
        self, report: Callable[[Mapping[str, Any]], None], processes: int
    ) -> None:
        self._report = report
        self._processes = processes

    def start(self, windows: int) -> None:
        self._report({"what": "start", "value": windows})

    def step(self, windows: int) -> None:
        self._report({"what": "step", "value": windows * self._processes})

    def epoch(self, row: HistoryRow) -> None:
        self._report({"what": "epoch", "value": row})

    def reach(self, windows: int) -> None:
        self._report({"what": "reach", "value": windows})


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
    inputs = _inputs(channels, ranker.scale, ranker.spec, where)
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
    channels: npt.NDArray[np.float32], cells: BoolArray, spec: RankerSpec
) -> ChannelScale | None:
    bars = np.zeros(len(cells), dtype=np.bool_)
    used = np.flatnonzero(cells.any(axis=1))
    bars[: used[-1] + 1 if len(used) else 0] = True
    return fit_scale(channels, bars, spec.normalization, spec.sequence_length)


def _standardised(target: FloatArray, cells: BoolArray) -> FloatArray:
    known = target[cells & np.isfinite(target)]
    deviation = known.std() if len(known) else 0.0
    if not deviation > 0:
        return target
    return np.asarray((target - known.mean()) / deviation)


def _inputs(
    channels: npt.NDArray[np.float32],
    scale: ChannelScale | None,
    spec: RankerSpec,
    device: str,
) -> Inputs:
    budget = spec.device_budget_mb
    return make_inputs(
        channels,
        spec.sequence_length,
        device,
        spec.normalization,
        scale,
        None if budget is None else int(budget * MEGABYTE),
    )


def _require_validation(
    data: TrainingData, block: CrossSections, spec: RankerSpec
) -> None:
    if data.validation.any() and not block.n_bars:
        raise UserError(
            f"cs_ranking: no validation bar has {spec.min_symbols} names with a whole "
            "window; lower cs_ranking.batching.min_symbols_per_timestamp."
        )


def _windows_at_most(block: CrossSections, spec: RankerSpec) -> int:
    """Windows of all epochs and seeds, if training never stops early."""
    counts = np.diff(block.offsets)
    if spec.loop.symbols_per_timestamp is not None:
        counts = np.minimum(counts, spec.loop.symbols_per_timestamp)
    n_bars = max(1, len(counts))
    share = min(1.0, (spec.loop.timestamps_per_epoch or n_bars) / n_bars)
    return int(counts.sum() * share * spec.loop.epochs * len(spec.seeds))


def _counts(blocks: list[CrossSections]) -> dict[str, int]:
    return {
        f"{name}_{what}": count
        for name, block in zip(("train", "validation"), blocks, strict=True)
        for what, count in (
            ("bars", block.n_bars),
            ("windows", block.n_cells),
            ("bars_dropped", block.n_dropped),
        )
    }


def _key(data: TrainingData, spec: RankerSpec, device: str, threads: int) -> str:
    """Name all that one seed's network depends on, to the bit: the code too."""
    # Each seed has a file of its own; the cost enters the final metrics alone.
    one = asdict(replace(spec, seeds=(), cost_bps_per_side=0.0))
    facts = [one, data.digest(), device, threads, torch.__version__]
    facts += [np.__version__, sources_digest("learning", "ranking")]
    losses = [spec.loss, *(spec.loss_parameters.get("terms") or {})]
    facts += [module_digest(name) for name in losses if ":" in name]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


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


def _metrics(
    ranker: Ranker, data: TrainingData, block: CrossSections
) -> dict[str, float]:
    """Measure the averaged score, and how much the single seeds differ."""
    kept = [row for row in ranker.history if row["best"]]
    epochs = {"epochs_trained": max(row["epoch"] for row in kept)}
    if block.n_bars == 0:
        nothing = no_validation_metrics()
        return nothing | {"seed_ic_mean": np.nan, "seed_ic_std": np.nan} | epochs
    spec = ranker.spec
    scores, mask = averaged_ranks(ranker, block)
    measured = validation_metrics(
        scores,
        torch.from_numpy(data.payoff[block.bars]).to(block.inputs.device),
        mask,
        top_pct=spec.top_pct,
        bottom_pct=spec.bottom_pct,
        min_symbols=spec.min_symbols,
        cost_bps_per_side=spec.cost_bps_per_side,
        lag_bars=data.lag_bars,
        horizon_bars=data.horizon_bars,
        bars=block.bars,
    )
    # The last epoch that was kept is the seed's best.
    best = {row["seed"]: row["validation_ic"] for row in kept}
    ics = np.array(list(best.values()))
    spread = float(ics.std(ddof=1)) if len(ics) > 1 else np.nan
    return (
        measured | {"seed_ic_mean": float(ics.mean()), "seed_ic_std": spread} | epochs
    )


def _seeded(spec: RankerSpec, seed: int) -> dict[str, Any]:
    """Give a loss that draws pairs the seed of its network."""
    parameters = dict(spec.loss_parameters)
    if "seed" in loss_parameters(spec.loss):
        parameters["seed"] = seed
    return parameters


def _tagged(
    on_epoch: Callable[[HistoryRow], None], seed: int
) -> Callable[[HistoryRow], None]:
    return lambda row: on_epoch({"seed": float(seed)} | row)
