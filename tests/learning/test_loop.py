"""The training loop: what it visits, what it keeps, and that it learns."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_world import (
    CONFIG,
    SYMBOLS,
    Causal,
    blocks,
    ic,
    network_of,
    scripted,
    world,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.loop import (
    LoopConfig,
    Measure,
    TrainingResult,
    negative_loss,
    score,
    train,
)
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.ranking.metrics import rank_ic


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
            np.testing.assert_array_equal(batch.layout.mask[row].numpy(), usable)
            got = block.targets[batch.rows][row][batch.layout.mask[row]].numpy()
            np.testing.assert_array_equal(got, targets[bar, usable].astype(np.float32))
        assert len(batch.windows()) == int(batch.layout.mask.sum())
        # Each cell's window comes back at that cell's own slot.
        last = batch.layout.spread(batch.windows()[:, -1, 0])
        values = inputs.values[:, bars, 0].T
        assert torch.equal(last[batch.layout.mask], values[batch.layout.mask])
        assert (last[~batch.layout.mask] == 0).all()
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


def test_training_leaves_the_global_random_states_alone() -> None:
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002
    before = torch.get_rng_state(), drawn, random.getstate()
    fit()
    assert torch.equal(torch.get_rng_state(), before[0])
    state = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(state, before[1])
    assert random.getstate() == before[2]


class Noisy(CrossSectionLoss):
    """A loss that draws from numpy, as a user's own may."""

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        drawn = np.random.standard_normal(scores.shape)  # noqa: NPY002
        noise = torch.from_numpy(drawn).float()
        mask = tables["mask"]
        error = (scores - tables["targets"] - random.random() * noise).square()
        return (error * mask).sum(dim=1), mask.any(dim=1)


def test_a_loss_that_draws_from_numpy_repeats_too() -> None:
    results = []
    for _ in range(2):
        inputs, targets = world()
        network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
        found = train(network, Noisy(), blocks(inputs, targets), ic, CONFIG)
        results.append(found.history)
    assert results[0] == results[1]


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
    inputs, targets = world()
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    with pytest.raises(UserError, match=r"training loss is nan in epoch 1.*0\.01"):
        train(network, Scaled(math.nan), blocks(inputs, targets), ic, CONFIG)


