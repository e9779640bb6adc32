"""G1, G2, G3 and G7: training steps, eager and as a graph, beside the plain loop."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

import torch

from benchmarks.gpu_rows.stage import (
    MICRO,
    MILLI,
    NANO,
    PER_BAR,
    Drawn,
    Stage,
    goal_row,
    median_of,
    overhead,
)
from benchmarks.harness import Row
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.steps import Step

# Bytes a window moves at least in one training step of an LSTM with 64 units in float32,
# over the copy bandwidth, allow this many million windows per second: an estimate.
_LSTM_TRAFFIC_BOUND = 11.0
_BFLOAT16 = LoopConfig(precision="bfloat16")


def networks(stage: Stage) -> dict[str, NetworkSpec]:
    """Networks that are measured."""
    hidden = stage.sizes.hidden
    return {
        "linear": NetworkSpec("linear"),
        "lstm": NetworkSpec("lstm", hidden),
        "transformer": NetworkSpec("transformer", hidden, layers=2),
    }


def no_waits(stage: Stage) -> list[Row]:
    """P1 on a GPU: cutting batches and taking steps never waits for the device."""
    drawn = stage.drawn(stage.block, stage.sizes.batch, stage.sizes.steps)
    step = drawn.step(drawn.network(NetworkSpec("linear")))
    drawn.whole_pass(step)()
    batches = drawn.block.batches(drawn.rows, drawn.bars_per_batch)
    step(next(batches))  # the one upload of an epoch comes before its first batch
    waited = 0.0
    _forbid_waiting(stage, forbidden=True)
    try:
        for batch in batches:
            step(batch)
    except RuntimeError as error:
        print(f"a step waits for the device: {error}")
        waited = 1.0
    finally:
        _forbid_waiting(stage, forbidden=False)
    return [goal_row("P1 waits in a pass", "found", [waited], "0", waited == 0)]


def _forbid_waiting(stage: Stage, *, forbidden: bool) -> None:
    if stage.on_gpu:
        torch.cuda.set_sync_debug_mode("error" if forbidden else "default")


def overheads(stage: Stage) -> list[Row]:
    """G1: what the loop adds to its network, eager and as a graph."""
    rows = []
    drawn = stage.drawn(stage.block, stage.sizes.batch, stage.sizes.steps)
    for name in ("lstm", "linear"):
        network = drawn.network(networks(stage)[name])
        for mode, goal in (("graph", 5.0), ("eager", 25.0)):
            graph = mode == "graph"
            bare, scale = drawn.bare_pass(network, graph=graph)
            whole = drawn.whole_pass(drawn.step(network, graph=graph))
            figures = stage.take_turns(whole, bare)
            percent = overhead(figures[0], figures[1], scale)
            met = median_of(percent) <= goal if name == "lstm" else None
            case = f"G1 {name} {mode} overhead"
            rows.append(goal_row(case, "%", percent, f"<= {goal:.0f}", met))
    return rows


def rates(stage: Stage) -> list[Row]:
    """G2: nanoseconds per window of whole training steps."""
    rows = []
    drawn = stage.drawn(stage.block, stage.sizes.batch, stage.sizes.steps)
    specs = networks(stage)
    lstm = drawn.network(specs["lstm"])
    cases = [
        ("G2 lstm graph", drawn.step(lstm, graph=True), 3.0),
        ("G2 lstm eager", drawn.step(lstm), None),
        ("G2 lstm graph bf16", drawn.step(lstm, graph=True, config=_BFLOAT16), None),
    ]
    transformer = drawn.network(specs["transformer"])
    cases.append(("G2 transformer eager", drawn.step(transformer), 1.0))
    if stage.on_gpu:  # a rehearsal need not compile
        compiled = drawn.step(transformer, config=LoopConfig(compile=True))
        cases.append(("G2 transformer compiled", compiled, 2.0))
    for case, step, million in cases:
        rows.append(_rate(stage, drawn, case, step, million))
        if case == "G2 lstm graph":
            reached = NANO / rows[-1]["ours"] / 1e6
            share = 100 * reached / _LSTM_TRAFFIC_BOUND
            label = "G2 lstm share of its traffic bound"
            rows.append(goal_row(label, "%", [share], ">= 25", share >= 25))
    return rows


def _rate(
    stage: Stage, drawn: Drawn, case: str, step: Step, million: float | None
) -> Row:
    (seconds,) = stage.take_turns(drawn.whole_pass(step))
    nanos = [value / drawn.n_windows * NANO for value in seconds]
    if million is None:
        return goal_row(case, "ns/window", nanos, "-", None)
    goal = MILLI / million
    met = median_of(nanos) <= goal
    return goal_row(case, "ns/window", nanos, f"<= {goal:.0f}", met)


def beside_the_plain_loop(stage: Stage) -> list[Row]:
    """G3: a pass beside the plain loop on the same machine; 100 pairs there."""
    from benchmarks.naive_loop import (
        NaiveDataset,
        PaddedBatch,
        naive_loader,
        naive_step,
    )
    from benchmarks.naive_losses import sampled_pairs_loss

    sizes = stage.sizes
    drawn = stage.drawn(stage.block, sizes.batch, 3)
    bars = drawn.block.bars[drawn.rows].tolist()
    panel = stage.panel
    dataset = NaiveDataset(panel.ohlcv, panel.targets, sizes.length, PER_BAR, bars=bars)
    loss = sampled_pairs_loss()
    rows = []
    for name, goal in (("lstm", 10.0), ("linear", 60.0)):
        network = drawn.network(networks(stage)[name])
        body = copy.deepcopy(network.body)
        optimizer = torch.optim.Adam(body.parameters(), lr=1e-3)

        def step(
            batch: PaddedBatch,
            body: torch.nn.Module = body,
            optimizer: torch.optim.Optimizer = optimizer,
        ) -> None:
            parts = (batch.windows, batch.targets, batch.mask)
            there = PaddedBatch(*(part.to(stage.device) for part in parts))
            naive_step(body, there, optimizer, loss)

        def plain(step: Callable[[PaddedBatch], None] = step) -> None:
            for batch in naive_loader(dataset, sizes.batch, shuffle=False):
                step(batch)

        ours = drawn.whole_pass(drawn.step(network, graph=True))
        seconds = stage.take_turns(ours, plain)
        nanos = [[s / drawn.n_windows * NANO for s in side] for side in seconds]
        ratio = median_of([b / a for a, b in zip(*nanos, strict=True)])
        case = f"G3 {name} beside the plain loop"
        rows.append(
            goal_row(
                case,
                "ns/window",
                nanos[0],
                f"ratio >= {goal:.0f}",
                ratio >= goal,
                nanos[1],
            )
        )
    return rows


def same_losses(stage: Stage) -> list[Row]:
    """G7: the graph's loss beside the eager one, from the same weights each time."""
    drawn = stage.drawn(stage.block, stage.sizes.batch, stage.sizes.checked_steps)
    network = drawn.network(networks(stage)["lstm"])
    graph, eager = drawn.step(network, graph=True), drawn.step(network)
    gaps, started_alike = [], drawn.step(network)
    free = []
    for batch in drawn.block.batches(drawn.rows, drawn.bars_per_batch):
        with torch.no_grad():
            for mine, other in zip(eager.parameters, graph.parameters, strict=True):
                mine.copy_(other)
        losses = [float(step(batch).loss_sum) for step in (graph, eager, started_alike)]
        gaps.append(abs(losses[0] / losses[1] - 1))
        free.append(abs(losses[0] / losses[2] - 1))
    steps = stage.sizes.checked_steps
    label = f"largest of {steps}"
    return [
        goal_row(
            "G7 graph against eager", label, [max(gaps)], "<= 1e-6", max(gaps) <= 1e-6
        ),
        goal_row("G7 the same, each on its own", label, [max(free)], "-", None),
    ]


