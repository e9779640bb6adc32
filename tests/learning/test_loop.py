"""The training loop: what it visits, what it keeps, and that it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.loop import (
    LoopConfig,
    Measure,
    TrainingResult,
    negative_loss,
    score,
    train,
)
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.windows import ResidentPanel
from ranking_pipeline.ranking.metrics import rank_ic

CONFIG = LoopConfig(epochs=4, timestamps_per_batch=8, learning_rate=1e-2, patience=9)
SYMBOLS, BARS, LENGTH, CHANNELS = 15, 80, 4, 2


def world(seed: int = 0) -> tuple[ResidentPanel, np.ndarray]:
    """Channels, and targets (T, S) that are linear in the window plus noise."""
    rng = np.random.default_rng([seed, 5])
    values = rng.normal(size=(SYMBOLS, BARS, CHANNELS)).astype(np.float32)
    values[2, 30:33] = np.nan
    values[5, :20] = np.nan
    planted = np.full((BARS, SYMBOLS), np.nan)
    planted[1:] = (values[:, 1:, 0] - 0.5 * values[:, :-1, 1]).T
    noise = rng.normal(size=planted.shape)
    return ResidentPanel.build(values, LENGTH), planted + 0.7 * noise


def blocks(
    inputs: ResidentPanel, targets: np.ndarray, min_symbols: int = 10
) -> tuple[CrossSections, CrossSections]:
    bar = np.arange(BARS)[:, None] + np.zeros((1, SYMBOLS))
    return (
        CrossSections.build(inputs, targets, bar < 60, min_symbols),
        CrossSections.build(inputs, targets, bar >= 60, min_symbols),
    )


def ic(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
    return {"validation_ic": rank_ic(scores, targets, mask).nanmean()}


def fit(
    loss: str = "pairwise", measure: Measure = ic, config: LoopConfig = CONFIG
) -> tuple[TrainingResult, nn.Module, CrossSections]:
    inputs, targets = world()
    train_block, validation = blocks(inputs, targets)
    network = make_network(NetworkSpec("mlp", 8, 1, 0.1), inputs.sample_shape, seed=1)
    result = train(network, make_loss(loss), (train_block, validation), measure, config)
    return result, network, validation


def test_batches_are_whole_cross_sections_of_the_usable_cells() -> None:
    inputs, targets = world()
    targets[40, 3] = np.nan
    block, _ = blocks(inputs, targets)
    order = np.array([17, 0, 33, 5, 36])
    seen = 0
    for place, batch in zip((0, 2, 4), block.batches(order, 2), strict=True):
        bars = block.bars[order[place : place + 2]]
        for row, bar in enumerate(bars):
            usable = inputs.valid[bar] & np.isfinite(targets[bar])
            np.testing.assert_array_equal(batch.mask[row].numpy(), usable)
            got = batch.targets[row][batch.mask[row]].numpy()
            np.testing.assert_array_equal(got, targets[bar, usable].astype(np.float32))
        assert len(batch.windows) == int(batch.mask.sum())
        # Each cell's window comes back at that cell's own slot.
        last = batch.spread(batch.windows[:, -1, 0])
        values = inputs.values[:, bars, 0].T
        assert torch.equal(last[batch.mask], values[batch.mask])
        assert (last[~batch.mask] == 0).all()
        seen += len(bars)
    assert seen == len(order)


def test_small_cross_sections_are_dropped_and_counted() -> None:
    inputs, targets = world()
    targets[10:14, 3:] = np.nan
    block, _ = blocks(inputs, targets, min_symbols=4)
    assert block.n_dropped == 4
    assert not set(range(10, 14)) & set(block.bars.tolist())


def test_drawn_symbols_are_few_seeded_and_new_each_epoch() -> None:
    inputs, targets = world()
    block, _ = blocks(inputs, targets)
    drawn = block.sampled(6, (0, 1))
    assert np.diff(drawn.offsets).tolist() == [6] * block.n_bars
    for place in range(block.n_bars):
        everyone = block.symbols[block.offsets[place] : block.offsets[place + 1]]
        some = drawn.symbols[drawn.offsets[place] : drawn.offsets[place + 1]]
        assert set(some) <= set(everyone)
        assert len(set(some)) == 6
    np.testing.assert_array_equal(block.sampled(6, (0, 1)).symbols, drawn.symbols)
    assert (block.sampled(6, (0, 2)).symbols != drawn.symbols).any()
    np.testing.assert_array_equal(block.sampled(99, (0, 1)).symbols, block.symbols)


@pytest.mark.parametrize(
    "loss", ["pairwise", "pairwise_hinge", "listwise", "ic", "pointwise", "huber"]
)
def test_every_loss_learns_the_planted_signal(loss: str) -> None:
    config = replace(CONFIG, epochs=12)
    result, _, _ = fit(loss, config=config)
    assert result.best_metric > 0.6  # the planted score itself has about 0.83


def test_the_same_seed_gives_the_same_bits() -> None:
    config = replace(CONFIG, symbols_per_timestamp=12)
    first, second = fit(config=config)[0], fit(config=config)[0]
    other = fit(config=replace(config, seed=1))[0]
    assert first.history == second.history
    for name, value in first.state.items():
        assert torch.equal(value, second.state[name])
    assert first.history != other.history


def test_training_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    fit()
    assert torch.equal(torch.get_rng_state(), before)


def scripted(metrics: list[float]) -> Measure:
    values = iter(metrics)

    def measure(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        return {"metric": torch.tensor(next(values))}

    return measure


def test_the_best_state_is_restored() -> None:
    result, network, validation = fit(config=replace(CONFIG, epochs=2))
    two_epochs = score(network, validation)[0]
    result, network, _ = fit(
        measure=scripted([0.1, 0.5, 0.2, 0.3, 0.4]), config=replace(CONFIG, epochs=5)
    )
    assert (result.best_epoch, result.best_metric) == (2, 0.5)
    assert [row["best"] for row in result.history] == [1, 1, 0, 0, 0]
    assert torch.equal(score(network, validation)[0], two_epochs)
    for name, value in network.state_dict().items():
        assert torch.equal(value, result.state[name])


def test_patience_min_delta_and_ties() -> None:
    config = replace(CONFIG, epochs=20, patience=3, min_delta=0.05)
    script = [0.10, 0.14, 0.20, 0.20, 0.24, 0.25, 0.9]
    result, _, _ = fit(measure=scripted(script), config=config)
    # 0.14 is too little; 0.20 is kept; ties, 0.24 and 0.25 are not better by 0.05.
    assert result.best_epoch == 3
    assert len(result.history) == 6


def test_an_undefined_metric_is_no_signal() -> None:
    script = [math.nan, -0.9, math.nan, -0.95]
    result, _, _ = fit(measure=scripted(script))
    assert (result.best_epoch, result.best_metric) == (2, pytest.approx(-0.9))
    with pytest.raises(UserError, match="no epoch had a defined"):
        fit(measure=scripted([math.nan] * 4))


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    def broken(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        return scores.sum() * math.nan

    inputs, targets = world()
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    with pytest.raises(UserError, match=r"training loss is nan in epoch 1"):
        train(network, broken, blocks(inputs, targets), ic, CONFIG)


def test_without_validation_the_last_epoch_is_kept() -> None:
    inputs, targets = world()
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    block = blocks(inputs, targets)[0]
    result = train(network, make_loss("ic"), (block, None), ic, CONFIG)
    assert result.best_epoch == CONFIG.epochs
    assert math.isnan(result.best_metric)


def test_nothing_to_train_on_is_refused() -> None:
    inputs, targets = world()
    block, validation = blocks(inputs, targets, min_symbols=99)
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    with pytest.raises(UserError, match="min_symbols_per_timestamp"):
        train(network, make_loss("ic"), (block, validation), ic, CONFIG)


class Recorder(nn.Module):
    """A network that notes the first number of each window it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.steps: list[list[float]] = []

    def forward(self, windows: Tensor) -> Tensor:
        if self.training:
            self.steps.append(windows[:, 0, 0].tolist())
        return windows[:, 0, 0] * self.weight