class Scaled(CrossSectionLoss):
    """Squared errors times a number."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        error = torch.where(tables["mask"], scores - tables["targets"], 0.0)
        return self.scale * error.square().mean(dim=1), tables["mask"].any(dim=1)


class NotDifferentiable(Scaled):
    """Finite, but not its gradient."""

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        value, counted = super().per_day(scores, tables)
        return value + (0 * value).sqrt(), counted


def test_weights_that_are_not_finite_are_never_kept() -> None:
    """One step in all: its loss is finite, what it leaves in the network is not."""
    inputs, targets = world()
    config = replace(CONFIG, epochs=1, timestamps_per_batch=1000)
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    block = blocks(inputs, targets)[0]
    with pytest.raises(UserError, match=r"weights .* not finite after epoch 1"):
        train(network, NotDifferentiable(0.0), (block, None), ic, config)


def test_a_validation_block_that_tells_the_loss_nothing_is_no_perfect_score() -> None:
    """A mean over no day is unknown; as a loss of 0 the first epoch would win."""
    inputs, targets = world()
    train_block = blocks(inputs, targets)[0]
    tied = blocks(inputs, np.where(np.isnan(targets), np.nan, 1.0))[1]
    loss, network = make_loss("ic"), network_of("linear")
    with pytest.raises(UserError, match="no epoch had a defined"):
        train(network, loss, (train_block, tied), negative_loss(loss), CONFIG)


def test_days_without_information_are_refused_and_not_called_a_loss_of_zero() -> None:
    inputs, targets = world()
    tied = np.where(np.isnan(targets), np.nan, 1.0)
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    with pytest.raises(UserError, match="no training bar says anything to the loss"):
        train(network, make_loss("ic"), blocks(inputs, tied), ic, CONFIG)


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

    def forward(self, windows: Tensor, layout: Layout) -> Tensor:
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
    # The clock is shown, but it is no part of what must repeat to the bit.
    assert all(row.pop("windows_per_second") > 0 for row in rows)
    assert rows == result.history
    assert list(rows[0]) == [
        "epoch",
        "train_loss",
        "train_ic",
        "learning_rate",
        "validation_ic",
        "best",
    ]


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

    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    parameter = network.body.head.weight
    parameter.register_post_accumulate_grad_hook(
        lambda p: seen.append(float(p.grad.norm()))
    )
    config = replace(CONFIG, epochs=1, gradient_clip=0.5)
    train(network, Scaled(1e6), (block, None), ic, config)
    assert min(seen) > 0.5
    assert float(parameter.grad.norm()) <= 0.5 + 1e-5


def test_the_training_ic_is_the_mean_spearman_correlation_of_the_steps() -> None:
    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    config = replace(CONFIG, epochs=1, learning_rate=1e-30, timestamps_per_batch=25)
    network = network_of("linear")
    (row,) = train(network, make_loss("ic"), (block, None), ic, config).history
    expected = rank_ic(*score(network, block)).nanmean()
    assert row["train_ic"] == pytest.approx(float(expected), abs=1e-6)


def test_classes_have_no_training_ic() -> None:
    inputs, targets = world()
    classes = np.where(np.isnan(targets), np.nan, (targets > 0).astype(float))
    block = blocks(inputs, classes)[0]
    network = network_of("linear", outputs=2)
    loss = make_loss("cross_entropy")
    (row,) = train(network, loss, (block, None), ic, replace(CONFIG, epochs=1)).history
    assert math.isnan(row["train_ic"])
    assert row["train_loss"] < 1


def test_a_large_min_delta_does_not_hide_the_epochs_without_validation() -> None:
    inputs, targets = world()
    config = replace(CONFIG, min_delta=5.0, patience=1)
    block = blocks(inputs, targets)[0]
    network = network_of("linear")
    result = train(network, make_loss("ic"), (block, None), ic, config)
    assert result.best_epoch == CONFIG.epochs


def test_steps_are_reported_with_their_windows() -> None:
    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    windows: list[int] = []
    config = replace(CONFIG, epochs=2)
    train(
        network_of("linear"),
        make_loss("ic"),
        (block, None),
        ic,
        config,
        on_step=windows.append,
    )
    assert sum(windows) == 2 * block.n_cells
    assert len(windows) == 2 * math.ceil(block.n_bars / config.timestamps_per_batch)


def test_a_network_of_series_trains_on_blocks_and_scores_in_one_pass() -> None:
    inputs, targets = world()
    both = blocks(inputs, targets)
    torch.manual_seed(0)
    network = Causal()
    config = replace(CONFIG, epochs=8, bars_per_block=10)
    result = train(network, make_loss("pairwise"), both, ic, config)
    assert result.best_metric > 0.6
    dense = score(network, both[1])[0]
    network.has_series = False
    windowed = score(network, both[1])[0]
    torch.testing.assert_close(dense, windowed, rtol=0, atol=1e-5)


def test_tables_are_made_once_unless_the_symbols_are_drawn_anew() -> None:
    class Counting(Scaled):
        made = 0

        def tables(self, targets: Tensor, mask: Tensor) -> Tables:
            Counting.made += 1
            return super().tables(targets, mask)

    block = blocks(*world())[0]
    for symbols, expected in ((None, 1), (12, CONFIG.epochs)):
        Counting.made = 0
        config = replace(CONFIG, symbols_per_timestamp=symbols)
        train(network_of("linear"), Counting(1.0), (block, None), ic, config)
        assert expected == Counting.made


def test_an_empty_block_has_no_scores() -> None:
    inputs, targets = world()
    empty = blocks(inputs, targets, min_symbols=99)[1]
    scores, values, mask = score(network_of("linear"), empty)
    assert scores.shape == values.shape == mask.shape == (0, SYMBOLS)


def test_every_process_of_a_group_gets_all_the_scores() -> None:
    """Processes of a group that is played by sums of what each would send."""
    inputs, targets = world()
    block = blocks(inputs, targets)[1]
    network = network_of("mlp")
    expected = score(network, block)[0]
    parts: list[Tensor] = []

    class Sender:
        size = 3

        def __init__(self, rank: int) -> None:
            self.rank = rank

        def all_reduce_(self, tensor: Tensor) -> Tensor:
            parts.append(tensor.clone())
            return tensor

    for rank in range(3):
        score(network, block, 4, Sender(rank))
    assert all(int((part != 0).any(dim=1).sum()) < len(part) for part in parts)
    torch.testing.assert_close(sum(parts), expected, rtol=0, atol=1e-6)
    assert torch.equal(score(network, block, 4, Sender(0))[0], parts[0])


def test_a_plateau_needs_a_validation_block() -> None:
    inputs, targets = world()
    network = make_network(NetworkSpec("linear"), inputs.sample_shape, seed=1)
    config = replace(CONFIG, schedule="plateau")
    with pytest.raises(UserError, match="validation"):
        train(network, make_loss("ic"), (blocks(inputs, targets)[0], None), ic, config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("patience", 0),
        ("timestamps_per_batch", 0),
        ("timestamps_per_epoch", 0),
        ("symbols_per_timestamp", 0),
        ("max_windows_per_pass", 0),
        ("bars_per_block", 0),
        ("learning_rate", 0.0),
        ("gradient_clip", math.nan),
    ],
)
def test_values_that_no_training_can_use_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name):
        replace(CONFIG, **{name: value})
