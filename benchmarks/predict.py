"""Live ranking: a predictor, a rolling buffer, and a loop over the symbols."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.harness import Row, row
from ranking_pipeline.learning.channels import ChannelScale, build_channels
from ranking_pipeline.learning.device import torch_threads
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.ranking.buffer import RollingBuffer
from ranking_pipeline.ranking.predictor import CrossSectionalRankingPredictor
from ranking_pipeline.ranking.ranker import Ranker, RankerSpec

LENGTH, HIDDEN, CALLS = 64, 64, 15
NETWORKS = ("lstm", "gru", "linear")
Windows = dict[str, npt.NDArray[np.float32]]


class TimedNetwork(nn.Module):
    """A network that adds up the processor time it takes."""

    def __init__(self, network: Scorer) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, windows: Tensor, layout: Layout) -> Tensor:
        """Score windows (N, L, C)."""
        started = time.process_time()
        scores: Tensor = self.network(windows, layout)
        self.seconds += time.process_time() - started
        return scores


@dataclass(frozen=True)
class Case:
    """A universe of bars and three ways to rank it with one network."""

    network: TimedNetwork
    predictor: CrossSectionalRankingPredictor
    naive: Callable[[Windows], list[str]]
    buffer: RollingBuffer
    bars: npt.NDArray[np.float32]


def run(rounds: int | None = None) -> list[Row]:
    """Rank 100 and 1,000 symbols; milliseconds of processor time per call.

    ``100 symbols lstm`` is what a call takes beyond its network, per symbol mapping;
    ``buffer`` the same for a tick and a ranking of the rolling buffer. The peer
    normalises, stacks and sorts symbol by symbol.
    """
    rows = []
    with torch_threads(1):
        for name in NETWORKS:
            rows += _rows(name, 100, rounds or 9)
        rows += _rows("linear", 1000, rounds or 9)
    return rows


def _rows(name: str, n_symbols: int, rounds: int) -> list[Row]:
    case = make_case(name, n_symbols)
    windows = case.buffer.windows()
    ticks = itertools.count()

    def tick() -> None:
        place = next(ticks)
        bar = case.bars[:, place % case.bars.shape[1]]
        case.buffer.push(bar, np.datetime64("2030-01-01") + place)
        if len(case.buffer.ranking().rankings) != n_symbols:
            raise RuntimeError("the buffer left symbols out")

    sides: dict[str, Callable[[], object]] = {
        "dict": lambda: case.predictor.predict(windows),
        "buffer": tick,
        "naive": lambda: case.naive(windows),
    }
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for call in sides.values():
        call()
    for _ in range(rounds):
        for side, found in _round(sides, case.network).items():
            taken[side].append(found)
    label = f"{n_symbols} symbols {name}"
    peer_over, peer_all = zip(*taken["naive"], strict=True)
    rows = []
    for side, tail in (("dict", ""), ("buffer", " buffer")):
        over, whole = zip(*taken[side], strict=True)
        rows.append(row(label + tail, "ms beyond the network", over, peer_over))
        rows.append(row(label + tail + " whole", "ms", whole, peer_all))
    return rows


def _round(
    sides: Mapping[str, Callable[[], object]], network: TimedNetwork
) -> dict[str, tuple[float, float]]:
    """Median ms beyond the network and in all; each side calls some times in a row."""
    over: dict[str, list[float]] = {side: [] for side in sides}
    whole: dict[str, list[float]] = {side: [] for side in sides}
    for side, call in sides.items():
        for _ in range(CALLS):
            network.seconds = 0.0
            started = time.process_time()
            call()
            seconds = time.process_time() - started
            whole[side].append(1e3 * seconds)
            over[side].append(1e3 * (seconds - network.seconds))
    return {side: (median(over[side]), median(whole[side])) for side in sides}


def make_case(name: str, n_symbols: int) -> Case:
    """Bars of a random walk, and one untrained network for all three ways."""
    spec = RankerSpec(
        sequence_length=LENGTH,
        normalization="log_returns",
        network=NetworkSpec(name, HIDDEN),
        loss="pairwise",
        loss_parameters={},
        loop=LoopConfig(),
        seeds=(0,),
    )
    network = make_network(spec.network, (LENGTH, 5), seed=0)
    scale = ChannelScale((0.01, 0.02, -0.01, 0.0, 0.1), (1.1, 1.0, 0.9, 1.0, 0.5))
    ranker = Ranker(spec, scale, (dict(network.state_dict()),), {})
    predictor = CrossSectionalRankingPredictor(ranker)
    timed = TimedNetwork(predictor._networks[0])
    predictor._networks = [timed]  # type: ignore[list-item]
    bars = random_bars(n_symbols, spec.bars_required)
    symbols = [f"S{place:05d}" for place in range(n_symbols)]
    buffer = RollingBuffer(predictor, symbols)
    for place in range(spec.bars_required):
        buffer.push(bars[:, place], np.datetime64("2020-01-01") + place)
    naive = naive_predictor(timed, spec.normalization, scale)
    return Case(timed, predictor, naive, buffer, bars)


def naive_predictor(
    network: nn.Module, normalization: str, scale: ChannelScale
) -> Callable[[Windows], list[str]]:
    """Rank as a first version would: symbol by symbol, in Python."""

    def rank(windows: Windows) -> list[str]:
        symbols = sorted(windows)
        inputs = np.zeros((len(symbols), LENGTH, 5), dtype=np.float32)
        for place, symbol in enumerate(symbols):
            channels = build_channels(windows[symbol][None], normalization)
            inputs[place] = scale.apply(channels)[0, -LENGTH:]
        mask = torch.ones(1, len(symbols), dtype=torch.bool)
        layout = Layout(
            torch.arange(len(symbols)), mask, np.array([len(symbols)], dtype=np.int64)
        )
        with torch.no_grad():
            found = network(torch.from_numpy(inputs), layout).numpy()
        scores = {symbol: float(found[k]) for k, symbol in enumerate(symbols)}
        return sorted(scores, key=lambda symbol: scores[symbol], reverse=True)

    return rank


def random_bars(n_symbols: int, n_bars: int) -> npt.NDArray[np.float32]:
    """Bars (S, T, 5) of a geometric random walk."""
    rng = np.random.default_rng(7)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (n_symbols, n_bars)), axis=1))
    open_ = close * np.exp(rng.normal(0, 0.002, close.shape))
    high, low = np.maximum(open_, close) * 1.002, np.minimum(open_, close) * 0.998
    volume = np.exp(rng.normal(12, 0.3, close.shape))
    fields: Sequence[npt.NDArray[np.float64]] = (open_, high, low, close, volume)
    return np.stack(fields, axis=2).astype(np.float32)
