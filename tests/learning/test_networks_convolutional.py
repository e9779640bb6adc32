"""The convolutional network: its reach, and one pass over a series."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.networks.convolutional import (
    ConvolutionalNetwork,
    kernel_sizes,
)

LAYOUT = Layout(torch.zeros(0), torch.zeros(0, 0), torch.zeros(0).numpy())


def tcn(length: int, outputs: int = 1, layers: int = 1, kernel: int = 3) -> Scorer:
    spec = NetworkSpec("tcn", 8, layers, kernel_size=kernel)
    return make_network(spec, (length, 3), outputs, seed=length)


def windows_of(series: Tensor, length: int) -> Tensor:
    # (S, T, C) -> (S (T - L + 1), L, C)
    return series.unfold(1, length, 1).transpose(2, 3).flatten(0, 1)


@pytest.mark.parametrize(
    ("length", "largest", "kernels"),
    [
        (1, 3, []),
        (2, 3, [2]),
        (3, 3, [3]),
        (4, 3, [2, 2]),  # 1 + 2
        (20, 3, [2, 2, 3, 2]),  # 1 + 2 + 2 x 4 + 8 = 19
        (32, 3, [2, 2, 2, 2, 2]),  # 1 + 2 + 4 + 8 + 16 = 31
        (64, 5, [2, 2, 2, 2, 4]),  # 1 + 2 + 4 + 8 + 3 x 16 = 63
    ],
)
def test_kernels_by_hand(length: int, largest: int, kernels: list[int]) -> None:
    assert kernel_sizes(length, largest) == kernels


@given(st.integers(1, 600), st.integers(3, 9))
def test_kernels_reach_every_bar_and_no_more(length: int, largest: int) -> None:
    kernels = kernel_sizes(length, largest)
    assert all(2 <= kernel <= largest for kernel in kernels)
    seen = {0}
    for level, kernel in enumerate(kernels):
        seen = {back + 2**level * tap for back in seen for tap in range(kernel)}
    assert seen == set(range(length))
    # One level less, with the largest kernels, would fall short.
    assert (largest - 1) * (2 ** (len(kernels) - 1) - 1) < length - 1 or not kernels


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 70), st.integers(3, 6), st.integers(1, 2))
def test_the_receptive_field_is_the_window(length: int, kernel: int, n: int) -> None:
    network = tcn(length, layers=n, kernel=kernel).double()
    draw = torch.Generator().manual_seed(length)
    series = torch.randn(16, length + 2, 3, dtype=torch.float64, generator=draw)
    series.requires_grad_()
    network.score_series(series)[:, 1].sum().backward()
    assert series.grad is not None
    use = series.grad.abs().sum(dim=(0, 2))  # the window is bars 1 ... L
    assert float(use[0]) == 0
    assert float(use[1]) > 0
    assert float(use[-2]) > 0
    assert float(use[-1]) == 0


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 70), st.integers(3, 5), st.integers(0, 20), st.sampled_from([1, 3])
)
def test_a_series_in_one_pass_equals_its_windows(
    length: int, kernel: int, more: int, outputs: int
) -> None:
    network = tcn(length, outputs, 2, kernel)
    series = torch.randn(4, length + more, 3)
    dense = network.score_series(series)
    assert dense.shape == (4, more + 1, *((3,) if outputs == 3 else ()))
    weights = torch.randn_like(dense)
    (dense * weights).sum().backward()
    wanted = [weight.grad.clone() for weight in network.parameters()]  # type: ignore[union-attr]
    network.zero_grad()
    apart = network(windows_of(series, length), LAYOUT)
    torch.testing.assert_close(apart.view_as(dense), dense, atol=1e-5, rtol=0)
    (apart.view_as(dense) * weights).sum().backward()
    for weight, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, gradient, atol=1e-4, rtol=1e-4)


def test_against_sums_over_taps() -> None:
    """L = 6: kernels 2 and 3 at dilations 1 and 2, written out for the last bar."""
    network = tcn(6, outputs=2, layers=2).double()
    body = network.body
    assert isinstance(body, ConvolutionalNetwork)
    window = torch.randn(6, 3, dtype=torch.float64)
    matrix, shift = body.inlet.weight[:, :, 0], body.inlet.bias
    assert shift is not None
    bars = [matrix @ bar + shift for bar in window]
    for block, dilation in zip(body.blocks, (1, 2), strict=True):
        weight, bias = block.over_time.weight, block.over_time.bias
        point = block.over_units[0]
        taps = weight.shape[2]
        first = dilation * (taps - 1)
        updated = []
        for t in range(first, len(bars)):
            total = bias
            for tap in range(taps):
                total = (
                    total + weight[:, :, tap] @ bars[t - dilation * (taps - 1 - tap)]
                )
            total = point.weight[:, :, 0] @ total.relu() + point.bias
            updated.append(bars[t] + total.relu())
        bars = updated
    assert len(bars) == 1
    scores = network(window[None], LAYOUT)[0]
    torch.testing.assert_close(scores, body.head.weight @ bars[0] + body.head.bias)


def test_series_are_scored_apart_and_the_future_changes_nothing() -> None:
    network = tcn(9)
    series = torch.randn(3, 20, 3)
    scores = network.score_series(series)
    changed = series.clone()
    changed[1, 15:] += 5
    others = network.score_series(changed)
    torch.testing.assert_close(others[[0, 2]], scores[[0, 2]])
    # Window i ends at bar i + 8.
    torch.testing.assert_close(others[1, :7], scores[1, :7])
    assert all(float((others - scores)[1, i].abs().detach()) > 0 for i in range(7, 12))


def test_gradients_of_one_pass() -> None:
    network = tcn(4, layers=2).double()
    series = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network.score_series, (series,))
    windows = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network.body, (windows,))


def test_no_series_give_no_scores() -> None:
    assert tcn(4).score_series(torch.zeros(0, 6, 3)).shape == (0, 3)


def test_what_has_no_such_path_says_so() -> None:
    assert tcn(4).has_series
    gru = make_network(NetworkSpec("gru", 8), (4, 3), seed=1)
    assert not gru.has_series
    with pytest.raises(UserError, match=r"RecurrentNetwork.*network\.name 'tcn'"):
        gru.score_series(torch.zeros(1, 6, 3))
    with pytest.raises(UserError, match="3 bars; a window has 4"):
        tcn(4).score_series(torch.zeros(1, 3, 3))


def test_strides_skip_only_what_is_never_read() -> None:
    """A brute force over bars: outputs of each level that the last one needs."""
    for length, largest in itertools.product((5, 22, 33), (3, 5)):
        kernels = kernel_sizes(length, largest)
        needed = {0}
        for level, kernel in reversed(list(enumerate(kernels))):
            assert all(back % 2 ** (level + 1) == 0 for back in needed)
            needed = {back + 2**level * tap for back in needed for tap in range(kernel)}
        assert needed == set(range(length))
