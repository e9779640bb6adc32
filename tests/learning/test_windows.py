"""Gathered windows against naive slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from ranking_pipeline.learning import windows
from ranking_pipeline.learning.windows import (
    ResidentPanel,
    ResidentRows,
    complete_windows,
    window_transform,
)


def ohlcv(seed: int, symbols: int = 4, bars: int = 20) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    return rng.uniform(1, 2, (symbols, bars, 5)).astype(np.float32)


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


def test_a_row_or_panel_is_one_span() -> None:
    panel_inputs = ResidentPanel.build(panel(1), 3)
    rows = ResidentRows.build(np.ones((1, 2), "f4"), *(np.array([0]),) * 2, (5, 1))
    assert panel_inputs.spans == ((0, 20),)
    assert rows.spans == ((0, 5),)
    assert panel_inputs.open(0) is panel_inputs
    assert rows.open(0) is rows
    assert panel_inputs.series_ready
    assert not rows.series_ready
    anchored = ResidentPanel.build(
        panel(1, channels=5), 3, "cpu", window_transform("returns")
    )
    assert not anchored.series_ready


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_cells_come_in_either_integer(kind: torch.dtype) -> None:
    inputs = ResidentPanel.build(panel(2), 2)
    bars, symbols = (torch.tensor(v) for v in np.nonzero(inputs.valid))
    expected = inputs.windows(symbols, bars)
    got = inputs.windows(symbols.to(kind), bars.to(kind))
    assert torch.equal(got, expected)
    row_bars, row_symbols = np.nonzero(inputs.valid)
    values = np.arange(len(row_bars), dtype=np.float32)[:, None]
    rows = ResidentRows.build(values, row_bars, row_symbols, (20, 4))
    got = rows.windows(symbols.to(kind), bars.to(kind))
    assert got[:, 0, 0].tolist() == values[:, 0].tolist()


class Counter(TorchDispatchMode):
    """Count dispatched operators; views are not work."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name not in {"as_strided", "view", "unsqueeze", "_unsafe_view"}:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


# Numbers of the windows, and one for each channel of some bars.
ROWS = ["index_select", "index_select"]


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("none", []),
        ("log_anchored", [*ROWS, "sub_"]),
        ("returns", [*ROWS, "sub_", "div_"]),
        ("zscore", [*ROWS, "sub_", *ROWS, "div_"]),
    ],
)
def test_a_gather_is_a_few_operators(name: str, work: list[str]) -> None:
    inputs = ResidentPanel.build(ohlcv(0), 6, "cpu", window_transform(name))
    cells = torch.tensor([0, 1, 2]), torch.tensor([7, 8, 9])
    with Counter() as counter:
        inputs.windows(*cells)
    assert counter.names == ["add", "sub", "index_select", *work]


def test_validity_is_found_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = panel(5, symbols=7)
    whole = complete_windows(values, 3)
    monkeypatch.setattr(windows, "_VALUES_AT_ONCE", 1)
    np.testing.assert_array_equal(complete_windows(values, 3), whole)


def test_a_read_only_panel_is_copied() -> None:
    values = panel(6)
    values.flags.writeable = False
    inputs = ResidentPanel.build(values, 2)
    inputs.values.zero_()
    assert np.nanmax(np.abs(values)) > 0


def test_a_span_takes_bars_of_the_whole_panel() -> None:
    values = panel(4)
    whole = ResidentPanel.build(values, 3)
    cut = torch.tensor(values[:, 5:12])
    part = ResidentPanel(cut, 3, whole.valid, first_bar=5)
    bars, symbols = (torch.tensor(v) for v in np.nonzero(whole.valid[7:12]))
    got = part.windows(symbols, bars + 7)
    assert torch.equal(got, whole.windows(symbols, bars + 7))
    assert torch.equal(part.series(6, 9).nan_to_num(), whole.series(6, 9).nan_to_num())
