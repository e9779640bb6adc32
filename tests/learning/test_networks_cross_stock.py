"""The cross-stock network: who sees whom, and in what order nobody is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.networks.cross_stock import MarketTokenNetwork

LENGTH, CHANNELS = 5, 3
MASK = torch.tensor(
    [
        [True, True, False, True, False],
        [False, False, True, False, False],
        [True, True, True, True, True],
    ]
)


def cross_stock(outputs: int = 1, layers: int = 2, hidden: int = 8) -> Scorer:
    spec = NetworkSpec("cross_stock", hidden, layers, heads=2, market_tokens=3)
    return make_network(spec, (LENGTH, CHANNELS), outputs, seed=1).double()


def layout_of(mask: Tensor) -> Layout:
    slots = mask.flatten().nonzero()[:, 0]
    return Layout(slots, mask, np.asarray(mask.sum(1)))


def windows_at(layout: Layout, market: Tensor) -> Tensor:
    """Windows (N, L, C) of the cells out of a market (B, S, L, C)."""
    return layout.collect(market)


def scores_at(network: Scorer, mask: Tensor, market: Tensor) -> Tensor:
    """Scores (B, S) of a market (B, S, L, C); 0 outside the mask."""
    layout = layout_of(mask)
    return layout.spread(network(windows_at(layout, market), layout)).detach()


def market_of(mask: Tensor, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    shape = (*mask.shape, LENGTH, CHANNELS)
    return torch.randn(shape, dtype=torch.float64, generator=draw)


def by_hand(body: MarketTokenNetwork, bar: Tensor) -> Tensor:
    """Scores (n, K) of one bar whose n names have windows (n, L, C): no mask at all."""
    states, _ = body.encoder(bar)
    names = states[:, -1]
    for part in body.rounds:
        market = part.gather(part.tokens[None], names[None])  # type: ignore[operator, index]
        names = part.hand_back(names[None], market)[0]  # type: ignore[operator]
    scores: Tensor = body.head(body.norm(names))
    return scores


masks = st.integers(0, 2**31).map(
    lambda seed: torch.rand(4, 7, generator=torch.Generator().manual_seed(seed)) < 0.6
)


@settings(deadline=None, max_examples=15)
@given(masks, st.sampled_from([1, 3]))
def test_a_padded_bar_equals_a_bar_of_its_names_alone(
    mask: Tensor, outputs: int
) -> None:
    network, layout = cross_stock(outputs), layout_of(mask)
    assert network.crosses
    body = network.body
    assert isinstance(body, MarketTokenNetwork)
    windows = windows_at(layout, market_of(mask))
    bars = [bar for bar in windows.split(layout.counts.tolist()) if len(bar)]
    expected = torch.cat([torch.zeros(0, outputs), *(by_hand(body, b) for b in bars)])
    found = network(windows, layout)
    torch.testing.assert_close(found.view(-1, outputs), expected)


def test_the_order_of_the_names_is_free() -> None:
    network, market = cross_stock(), market_of(MASK)
    order = torch.tensor([3, 1, 4, 0, 2])
    scores = scores_at(network, MASK, market)
    permuted = scores_at(network, MASK[:, order], market[:, order])
    torch.testing.assert_close(permuted, scores[:, order])


def test_names_see_each_other_within_their_bar_alone() -> None:
    network, market = cross_stock(), market_of(MASK)
    scores = scores_at(network, MASK, market)
    changed = market.clone()
    changed[0, 1] += 1
    moved = (scores_at(network, MASK, changed) - scores).abs()
    assert bool((moved[0, [0, 1, 3]] > 1e-8).all())
    assert float(moved[1:].max()) == 0


def test_names_outside_the_mask_change_nothing() -> None:
    network, market = cross_stock(), market_of(MASK)
    scores = scores_at(network, MASK, market)
    # More symbols that are never there, and other values where none is.
    wide = torch.cat([MASK, torch.zeros(3, 4, dtype=torch.bool)], 1)
    more = torch.cat([market + 9.0 * ~MASK[..., None, None], market[:, :4]], 1)
    torch.testing.assert_close(scores_at(network, wide, more)[:, :5], scores)


@dataclass(frozen=True)
class Littered(Layout):
    """A layout whose empty slots hold something."""

    litter: Tensor

    def spread(self, values: Tensor) -> Tensor:
        return super().spread(values) + self.litter * ~self.mask[..., None]


def test_whatever_the_padded_slots_hold_they_get_no_gradient() -> None:
    network, layout = cross_stock(), layout_of(MASK)
    windows = windows_at(layout, market_of(MASK)).requires_grad_()
    litter = (1e3 * torch.randn(3, 5, 8, dtype=torch.float64)).requires_grad_()
    littered = Littered(layout.slots, layout.mask, layout.counts, litter)
    scores = network(windows, littered)
    torch.testing.assert_close(scores, network(windows, layout))
    scores.square().sum().backward()
    assert litter.grad is not None
    assert torch.equal(litter.grad, torch.zeros_like(litter))
    assert windows.grad is not None
    assert bool((windows.grad.abs().sum((1, 2)) > 0).all())


def test_another_bar_changes_nothing() -> None:
    network, market = cross_stock(), market_of(MASK)
    scores = scores_at(network, MASK, market)
    for bar in range(3):
        alone = scores_at(network, MASK[bar : bar + 1], market[bar : bar + 1])
        torch.testing.assert_close(alone[0], scores[bar])


def test_a_bar_without_names_is_harmless() -> None:
    mask = MASK.clone()
    mask[1] = False
    network, layout = cross_stock(), layout_of(mask)
    body, shown = network.body, []
    assert isinstance(body, MarketTokenNetwork)
    body.rounds[0].register_forward_pre_hook(lambda _, given: shown.append(given[1]))
    scores = network(windows_at(layout, market_of(mask)), layout)
    # A softmax over nothing is undefined: even the tokens of this bar see something.
    assert bool(shown[0].any(dim=3).all())
    assert torch.equal(shown[0][[0, 2], 0, 0], mask[[0, 2]])
    scores.square().sum().backward()
    assert all(bool(w.grad.isfinite().all()) for w in network.parameters())  # type: ignore[union-attr]
    full = scores_at(cross_stock(), MASK, market_of(MASK))
    torch.testing.assert_close(layout.spread(scores.detach())[[0, 2]], full[[0, 2]])


def test_gradients() -> None:
    network, layout = cross_stock(hidden=4, layers=1), layout_of(MASK[:2])
    windows = windows_at(layout, market_of(MASK[:2])).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: network(w, layout), (windows,))


def test_half_precision() -> None:
    network, layout = cross_stock().float(), layout_of(MASK)
    windows = windows_at(layout, market_of(MASK)).float()
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(windows, layout)
    torch.testing.assert_close(
        rough.float(), network(windows, layout), atol=0.02, rtol=0.05
    )
    rough.float().square().sum().backward()
    assert all(bool(w.grad.isfinite().all()) for w in network.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["cross_stock", "gru"])
def test_only_who_sees_the_others_learns_what_they_did(name: str) -> None:
    """The target is the mean of the names' last returns: one window says little."""
    draw = torch.Generator().manual_seed(5)
    mask = torch.ones(8, 16, dtype=torch.bool)
    mask[::2, 10:] = False
    layout = layout_of(mask)
    counts = torch.from_numpy(layout.counts)
    network = make_network(NetworkSpec(name, 16), (3, 2), seed=1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)

    def example() -> tuple[Tensor, Tensor]:
        windows = torch.randn(int(counts.sum()), 3, 2, generator=draw)
        mean = layout.spread(windows[:, -1, 0]).sum(1) / counts  # (B,)
        return windows, 4 * mean.repeat_interleave(counts)

    for _ in range(150):
        windows, wanted = example()
        error = (network(windows, layout) - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    windows, wanted = example()
    pair = torch.stack([network(windows, layout).detach(), wanted])
    found = float(torch.corrcoef(pair)[0, 1])
    assert found > 0.9 if name == "cross_stock" else found < 0.6
