"""cnn1d, nhits, tft, patchtst, tab_transformer: what each one is, against references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.networks.cnn1d import PooledConvolutionNetwork
from ranking_pipeline.learning.networks.gating import GatedAdd, GatedResidual
from ranking_pipeline.learning.networks.nhits import (
    InterpolatedBlock,
    InterpolatedStacksNetwork,
    interpolation,
)
from ranking_pipeline.learning.networks.patchtst import (
    PatchEmbedding,
    PatchTransformerNetwork,
)
from ranking_pipeline.learning.networks.tab_transformer import FactorTransformerNetwork
from ranking_pipeline.learning.networks.tft import (
    InterpretableAttention,
    VariableSelection,
)

NAMES = ["cnn1d", "nhits", "tft", "patchtst", "tab_transformer"]


def spec(name: str, hidden: int = 8, layers: int = 1, **sizes: object) -> NetworkSpec:
    return NetworkSpec(name, hidden, layers, **sizes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def scored(network: Scorer, windows: Tensor) -> Tensor:
    mask = torch.ones(1, len(windows), dtype=torch.bool)
    layout = Layout(torch.arange(len(windows)), mask, np.array([len(windows)]))
    scores: Tensor = network(windows, layout)
    return scores


def _trend(windows: Tensor) -> Tensor:
    """Late bars minus early ones of one channel, bent by the size of another."""
    rise = windows[:, -4:, 0].mean(1) - windows[:, :4, 0].mean(1)
    return rise * (1 + windows[:, -4:, 1].abs().mean(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_bent_trend_of_the_window_is_learned(name: str) -> None:
    draw = torch.Generator().manual_seed(3)
    network = make_network(spec(name, 16), (12, 2), seed=1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(120):
        windows = torch.randn(128, 12, 2, generator=draw)
        error = (scored(network, windows) - _trend(windows)).square().mean()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    unseen = torch.randn(500, 12, 2, generator=draw)
    with torch.no_grad():
        both = torch.stack([scored(network, unseen), _trend(unseen)])
    ranks = both.argsort(dim=1).argsort(dim=1).double()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.8


def test_a_convolution_network_answers_alike_wherever_a_shape_is() -> None:
    network = PooledConvolutionNetwork(spec("cnn1d", layers=2), 32, 1, 1)
    for stage in network.stages:
        assert isinstance(stage, nn.Sequential)
        stage[1] = nn.Identity()  # the norm sees the whole window
    series = torch.zeros(2, 32, 1)
    shape = torch.randn(4, 1)
    series[0, 12:16], series[1, 16:20] = shape, shape
    with torch.no_grad():
        places = network.stages(series.transpose(1, 2))  # (2, 16, 8)
    torch.testing.assert_close(places[0, :, 2:5], places[1, :, 3:6])
    assert float((places[0] - places[1]).abs().max()) > 0
    assert places.shape == (2, 16, 8)


@given(knots=st.integers(1, 9), size=st.integers(1, 20))
def test_knots_are_joined_by_lines(knots: int, size: int) -> None:
    values = torch.randn(3, knots, generator=torch.Generator().manual_seed(knots))
    expected = F.interpolate(values.unsqueeze(1), size=size, mode="linear").squeeze(1)
    torch.testing.assert_close(values @ interpolation(knots, size), expected)
    torch.testing.assert_close(interpolation(knots, size).sum(0), torch.ones(size))


def test_each_block_of_nhits_reads_what_the_others_left() -> None:
    shape = spec("nhits", 16, 2, pooling=(4, 2, 1), horizon=6)
    network = InterpolatedStacksNetwork(shape, 12, 2, 1).eval()
    windows = torch.randn(5, 12, 2)
    left, total = windows.transpose(1, 2), torch.zeros(5, 2, 6)
    for block in network.blocks:
        assert isinstance(block, InterpolatedBlock)
        pooled = F.max_pool1d(left, block.pool.kernel_size, ceil_mode=True)
        hidden = block.body(pooled.flatten(1))
        ahead = block.forecast(hidden).view(5, 2, -1)
        total = total + F.interpolate(ahead, size=6, mode="linear")
        if block.backcast is not None:
            behind = block.backcast(hidden).view(5, 2, -1)
            assert behind.shape[2] == pooled.shape[2]
            left = left - F.interpolate(behind, size=12, mode="linear")
    torch.testing.assert_close(network.forecast(windows), total)
    torch.testing.assert_close(network(windows), network.head(total.flatten(1)))
    assert network.blocks[-1].backcast is None


def test_pooling_hides_bars_that_are_not_the_largest() -> None:
    network = InterpolatedStacksNetwork(
        spec("nhits", pooling=(4,), horizon=4), 8, 1, 1
    ).eval()
    windows = torch.tensor([4.0, 1, 2, 3, 5, 8, 6, 7]).view(1, 8, 1)
    lower = torch.tensor([4.0, 0, 0, 0, 0, 8, 0, 0]).view(1, 8, 1)
    assert torch.equal(network(windows), network(lower))
    assert not torch.equal(network(windows), network(lower + 1))


def test_a_closed_gate_passes_its_input_by() -> None:
    add = GatedAdd(6, 4, 0.0)
    update, skip = torch.randn(3, 6), torch.randn(3, 4)
    with torch.no_grad():
        add.gate.bias[4:] = -1e4
    torch.testing.assert_close(add(update, skip), F.layer_norm(skip, (4,)))
    with torch.no_grad():
        add.gate.bias[4:] = 1e4
    opened = skip + update @ add.gate.weight[:4].T + add.gate.bias[:4]
    torch.testing.assert_close(add(update, skip), F.layer_norm(opened, (4,)))


def test_a_gated_residual_by_its_equations() -> None:
    part = GatedResidual(5, 6, 4, 0.0)
    values = torch.randn(3, 5)
    first, second, gate = part.dense[0], part.dense[2], part.add.gate
    hidden = F.elu(values @ first.weight.T + first.bias) @ second.weight.T + second.bias
    opened, gates = (hidden @ gate.weight.T + gate.bias).split(4, dim=1)
    whole = part.skip(values) + opened * gates.sigmoid()
    torch.testing.assert_close(part(values), F.layer_norm(whole, (4,)))
    assert isinstance(GatedResidual(4, 6, 4, 0.0).skip, nn.Identity)


def test_interpretable_heads_are_averaged_over_shared_values() -> None:
    part = InterpretableAttention(spec("tft", heads=2))
    readers, sources = torch.randn(3, 2, 8), torch.randn(3, 5, 8)
    seen, weights = part(readers, sources)
    maps = []
    for head in (slice(0, 4), slice(4, 8)):
        query, key = part.query(readers)[..., head], part.key(sources)[..., head]
        maps.append((query @ key.transpose(1, 2) / 2).softmax(2))
    expected = (maps[0] + maps[1]) / 2
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(seen, part.output(expected @ part.value(sources)))
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 2))


def test_channels_are_mixed_by_weights_that_sum_to_one() -> None:
    part = VariableSelection(spec("tft"), 3)
    windows = torch.randn(4, 6, 3)
    mixed, weights = part(windows)
    torch.testing.assert_close(weights.sum(2), torch.ones(4, 6))
    assert float(weights.detach().min()) > 0
    embedded = windows.unsqueeze(3) * part.directions + part.places
    slow = torch.stack(
        [read(embedded[:, :, c]) for c, read in enumerate(part.readings)]
    )
    expected = (slow * weights.permute(2, 0, 1).unsqueeze(3)).sum(0)
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize(
    ("length", "bars"),
    [
        (8, [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]),
        (7, [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 6]]),
        (2, [[0, 0, 0, 1]]),
    ],
)
def test_patches_end_at_the_last_bar(length: int, bars: list[list[int]]) -> None:
    part = PatchEmbedding(spec("patchtst", 4, patch_length=4, patch_stride=2), length)
    with torch.no_grad():
        part.linear.weight.copy_(torch.eye(4))
        part.linear.bias.zero_()
        part.positions.zero_()
    series = torch.arange(float(length)).view(1, 1, length)
    assert part(series)[0].int().tolist() == bars


def test_channels_of_patches_do_not_see_each_other() -> None:
    network = PatchTransformerNetwork(spec("patchtst", layers=2), 20, 3, 1).eval()
    windows = torch.randn(4, 20, 3)
    seen = network.encode(windows)
    order = [2, 0, 1]
    torch.testing.assert_close(network.encode(windows[:, :, order]), seen[:, order])
    windows[:, :, 1] += 1
    moved = (network.encode(windows) - seen).abs().amax(dim=(0, 2, 3))
    assert [bool(value > 1e-4) for value in moved] == [False, True, False]


def test_patches_are_read_as_by_transformers() -> None:
    library = pytest.importorskip("transformers")
    sizes = {"d_model": 16, "num_attention_heads": 4, "ffn_dim": 64}
    kind = {"norm_type": "layernorm", "pre_norm": True, "scaling": None}
    config = library.PatchTSTConfig(
        num_input_channels=5,
        context_length=32,
        patch_length=8,
        patch_stride=4,
        num_hidden_layers=2,
        positional_encoding_type="random",
        **sizes,
        **kind,
    )
    reference = library.PatchTSTModel(config).eval()
    own = PatchTransformerNetwork(
        spec("patchtst", 16, 2, heads=4, patch_length=8, patch_stride=4), 32, 5, 1
    ).eval()
    own.norm = nn.Identity()  # the reference has none after its last block
    _copy_patchtst(own, reference.encoder)
    counted = sum(p.numel() for p in own.parameters()) - 5 * 7 * 16 - 1
    assert counted == sum(p.numel() for p in reference.parameters())
    windows = torch.randn(3, 32, 5)
    expected = reference(past_values=windows).last_hidden_state
    torch.testing.assert_close(own.encode(windows), expected, atol=1e-5, rtol=1e-4)


def _copy_patchtst(own: PatchTransformerNetwork, reference: nn.Module) -> None:
    def load(part: nn.Module, name: str) -> None:
        part.load_state_dict(reference.get_submodule(name).state_dict())

    load(own.patches.linear, "embedder.input_embedding")
    position = reference.get_parameter("positional_encoder.position_enc")
    own.patches.positions.data.copy_(position)
    for place, block in enumerate(own.blocks):
        layer = f"layers.{place}"
        load(block.attention_norm, f"{layer}.norm_sublayer1")  # type: ignore[arg-type]
        load(block.feedforward[0], f"{layer}.norm_sublayer3")  # type: ignore[index]
        load(block.feedforward[1], f"{layer}.ff.0")  # type: ignore[index]
        load(block.feedforward[3], f"{layer}.ff.3")  # type: ignore[index]
        for name, theirs in {
            "query": "q_proj",
            "key": "k_proj",
            "value": "v_proj",
            "output": "out_proj",
        }.items():
            load(
                block.attention.get_submodule(name),  # type: ignore[operator, union-attr]
                f"{layer}.self_attn.{theirs}",
            )


def test_the_order_of_factors_is_a_matter_of_naming() -> None:
    network = FactorTransformerNetwork(spec("tab_transformer", layers=2), 1, 6, 1)
    rows = torch.randn(4, 1, 6)
    before = network(rows)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    assert not torch.allclose(network(rows[:, :, order]), before, atol=1e-4)
    with torch.no_grad():
        tokens = network.tokens
        for part in (tokens.directions, tokens.places, tokens.unknown):
            part.copy_(part[order].clone())
    torch.testing.assert_close(network(rows[:, :, order]), before)


def test_an_unknown_factor_has_a_token_of_its_own() -> None:
    tokens = FactorTransformerNetwork(spec("tab_transformer"), 1, 3, 1).tokens
    row = torch.tensor([[2.0, torch.nan, 0.0]])
    made = tokens(row)
    assert torch.equal(made[0, 0], tokens.summary)
    torch.testing.assert_close(made[0, 1], 2 * tokens.directions[0] + tokens.places[0])
    assert torch.equal(made[0, 2], tokens.unknown[1])
    assert torch.equal(made[0, 3], tokens.places[2])
    made.sum().backward()
    gradients = [part.grad for part in tokens.parameters()]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)


def test_factors_see_each_other() -> None:
    network = FactorTransformerNetwork(spec("tab_transformer", layers=2), 1, 3, 1)
    network.double()
    grid = torch.tensor([[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]]).unsqueeze(1)
    score = network.eval()(grid.double())[:, 0].detach()
    together = score[3] - score[1] - score[2] + score[0]
    assert float(together.abs()) > 1e-6  # rounding is far below
