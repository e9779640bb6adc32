"""Windows that lack some bars: which are valid, and that nothing looks at the gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.networks.stock_transformer import StockTransformerNetwork
from ranking_pipeline.learning.streaming import StreamedPanel, make_inputs
from ranking_pipeline.learning.windows import complete_windows

LENGTH, CHANNELS = 6, 5


def gappy(seed: int, bars: int = 20) -> np.ndarray:
    """Channels (4, T, 3); some bars lack one or all of them."""
    rng = np.random.default_rng([seed, 5])
    values = rng.normal(size=(4, bars, 3)).astype(np.float32)
    values[rng.random((4, bars)) < 0.15] = np.nan
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


def network(dropout: float = 0.0) -> StockTransformerNetwork:
    spec = NetworkSpec("stock_transformer", 8, 2, dropout, heads=2)
    body = make_network(spec, (LENGTH, CHANNELS), seed=3).double().body
    assert isinstance(body, StockTransformerNetwork)
    return body


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), length=st.integers(1, 9), max_missing=st.integers(0, 4)
)
def test_valid_windows_lack_few_bars_and_not_the_last(
    seed: int, length: int, max_missing: int
) -> None:
    values = gappy(seed)
    expected = np.zeros((20, 4), dtype=bool)
    for bar in range(length - 1, 20):
        known = np.isfinite(values[:, bar - length + 1 : bar + 1]).all(axis=2)
        expected[bar] = known[:, -1] & ((~known).sum(axis=1) <= max_missing)
    np.testing.assert_array_equal(
        complete_windows(values, length, max_missing), expected
    )


def test_streamed_windows_keep_their_gaps() -> None:
    values = gappy(1, bars=60)
    resident = make_inputs(values, LENGTH, max_missing=2)
    streamed = make_inputs(values, LENGTH, budget_bytes=2500, max_missing=2)
    assert isinstance(streamed, StreamedPanel)
    np.testing.assert_array_equal(streamed.valid, resident.valid)
    bars, symbols = (torch.from_numpy(a) for a in np.nonzero(resident.valid))
    found = resident.windows(symbols, bars)
    assert torch.isnan(found).any()
    torch.testing.assert_close(
        streamed.windows(symbols, bars), found, rtol=0, atol=0, equal_nan=True
    )


def windows_with_gaps() -> tuple[Tensor, Tensor]:
    """Windows (3, L, C), and where a bar (3, L) is there: none, one and three lack."""
    random = torch.Generator().manual_seed(2)
    shape = (3, LENGTH, CHANNELS)
    windows = torch.randn(shape, generator=random, dtype=torch.float64)
    there = torch.ones(3, LENGTH, dtype=torch.bool)
    there[1, 2] = False
    there[2, [0, 1, 4]] = False
    windows[1, 2, 3] = torch.nan  # one channel is enough
    windows[2, [0, 1, 4]] = torch.nan
    return windows, there


def test_numbers_of_a_missing_bar_change_nothing() -> None:
    windows, there = windows_with_gaps()
    body = network(dropout=0.3)
    for training in (False, True):
        body.train(training)
        torch.manual_seed(5)
        expected = body(windows)
        assert torch.isfinite(expected).all()
        for other in (1e9, -3.0, torch.inf):
            changed = torch.where(there.unsqueeze(2), windows, other)
            changed[:, :, 4] = torch.where(there, windows[:, :, 4], torch.nan)
            torch.manual_seed(5)
            assert torch.equal(body(changed), expected)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_gap_is_as_if_the_bar_had_never_been(place: int) -> None:
    """The bars that are there, at their own positions, give the score."""
    windows, there = windows_with_gaps()
    body, kept = network(), there[place]
    rows = body.inlet(windows[place, kept]) + body.positions[kept]  # (n, hidden)
    shorter = rows.unsqueeze(0)
    for block in (*body.feature_attention, *body.prediction_attention):
        shorter = block(shorter, shorter)
    expected = body.head(shorter.mean(dim=1))
    torch.testing.assert_close(body(windows[place : place + 1]), expected)


def test_gaps_leave_the_gradient_finite_and_their_positions_alone() -> None:
    windows, there = windows_with_gaps()
    body = network()
    body(windows[2:]).sum().backward()
    assert all(
        torch.isfinite(w.grad).all() for w in body.parameters() if w.grad is not None
    )
    slope = body.positions.grad
    assert slope is not None
    assert torch.equal(slope[~there[2]], torch.zeros_like(slope[~there[2]]))
    assert (slope[there[2]].abs().sum(dim=1) > 0).all()
