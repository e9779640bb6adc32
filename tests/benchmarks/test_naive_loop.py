"""The fast loop computes what the plain loop computes: the table of equivalences."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from benchmarks.naive_loop import (
    NaiveDataset,
    naive_epoch,
    naive_evaluate,
    naive_loader,
    naive_rank_ic,
    naive_scores,
    naive_step,
)
from benchmarks.naive_losses import (
    all_pairs_loss,
    given_pairs_loss,
    listnet_loss,
    sampled_pairs_loss,
)
from equivalence_world import (
    BARS,
    LENGTH,
    MIN_SYMBOLS,
    PER_BAR,
    Market,
    gradients,
    kept_gradients,
    largest_relative_gap,
    make_market,
    naive_dataset,
    network_of,
    one_batch,
    our_block,
    our_loss,
    padded,
    step_of,
)

from ranking_pipeline.learning.channels import NORMALIZATIONS
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.loop import LoopConfig, negative_loss, score, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.ranking.metrics import rank_ic

BACKBONES = ("linear", "lstm", "transformer")
ROWS = np.array([3, 50, 17, 88, 61, 4])


@pytest.fixture(scope="module")
def market() -> Market:
    return make_market()


@pytest.fixture(scope="module")
def dataset(market: Market) -> NaiveDataset:
    return naive_dataset(market)


@pytest.fixture(scope="module")
def block(market: Market) -> CrossSections:
    return our_block(market)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_windows_targets_and_timestamps(market: Market, normalization: str) -> None:
    ours, naive = our_block(market, normalization), naive_dataset(market, normalization)
    assert [naive[i].bar for i in range(len(naive))] == ours.bars.tolist()
    assert 0 < len(naive) < BARS - LENGTH  # bars with too few names were left out
    assert naive.n_windows == ours.n_cells
    for row in range(len(naive)):
        sample = naive[row]
        batch = one_batch(ours, np.array([row]))
        names = batch.symbols.long()
        assert names.tolist() == sample.mask.nonzero().flatten().tolist()
        torch.testing.assert_close(
            batch.windows(), sample.windows[names], rtol=3e-6, atol=1e-5
        )
        assert torch.equal(ours.targets[row], sample.targets)
        assert torch.equal(ours.mask[row], sample.mask > 0)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_all_pairs_loss_and_gradients(
    dataset: NaiveDataset, block: CrossSections, backbone: str
) -> None:
    network = network_of(backbone, block)
    ours = our_loss(network, make_loss("pairwise"), block, one_batch(block, ROWS))
    batch = padded(dataset, ROWS)
    scores = naive_scores(network.body, batch.windows)
    naive = all_pairs_loss()(scores, batch.targets, batch.mask)
    assert float(ours.detach()) == pytest.approx(float(naive.detach()), abs=1e-5)
    gap = largest_relative_gap(gradients(network, ours), gradients(network, naive))
    assert gap < 1e-4


@pytest.mark.parametrize("tails", [(0.2, 0.2), (0.1, 0.4)])
def test_all_pairs_with_equal_targets(
    market: Market, tails: tuple[float, float]
) -> None:
    coarse = Market(market.ohlcv, np.round(market.targets * 1.5))
    ours, naive = our_block(coarse), naive_dataset(coarse)
    network = network_of("linear", ours)
    loss = make_loss("pairwise", top_pct=tails[0], bottom_pct=tails[1], margin=0.3)
    value = our_loss(network, loss, ours, one_batch(ours, ROWS))
    batch = padded(naive, ROWS)
    scores = naive_scores(network.body, batch.windows)
    plain = all_pairs_loss(*tails, margin=0.3)(scores, batch.targets, batch.mask)
    assert float(value.detach()) == pytest.approx(float(plain.detach()), abs=1e-5)


def test_listnet(dataset: NaiveDataset, block: CrossSections) -> None:
    network = network_of("linear", block)
    ours = our_loss(
        network,
        make_loss("listwise", temperature=0.7),
        block,
        one_batch(block, ROWS),
    )
    batch = padded(dataset, ROWS)
    scores = naive_scores(network.body, batch.windows)
    naive = listnet_loss(0.7)(scores, batch.targets, batch.mask)
    assert float(ours.detach()) == pytest.approx(float(naive.detach()), abs=1e-5)
    gap = largest_relative_gap(gradients(network, ours), gradients(network, naive))
    assert gap < 1e-4


def test_rank_ic_with_ties_and_masks_is_scipys() -> None:
    rng = np.random.default_rng(5)
    scores, targets = rng.integers(0, 9, (2, 40, 60)).astype(np.float32)
    mask = rng.random((40, 60)) < rng.uniform(0.1, 1, (40, 1))
    scores[7] = 2.0  # a bar without order has no correlation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = naive_rank_ic(scores, targets, mask)
    found = rank_ic(*map(torch.from_numpy, (scores, targets, mask)))
    assert np.isnan(expected[7])
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_evaluation(dataset: NaiveDataset, block: CrossSections, backbone: str) -> None:
    network = network_of(backbone, block)
    scores, targets, mask = score(network, block)
    loader = naive_loader(dataset, shuffle=False)
    expected = naive_evaluate(network.body, loader)
    found = rank_ic(scores, targets, mask)
    # The two gathers round differently, and neighbours may swap ranks.
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-3)
    same = naive_rank_ic(scores.numpy(), targets.numpy(), mask.numpy())
    np.testing.assert_allclose(found.numpy(), same, rtol=0, atol=1e-6)


def test_whole_training(dataset: NaiveDataset, block: CrossSections) -> None:
    """Two epochs through both loops, without shuffling, end at the same scores."""
    ours = network_of("mlp", block)
    plain = copy.deepcopy(ours).body
    config = LoopConfig(
        epochs=2,
        timestamps_per_batch=16,
        shuffle_timestamps=False,
        learning_rate=1e-2,
        gradient_clip=0.05,
    )
    loss = make_loss("pairwise")
    before, targets, mask = score(ours, block)
    result = train(ours, loss, (block, None), negative_loss(loss), config)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2)
    loader = naive_loader(dataset, 16, shuffle=False)
    for _ in range(config.epochs):
        last = naive_epoch(plain, loader, optimizer, all_pairs_loss(), 0.05)
    after, _, _ = score(ours, block)
    ours.body.load_state_dict(plain.state_dict())
    expected, _, _ = score(ours, block)

    def centred(scores: torch.Tensor) -> torch.Tensor:
        mean = scores.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True)
        return torch.where(mask, scores - mean, 0.0)

    moved = float((centred(after) - centred(before)).abs().max())
    gap = float((centred(after) - centred(expected)).abs().max())
    assert moved > 0.1
    assert gap < 1e-3 * moved
    # The plain loop averages steps, ours averages bars: the last step is shorter.
    assert result.history[-1]["train_loss"] == pytest.approx(last, rel=0.02)
    assert torch.equal(targets, block.targets)


def test_the_plain_loop_learns_from_sampled_pairs(dataset: NaiveDataset) -> None:
    """The adversary is a working loop: on its own batch its loss falls."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.Linear(LENGTH * 5, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    batch = padded(dataset, ROWS)
    loss = sampled_pairs_loss(max_pairs=10)
    values = [naive_step(network, batch, optimizer, loss) for _ in range(60)]
    assert np.mean(values[-10:]) < 0.75 * np.mean(values[:5])