def visited(config: LoopConfig) -> list[list[float]]:
    inputs, targets = world()
    network = Recorder()
    block = blocks(inputs, targets)[0]
    train(network, make_loss("pointwise"), (block, None), ic, config)
    return network.steps


def test_an_epoch_visits_every_bar_once_or_as_many_as_asked() -> None:
    config = replace(CONFIG, epochs=1)
    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    steps = visited(config)
    assert len(steps) == math.ceil(block.n_bars / 8)
    assert len({value for step in steps for value in step}) == block.n_cells
    assert len(visited(replace(config, timestamps_per_epoch=10))) == 2


def test_shuffling_changes_the_order_each_epoch_and_can_be_off() -> None:
    config = replace(CONFIG, epochs=2, timestamps_per_batch=1)
    steps = visited(config)
    half = len(steps) // 2
    assert steps[:half] != steps[half:]
    assert sorted(steps[:half]) == sorted(steps[half:])
    ordered = visited(replace(config, shuffle_timestamps=False))
    assert ordered[:half] == ordered[half:]
    assert ordered[:half] != steps[:half]


def test_the_epoch_loss_weighs_bars_equally() -> None:
    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    config = replace(CONFIG, epochs=1, learning_rate=1e-30, timestamps_per_batch=25)
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    result = train(network, make_loss("ic"), (block, None), ic, config)
    whole = make_loss("ic")(*score(network, block))
    assert result.history[0]["train_loss"] == pytest.approx(whole.item(), rel=1e-5)