def determinism(stage: Stage) -> list[Row]:
    """G7: deterministic algorithms repeat to the bit; and what they cost."""
    drawn = stage.drawn(stage.block, stage.sizes.batch, stage.sizes.steps)
    network = drawn.network(networks(stage)["lstm"])
    fast = drawn.whole_pass(drawn.step(network))
    (usual,) = stage.take_turns(fast)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    try:
        steps = [drawn.step(network) for _ in range(2)]
        for step in steps:
            drawn.whole_pass(step)()
        pairs = zip(steps[0].parameters, steps[1].parameters, strict=True)
        differing = sum(not torch.equal(one, other) for one, other in pairs)
        (exact,) = stage.take_turns(drawn.whole_pass(steps[0]))
    finally:
        torch.use_deterministic_algorithms(mode=False)
    cost = [100 * (a / b - 1) for a, b in zip(exact, usual, strict=True)]
    same = goal_row(
        "G7 deterministic: parameters that differ",
        "count",
        [float(differing)],
        "0",
        differing == 0,
    )
    return [same, goal_row("G7 deterministic: cost", "%", cost, "-", None)]


def step_micros(stage: Stage, drawn: Drawn, spec: NetworkSpec) -> list[float]:
    """Microseconds of one graph step in each round."""
    step = drawn.step(drawn.network(spec), graph=True)
    (seconds,) = stage.take_turns(drawn.whole_pass(step))
    return [
        value / (len(drawn.rows) // drawn.bars_per_batch) * MICRO for value in seconds
    ]