def test_given_pairs_are_the_all_pairs_when_all_are_given(
    dataset: NaiveDataset,
) -> None:
    batch = padded(dataset, ROWS)
    torch.manual_seed(1)
    scores = torch.randn(batch.targets.shape)
    pairs = []
    for row in range(len(ROWS)):
        target = batch.targets[row][batch.mask[row] > 0]
        size = int(len(target) * 0.2)
        order = target.argsort(descending=True)
        grid = torch.cartesian_prod(order[:size], order[-size:])
        pairs.append((grid[:, 0], grid[:, 1]))
    given = given_pairs_loss(pairs)(scores, batch.targets, batch.mask)
    everything = all_pairs_loss()(scores, batch.targets, batch.mask)
    assert float(given) == pytest.approx(float(everything), abs=1e-6)
    assert int(batch.mask.sum(dim=1).min()) >= MIN_SYMBOLS


@pytest.mark.parametrize("backbone", ["mlp", "lstm"])
def test_the_same_seed_twice_is_bit_identical(
    block: CrossSections, backbone: str
) -> None:
    loss = make_loss("pairwise")
    config = LoopConfig(epochs=2, timestamps_per_batch=16, seed=4)
    states = []
    for _ in range(2):
        network = network_of(backbone, block, dropout=0.3)
        result = train(network, loss, (block, None), negative_loss(loss), config)
        states.append(result.state)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_same_drawn_pairs(dataset: NaiveDataset, block: CrossSections) -> None:
    """Feed the pairs that our loss draws to the plain loss."""
    n_pairs, sizes = 12, {"max_pairs": 12, "seed": 9}
    network = network_of("lstm", block)
    loss = make_loss("pairwise", **sizes)
    ours = our_loss(network, loss, block, one_batch(block, ROWS))
    twin = make_loss("pairwise", **sizes)
    draws = twin.draws((2, len(ROWS), n_pairs), torch.device("cpu"))
    batch, pairs = padded(dataset, ROWS), []
    for row in range(len(ROWS)):
        target = batch.targets[row][batch.mask[row] > 0]
        order, size = target.argsort(descending=True), int(len(target) * 0.2)
        winner, loser = (draws[:, row] * size).long()
        pairs.append((order[winner], order[-1 - loser]))
    scores = naive_scores(network.body, batch.windows)
    naive = given_pairs_loss(pairs)(scores, batch.targets, batch.mask)
    assert size * size > n_pairs
    assert float(ours.detach()) == pytest.approx(float(naive.detach()), abs=1e-5)
    gap = largest_relative_gap(gradients(network, ours), gradients(network, naive))
    assert gap < 1e-4


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("clip", [1e9, 0.01])
def test_one_step(
    dataset: NaiveDataset, block: CrossSections, backbone: str, clip: float
) -> None:
    """Loss and clipped gradients of a whole step of either loop."""
    network = network_of(backbone, block)
    body = copy.deepcopy(network).body
    step = step_of(network, block, LoopConfig(gradient_clip=clip))
    result = step(one_batch(block, ROWS))
    ours = float(result.loss_sum / result.n_counted)
    optimizer = torch.optim.Adam(body.parameters(), lr=1e-3)
    naive = naive_step(body, padded(dataset, ROWS), optimizer, all_pairs_loss(), clip)
    assert ours == pytest.approx(naive, abs=1e-5)
    gap = largest_relative_gap(
        kept_gradients(network), kept_gradients(body, prefix="body.")
    )
    assert gap < 1e-4