def test_history_rows_reach_the_callback() -> None:
    inputs, targets = world()
    rows: list[dict[str, float]] = []
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    result = train(
        network,
        make_loss("ic"),
        blocks(inputs, targets),
        ic,
        CONFIG,
        on_epoch=rows.append,
    )
    assert rows == result.history
    assert set(rows[0]) == {
        "epoch",
        "train_loss",
        "learning_rate",
        "validation_ic",
        "best",
    }


def test_classes_are_learned_by_the_same_loop() -> None:
    inputs, targets = world()
    classes = np.where(np.isnan(targets), np.nan, (targets > 0).astype(float))
    both = blocks(inputs, classes)
    network = make_network(NetworkSpec("mlp", 8), inputs.sample_shape, 2, seed=1)
    loss = make_loss("cross_entropy")
    config = replace(CONFIG, epochs=10)
    result = train(network, loss, both, negative_loss(loss), config)
    assert -result.best_metric < 0.55 < math.log(2)
    scores, labels, mask = score(network, both[1])
    correct = (scores.argmax(2) == labels)[mask].float().mean()
    assert scores.shape == (both[1].n_bars, SYMBOLS, 2)
    assert correct > 0.7


def test_clipping_bounds_the_step_but_not_its_direction() -> None:
    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    seen: list[float] = []

    def exploding(scores: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        return 1e6 * make_loss("pointwise")(scores, values, mask)

    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    parameter = network.body.head.weight
    parameter.register_post_accumulate_grad_hook(
        lambda p: seen.append(float(p.grad.norm()))
    )
    config = replace(CONFIG, epochs=1, gradient_clip=0.5)
    train(network, exploding, (block, None), ic, config)
    assert min(seen) > 0.5
    assert float(parameter.grad.norm()) <= 0.5 + 1e-5


@pytest.mark.parametrize(
    ("name", "most"),
    [("pointwise", 90), ("listwise", 120), ("ic", 155), ("pairwise", 155)],
)
def test_a_step_waits_for_nothing(name: str, most: int) -> None:
    """Count what would make the host wait for a GPU: reads and data-made shapes."""
    from torch.utils._python_dispatch import TorchDispatchMode

    waits: list[str] = []
    work: list[str] = []
    views = ("view", "expand", "slice", "squeeze", "aten.t.", "detach", "as_strided")

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            called = str(func)
            if not any(view in called for view in views):
                work.append(called)
            by_mask = "aten.index.Tensor" in called and any(
                part is not None and part.dtype == torch.bool for part in args[1]
            )
            reads = ("_local_scalar_dense", "nonzero", "masked_select")
            if by_mask or any(read in called for read in reads):
                waits.append(called)
            return func(*args, **(kwargs or {}))

    from ranking_pipeline.learning import loop

    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    counts = []
    for bars_per_batch in (4, 8, 16):
        batches = block.batches(np.arange(48), bars_per_batch)
        loop._step(network, make_loss(name), optimizer, next(batches), 1.0)
        work.clear()
        with Watch():
            loop._step(network, make_loss(name), optimizer, next(batches), 1.0)
        counts.append(len(work))
    assert waits == []
    # The number of operations does not grow with the number of bars.
    assert len(set(counts)) == 1
    assert counts[0] <= most
