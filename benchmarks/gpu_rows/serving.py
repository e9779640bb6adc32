"""G6: from bars on the host to a ranking on the host, one call at a time."""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.gpu_rows.stage import MILLI, Stage, Task, goal_row
from benchmarks.gpu_rows.training import networks
from benchmarks.harness import Row
from benchmarks.loop_panel import simulate_panel
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import make_network
from ranking_pipeline.ranking.predictor import CrossSectionalRankingPredictor
from ranking_pipeline.ranking.ranker import Ranker, RankerSpec

N_SYMBOLS = 100


def latencies(stage: Stage) -> list[Row]:
    """Call after call, by the clock of the host."""
    rows = []
    for mode, task in (("eager", _predictor(stage)), ("graph", _graph(stage))):
        for _ in range(10):
            task()
        millis = sorted(_timed(task) for _ in range(stage.sizes.calls))
        middle = millis[len(millis) // 2]
        late = millis[min(len(millis) - 1, int(0.99 * len(millis)))]
        goals = (0.5, 2.0) if mode == "graph" else (None, None)
        for name, value, goal in zip(
            ("p50", "p99"), (middle, late), goals, strict=True
        ):
            met = None if goal is None else value <= goal
            hoped = "-" if goal is None else f"<= {goal}"
            case = f"G6 rank {N_SYMBOLS} lstm {mode} {name}"
            rows.append(goal_row(case, "ms", [value], hoped, met))
    return rows


def _timed(task: Task) -> float:
    started = time.perf_counter()
    task()
    return (time.perf_counter() - started) * MILLI


def _predictor(stage: Stage) -> Task:
    """The predictor as users call it: a mapping of raw bars in, a ranking out."""
    spec = RankerSpec(
        stage.sizes.length,
        "log_anchored",
        networks(stage)["lstm"],
        "pairwise",
        {},
        LoopConfig(),
        (0,),
    )
    state = make_network(spec.network, (stage.sizes.length, 5), seed=0).state_dict()
    ranker = Ranker(spec, None, (dict(state),), {})
    predictor = CrossSectionalRankingPredictor(ranker, stage.device.type)
    ohlcv = simulate_panel(4 * N_SYMBOLS, spec.bars_required, 1).ohlcv
    whole = [
        bars for bars in ohlcv[:, -spec.bars_required :] if np.isfinite(bars).all()
    ]
    windows = {f"S{place:03d}": bars for place, bars in enumerate(whole[:N_SYMBOLS])}
    return lambda: predictor.predict(windows)


@torch.no_grad()
def _graph(stage: Stage) -> Task:
    """Channels from the host, the network as a graph, sorted scores to the host."""
    length = stage.sizes.length
    network = make_network(networks(stage)["lstm"], (length, 5), seed=0)
    network = network.to(stage.device).eval()
    rng = np.random.default_rng(0)
    host = torch.from_numpy(rng.normal(size=(N_SYMBOLS, length, 5)).astype(np.float32))
    host = host.pin_memory() if stage.on_gpu else host
    windows = host.to(stage.device)
    mask = torch.ones((1, N_SYMBOLS), dtype=torch.bool, device=stage.device)
    slots = torch.arange(N_SYMBOLS, device=stage.device)
    layout = Layout(slots, mask, np.array([N_SYMBOLS], dtype=np.int64))
    order = torch.empty(N_SYMBOLS, dtype=torch.int64, device=stage.device)

    @torch.no_grad()
    def ranked() -> None:
        order.copy_(network(windows, layout).argsort(descending=True, stable=True))

    recorder = stage.recorder()
    with recorder.side_stream():
        for _ in range(3):
            ranked()
    replay = recorder.record(ranked, [])

    def task() -> None:
        windows.copy_(host, non_blocking=True)
        replay()
        order.cpu()

    return task