@pytest.mark.parametrize("backbone", ["lstm", "transformer"])
def test_score_cache_is_one_pass(block: CrossSections, backbone: str) -> None:
    batch, results, found = one_batch(block, ROWS), [], []
    for limit in (None, 17):
        network = network_of(backbone, block)
        config = LoopConfig(gradient_clip=1e9, max_windows_per_pass=limit)
        results.append(step_of(network, block, config)(batch))
        found.append(kept_gradients(network))
    assert batch.n_cells > 5 * 17
    torch.testing.assert_close(
        torch.stack(results[0]), torch.stack(results[1]), rtol=0, atol=1e-5
    )
    assert largest_relative_gap(found[1], found[0]) < 1e-4


def test_dense_convolution_scores_the_windows(market: Market) -> None:
    block = our_block(market, PER_BAR)
    network = network_of("tcn", block).eval()
    dense, targets, mask = score(network, block)
    batch = one_batch(block, np.arange(block.n_bars))
    with torch.no_grad():
        windowed = batch.layout.spread(network(batch.windows(), batch.layout))
        plain = naive_scores(
            network.body, padded(naive_dataset(market, PER_BAR), ROWS).windows
        )
    torch.testing.assert_close(dense, windowed, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        dense[ROWS], torch.where(mask[ROWS], plain, 0.0), rtol=1e-3, atol=1e-5
    )
    gap = rank_ic(dense, targets, mask) - rank_ic(windowed, targets, mask)
    assert float(gap.abs().max()) < 2e-3


def test_dense_training_step_is_the_windowed_one(market: Market) -> None:
    block = our_block(market, PER_BAR)
    rows = np.arange(20, 36)
    batch, results, found = one_batch(block, rows), [], []
    for bars_per_block in (None, len(rows)):
        network = network_of("tcn", block)
        config = LoopConfig(gradient_clip=1e9, bars_per_block=bars_per_block)
        step = step_of(network, block, config)
        results.append(step(batch))
        found.append(kept_gradients(network))
    assert type(step).__name__ == "DenseStep"
    assert float(results[0].loss_sum) == pytest.approx(
        float(results[1].loss_sum), rel=1e-5
    )
    assert largest_relative_gap(found[1], found[0]) < 1e-4


def test_running_rank_ic_of_a_step_is_scipys(block: CrossSections) -> None:
    network = network_of("lstm", block)
    batch = one_batch(block, ROWS)
    with torch.no_grad():
        scores = batch.layout.spread(network(batch.windows(), batch.layout))
    result = step_of(network, block, LoopConfig())(batch)
    expected = naive_rank_ic(
        scores.numpy(), block.targets[ROWS].numpy(), batch.layout.mask.numpy()
    )
    assert int(result.n_ic) == len(ROWS)
    assert float(result.ic_sum) == pytest.approx(sum(expected), abs=1e-5)
