"""Gathered windows against naive slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.learning.windows import (
    ResidentPanel,
    ResidentRows,
    complete_windows,
    window_transform,
)


def panel(seed: int, symbols: int = 4, bars: int = 20, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    values = rng.normal(size=(symbols, bars, channels)).astype(np.float32)
    values[rng.random((symbols, bars)) < 0.1] = np.nan
    return values


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 21))
def test_gathered_windows_are_slices(seed: int, length: int) -> None:
    values = panel(seed)
    inputs = ResidentPanel.build(values, length)
    expected = np.zeros((20, 4), dtype=bool)
    for bar in range(length - 1, 20):
        cut = values[:, bar - length + 1 : bar + 1]
        expected[bar] = np.isfinite(cut).all(axis=(1, 2))
    np.testing.assert_array_equal(inputs.valid, expected)
    bars, symbols = np.nonzero(expected)
    if len(bars) == 0:
        return
    got = inputs.windows(torch.tensor(symbols), torch.tensor(bars)).numpy()
    naive = [
        values[s, b - length + 1 : b + 1] for b, s in zip(bars, symbols, strict=True)
    ]
    np.testing.assert_array_equal(got, np.stack(naive))
    assert inputs.sample_shape == (length, 3)


def test_no_window_is_stored() -> None:
    inputs = ResidentPanel.build(panel(3, bars=50), 16)
    assert inputs.values.untyped_storage().nbytes() == 4 * 50 * 3 * 4


def test_a_partly_missing_bar_makes_its_windows_incomplete() -> None:
    values = np.ones((1, 6, 2), dtype=np.float32)
    values[0, 2, 1] = np.nan
    expected = [False, True, False, False, True, True]
    assert complete_windows(values, 2)[:, 0].tolist() == expected


def test_a_series_shorter_than_a_window_has_none() -> None:
    assert not complete_windows(np.ones((2, 3, 1)), 4).any()


def test_rows_are_found_by_cell() -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    bars, symbols = np.array([0, 1, 1]), np.array([2, 0, 2])
    inputs = ResidentRows.build(values, bars, symbols, (2, 3))
    got = inputs.windows(torch.tensor([2, 0]), torch.tensor([1, 1]))
    assert got.tolist() == [[[4.0, 5.0]], [[2.0, 3.0]]]
    assert inputs.sample_shape == (1, 2)
    assert inputs.valid.tolist() == [[False, False, True], [True, False, True]]


def test_anchored_returns_start_at_the_first_close() -> None:
    transform = window_transform("returns")
    assert transform is not None
    window = torch.tensor([[[9.0, 12.0, 8.0, 10.0, 200.0], [10, 11, 10, 11, 300]]])
    expected = [[-0.1, 0.2, -0.2, 0.0, 0.0], [0.0, 0.1, 0.0, 0.1, 0.5]]
    torch.testing.assert_close(transform(window), torch.tensor([expected]))


def test_zscore_is_per_window_and_a_constant_channel_is_zero() -> None:
    transform = window_transform("zscore")
    assert transform is not None
    window = torch.tensor([[[1.0, 7.1], [3.0, 7.1]], [[10.0, 7.1], [30.0, 7.1]]])
    expected = [[[-1.0, 0.0], [1.0, 0.0]]] * 2
    torch.testing.assert_close(transform(window), torch.tensor(expected))


@pytest.mark.parametrize("name", ["log_returns", "none"])
def test_other_normalisations_leave_the_window_alone(name: str) -> None:
    assert window_transform(name) is None
