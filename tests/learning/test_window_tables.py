"""Normalised windows: by hand, against plain loops, and alone in the world."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.learning import window_tables
from ranking_pipeline.learning.channels import build_channels
from ranking_pipeline.learning.window_tables import over_windows, window_transform
from ranking_pipeline.learning.windows import ResidentPanel

IN_WINDOW = ("log_anchored", "returns", "zscore", "minmax")


def ohlcv(seed: int, symbols: int, bars: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 4])
    walk = np.cumsum(rng.normal(0, 0.02, (symbols, bars, 1)), axis=1)
    prices = 50 * np.exp(walk + rng.normal(0, 0.005, (symbols, bars, 4)))
    volume = np.exp(rng.normal(12, 0.4, (symbols, bars, 1)))
    return np.concatenate([prices, volume], axis=2).astype(np.float32)


def error_of_zscore(window: np.ndarray) -> np.ndarray:
    """What a mean stored as float32 may cost, per channel."""
    return 1.2e-7 * window.mean(axis=0) / window.std(axis=0) + 1e-6


def plain(window: np.ndarray, name: str) -> np.ndarray:
    """One window (L, 5) of raw bars, normalised in float64."""
    raw = window.astype(np.float64)
    if name == "log_anchored":
        price, volume = np.log(raw[:, :4]), np.log1p(raw[:, 4:])
        return np.hstack([price - price[-1, 3], volume - volume.mean()])
    if name == "returns":
        return raw / raw[0, [3, 3, 3, 3, 4]] - 1
    if name == "zscore":
        return (raw - raw.mean(axis=0)) / raw.std(axis=0)
    low, high = raw.min(axis=0), raw.max(axis=0)
    return (raw - low) / (high - low)


@pytest.mark.parametrize("name", IN_WINDOW)
@pytest.mark.parametrize("length", [2, 5, 16, 23])
def test_windows_against_a_plain_loop(name: str, length: int) -> None:
    bars = ohlcv(length, 3, 40)
    channels = build_channels(bars, name)
    inputs = ResidentPanel.build(channels, length, "cpu", window_transform(name))
    symbols, ends = (v.ravel() for v in np.indices((3, 41 - length)))
    ends = ends + length - 1
    got = inputs.windows(torch.tensor(symbols), torch.tensor(ends)).numpy()
    for window, symbol, end in zip(got, symbols, ends, strict=True):
        raw = bars[symbol, end - length + 1 : end + 1]
        error = error_of_zscore(raw) if name == "zscore" else 5e-6
        assert (np.abs(window - plain(raw, name)) <= error).all()


def found_in_two_panels(seed: int, name: str, length: int, room: int) -> list[bytes]:
    """One window inside two random panels, and alone; its bits each time."""
    rng = np.random.default_rng(seed)
    window, found = ohlcv(seed, 1, length), []
    for world in (1, 2):
        before, after, symbol = rng.integers(0, room + 1), rng.integers(0, room + 1), 1
        panel = ohlcv(seed + world, 2 + world, before + length + after)
        panel *= 10.0 ** rng.integers(-3, 4)
        panel[rng.random(panel.shape[:2]) < 0.2] = np.nan
        panel[symbol, before : before + length] = window[0]
        transform, channels = window_transform(name), build_channels(panel, name)
        inputs = ResidentPanel.build(channels, length, "cpu", transform)
        end = before + length - 1
        assert inputs.valid[end, symbol]
        found.append(inputs.windows(torch.tensor([symbol]), torch.tensor([end])))
    alone = torch.from_numpy(build_channels(window, name))
    found.append(alone if transform is None else transform(alone))
    return [values.numpy().tobytes() for values in found]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from([*IN_WINDOW, "none"]),
    length=st.integers(1, 70),
    room=st.integers(0, 20),
)
def test_a_window_has_the_same_bits_in_any_panel(
    seed: int, name: str, length: int, room: int
) -> None:
    first, second, alone = found_in_two_panels(seed, name, length, room)
    assert first == second == alone


def test_running_totals_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def running(values: torch.Tensor, length: int, _combine: object) -> torch.Tensor:
        total = torch.nn.functional.pad(values, (0, 0, 1, 0)).nan_to_num().cumsum(1)
        return total[:, length:] - total[:, :-length]

    monkeypatch.setattr(window_tables, "over_windows", running)
    seen = [found_in_two_panels(seed, "zscore", 12, 20) for seed in range(40)]
    assert any(len(set(bits)) > 1 for bits in seen)


def test_tables_are_the_same_in_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.from_numpy(ohlcv(3, 6, 30))
    for name in IN_WINDOW:
        transform = window_transform(name)
        assert transform is not None
        whole = transform.tables(values, 7)
        with monkeypatch.context() as patch:
            patch.setattr(window_tables, "_VALUES_ON_CPU", 1)
            pieces = transform.tables(values, 7)
        assert torch.equal(whole.shift.nan_to_num(-1), pieces.shift.nan_to_num(-1))
        assert (whole.divisor is None) == (pieces.divisor is None)
        if whole.divisor is not None and pieces.divisor is not None:
            found = [each.divisor.nan_to_num(-1) for each in (whole, pieces)]  # type: ignore[union-attr]
            assert torch.equal(*found)


@pytest.mark.parametrize("name", ["log_anchored", "returns"])
def test_prices_share_one_number_of_a_table(name: str) -> None:
    transform, values = window_transform(name), torch.from_numpy(ohlcv(7, 3, 20))
    assert transform is not None
    tables = transform.tables(values, 4)
    assert tables.shift.shape == (60, 2)
    assert tables.columns.tolist() == [0, 0, 0, 0, 1] * 4
    # The shift of a window, (L, C), is the same in each bar.
    window = values[1, 5:9].clone()
    expected = window - tables.shift[25, [0, 0, 0, 0, 1]]
    if tables.divisor is not None:
        assert tables.divisor is tables.shift
        expected /= tables.shift[25, [0, 0, 0, 0, 1]]
    assert torch.equal(tables.apply_(window[None], torch.tensor([25]))[0], expected)


@pytest.mark.parametrize("name", IN_WINDOW)
def test_a_broken_channel_does_not_touch_the_others(name: str) -> None:
    transform, values = window_transform(name), torch.from_numpy(ohlcv(8, 1, 8))
    assert transform is not None
    tables = transform.tables(values, 8)
    before = tables.apply_(values.clone(), torch.tensor([0]))
    for broken in (torch.nan, torch.inf):
        tables.shift[0, -1] = broken  # of the volume alone
        after = tables.apply_(values.clone(), torch.tensor([0]))
        assert torch.equal(after[:, :, :4], before[:, :, :4])
        assert not after[:, :, 4].isfinite().any()


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 33), seed=st.integers(0, 1000))
def test_every_window_is_combined_once_from_each_bar(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.integers(-99, 99, (2, 33, 3)).astype(float))
    unfolded = values.unfold(1, length, 1)  # (2, starts, 3, L)
    total = over_windows(values, length, torch.add)
    assert torch.equal(total, unfolded.sum(dim=3))
    assert torch.equal(over_windows(values, length, torch.minimum), unfolded.amin(3))


def test_log_anchored_by_hand() -> None:
    bars = np.array([[[1, 4, 1, 2, 0], [2, 8, 2, 4, np.e - 1]]], dtype=np.float32)
    transform = window_transform("log_anchored")
    assert transform is not None
    got = transform(torch.from_numpy(build_channels(bars, "log_anchored")))
    two = np.log(2)
    expected = [
        [-2 * two, 0, -2 * two, -two, -0.5],
        [-two, two, -two, 0, 0.5],
    ]
    torch.testing.assert_close(got, torch.tensor([expected], dtype=torch.float32))


def test_returns_start_at_the_first_close() -> None:
    transform = window_transform("returns")
    assert transform is not None
    window = torch.tensor([[[9.0, 12.0, 8.0, 10.0, 200.0], [10, 11, 10, 11, 300]]])
    expected = [[-0.1, 0.2, -0.2, 0.0, 0.0], [0.0, 0.1, 0.0, 0.1, 0.5]]
    torch.testing.assert_close(transform(window), torch.tensor([expected]))


def test_zscore_by_hand() -> None:
    transform = window_transform("zscore")
    assert transform is not None
    window = torch.tensor([[[1.0, 7.1], [3.0, 7.1]], [[10.0, 7.1], [30.0, 7.1]]])
    expected = [[[-1.0, 0.0], [1.0, 0.0]]] * 2
    torch.testing.assert_close(transform(window), torch.tensor(expected))


def test_minmax_by_hand() -> None:
    transform = window_transform("minmax")
    assert transform is not None
    window = torch.tensor([[[1.0, 7.1], [2.0, 7.1], [5.0, 7.1]]])
    assert transform(window).tolist() == [[[0.0, 0.0], [0.25, 0.0], [1.0, 0.0]]]


@pytest.mark.parametrize("name", ["zscore", "minmax"])
@pytest.mark.parametrize("value", [0.0, 1e-30, 0.1, 123.456, 9.87e11])
def test_a_constant_channel_is_zero(name: str, value: float) -> None:
    transform = window_transform(name)
    assert transform is not None
    for length in (1, 2, 7, 64):
        window = torch.full((2, length, 5), value)
        assert not transform(window).any()


def test_a_steady_price_keeps_its_small_moves() -> None:
    transform = window_transform("zscore")
    assert transform is not None
    rng = np.random.default_rng(5)
    window = (1000 + rng.normal(0, 0.02, (1, 64, 5))).astype(np.float32)
    expected = window.astype(np.float64)
    expected = (expected - expected.mean(axis=1)) / expected.std(axis=1)
    got = transform(torch.from_numpy(window)).numpy()
    np.testing.assert_allclose(got, expected, atol=3e-3)


def test_normalising_leaves_the_given_windows_alone() -> None:
    for name in IN_WINDOW:
        transform = window_transform(name)
        assert transform is not None
        window = torch.from_numpy(ohlcv(1, 2, 6))
        kept = window.clone()
        transform(window)
        assert torch.equal(window, kept)


@pytest.mark.parametrize("name", ["log_returns", "none"])
def test_other_normalisations_leave_the_window_alone(name: str) -> None:
    assert window_transform(name) is None
