"""Attention networks and the mixer against their equations, one window at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.networks.attention import Attention, AttentionBlock
from ranking_pipeline.learning.networks.mixer import MixerBlock, MixerNetwork
from ranking_pipeline.learning.networks.stock_transformer import StockTransformerNetwork
from ranking_pipeline.learning.networks.transformer import TransformerNetwork

SPEC = NetworkSpec("transformer", 8, heads=2)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def normalised(rows: Tensor, norm: nn.Module) -> Tensor:
    if isinstance(norm, nn.Identity):
        return rows
    centred = rows - rows.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / scale * norm.weight + norm.bias  # type: ignore[no-any-return]


def attended(part: Attention, readers: Tensor, sources: Tensor, may: Tensor) -> Tensor:
    """Readers (Q, H), sources (P, H), may (Q, P): each head and reader on its own."""
    query, key, value = (
        rows @ layer.weight.T + layer.bias
        for rows, layer in (
            (readers, part.query),
            (sources, part.key),
            (sources, part.value),
        )
    )
    size = query.shape[1] // part.heads
    rows = []
    for reader in range(len(readers)):
        mixed = []
        for head in range(part.heads):
            own = slice(head * size, (head + 1) * size)
            seen = may[reader].nonzero()[:, 0]
            likeness = [query[reader, own] @ key[p, own] for p in seen]
            weights = torch.stack(likeness).div(math.sqrt(size)).softmax(0)
            mixed.append((weights[:, None] * value[seen, own]).sum(0))
        rows.append(torch.cat(mixed))
    return torch.stack(rows) @ part.output.weight.T + part.output.bias


def updated(block: AttentionBlock, readers: Tensor, sources: Tensor) -> Tensor:
    """What a block makes of readers (Q, H) that see all sources (P, H)."""
    norm = block.attention_norm
    may = torch.ones(len(readers), len(sources), dtype=torch.bool)
    readers = readers + attended(
        block.attention, normalised(readers, norm), normalised(sources, norm), may
    )
    first_norm, widen, activation, narrow = block.feedforward
    inner = activation(normalised(readers, first_norm) @ widen.weight.T + widen.bias)
    return readers + inner @ narrow.weight.T + narrow.bias  # type: ignore[no-any-return]


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_attention_reads_what_it_may(heads: int) -> None:
    part = Attention(NetworkSpec("transformer", 8, heads=heads)).double()
    readers, sources = draw(3, 4, 8), draw(3, 5, 8)
    may = torch.rand(3, 4, 5) < 0.5
    may[:, :, 2] = True
    found = part(readers, sources, may[:, None])
    for place in range(3):
        plain = attended(part, readers[place], sources[place], may[place])
        torch.testing.assert_close(found[place], plain)


@pytest.mark.parametrize("normalise", [True, False])
def test_a_block_adds_attention_and_a_feedforward_part(normalise: bool) -> None:
    block = AttentionBlock(SPEC, normalise=normalise, activation=nn.ReLU).double()
    for weight in block.parameters():  # norms too shall not be the identity
        nn.init.normal_(weight, std=0.5)
    readers, sources = draw(2, 3, 8), draw(2, 5, 8)
    for seen in (sources, readers):
        found = block(readers, seen)
        for place in range(2):
            plain = updated(block, readers[place], seen[place])
            torch.testing.assert_close(found[place], plain)


def test_gradients_of_masked_attention() -> None:
    block = AttentionBlock(NetworkSpec("transformer", 4, heads=2)).double()
    readers, sources = draw(2, 2, 4).requires_grad_(), draw(2, 3, 4).requires_grad_()
    mask = torch.tensor([[True, False, True], [True, True, False]])[:, None, None]
    assert torch.autograd.gradcheck(lambda r, s: block(r, s, mask), (readers, sources))


def test_sources_behind_the_mask_get_no_gradient() -> None:
    block = AttentionBlock(SPEC)
    readers, sources = torch.randn(1, 2, 8), torch.randn(1, 3, 8, requires_grad=True)
    mask = torch.tensor([True, False, True])[None, None, None]
    block(readers, sources, mask).square().sum().backward()
    assert sources.grad is not None
    assert torch.equal(sources.grad[0, 1], torch.zeros(8))
    assert float(sources.grad[0, 2].abs().sum()) > 0


@pytest.mark.parametrize("layers", [1, 3])
def test_the_transformer_updates_all_bars_and_reads_the_last(layers: int) -> None:
    spec = NetworkSpec("transformer", 8, layers, heads=2)
    body = make_network(spec, (6, 5), 3, seed=1).double().body
    assert isinstance(body, TransformerNetwork)
    windows = draw(2, 6, 5)
    for place, found in enumerate(body(windows)):
        bars = windows[place] @ body.inlet.weight.T + body.inlet.bias + body.positions
        for block in body.blocks:
            bars = updated(block, bars, bars)  # type: ignore[arg-type]
        read = normalised(bars[-1], body.norm)
        torch.testing.assert_close(found, body.head.weight @ read + body.head.bias)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_stock_transformer_has_two_kinds_of_layers_and_a_mean(layers: int) -> None:
    spec = NetworkSpec("stock_transformer", 8, layers, heads=4)
    body = make_network(spec, (6, 5), 3, seed=1).double().body
    assert isinstance(body, StockTransformerNetwork)
    assert len(body.feature_attention) == len(body.prediction_attention) == layers
    windows = draw(2, 6, 5)
    for place, found in enumerate(body(windows)):
        bars = windows[place] @ body.inlet.weight.T + body.inlet.bias + body.positions
        for block in (*body.feature_attention, *body.prediction_attention):
            bars = updated(block, bars, bars)  # type: ignore[arg-type]
        expected = body.head.weight @ bars.mean(0) + body.head.bias
        torch.testing.assert_close(found, expected)


def test_the_stock_transformer_at_the_sizes_of_its_source() -> None:
    """25 channels, 128 units, 4 heads, one layer of each kind, 32 bars, one output."""
    spec = NetworkSpec("stock_transformer", 128, 1, 0.1, heads=4)
    network = make_network(spec, (32, 25), seed=1)
    # 128 x 25 + 128; 32 x 128; twice 4 (128² + 128) + 2 x 4 x 128² + 5 x 128; 128 + 1
    layer = 4 * (16384 + 128) + 8 * 16384 + 640
    counted = sum(weight.numel() for weight in network.parameters())
    assert counted == 3328 + 4096 + 2 * layer + 129 == 403_073
    assert not any(isinstance(part, nn.LayerNorm) for part in network.modules())
    assert network.body(torch.randn(3, 32, 25)).shape == (3, 1)


def test_the_mixer_follows_its_equations() -> None:
    body = make_network(NetworkSpec("mixer", 8, 2), (6, 5), 3, seed=1).double().body
    assert isinstance(body, MixerNetwork)
    windows = draw(2, 6, 5)
    for place, found in enumerate(body(windows)):
        bars = windows[place] @ body.inlet.weight.T + body.inlet.bias  # (L, H)
        for block in body.blocks:
            assert isinstance(block, MixerBlock)
            columns = normalised(bars, block.bar_norm)
            for unit in range(8):
                bars = bars.clone()
                bars[:, unit] += _twice(block.bar_mixing, columns[:, unit])
            rows = normalised(bars, block.unit_norm)
            bars = torch.stack(
                [bars[t] + _twice(block.unit_mixing, rows[t]) for t in range(6)]
            )
        read = normalised(bars, body.norm).mean(0)
        torch.testing.assert_close(found, body.head.weight @ read + body.head.bias)


def _twice(layers: nn.Sequential, vector: Tensor) -> Tensor:
    first, second = layers[0], layers[2]
    return second.weight @ F.gelu(first.weight @ vector + first.bias) + second.bias  # type: ignore[no-any-return, operator]


def test_gradients_of_the_mixer() -> None:
    block = MixerBlock(NetworkSpec("mixer", 4), 3).double()
    assert torch.autograd.gradcheck(block, (draw(2, 3, 4).requires_grad_(),))
