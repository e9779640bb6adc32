"""Streamed panels give the resident bits, within their budget, in any order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning import windows as windows_file
from ranking_pipeline.learning.channels import ChannelScale
from ranking_pipeline.learning.streaming import (
    StreamedPanel,
    bytes_per_bar,
    cut_spans,
    make_inputs,
)
from ranking_pipeline.learning.upload import Uploader
from ranking_pipeline.learning.window_tables import window_transform
from ranking_pipeline.learning.windows import ResidentPanel

SYMBOLS, BARS, LENGTH = 5, 60, 7
NAMES = ("none", "log_anchored", "returns", "zscore", "minmax")
SCALE = ChannelScale((1.0, 0.5, 0.25, 0.0, 3.0), (2.0, 0.3, 1.0, 7.0, 0.11))


def panel(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, 5])
    values = rng.uniform(1, 3, (SYMBOLS, BARS, 5)).astype(np.float32)
    values[rng.random((SYMBOLS, BARS)) < 0.03] = np.nan
    return values


def small_budget(name: str, bars_of_span: int) -> int:
    per_bar = bytes_per_bar((SYMBOLS, BARS, 5), window_transform(name))
    return 3 * per_bar * bars_of_span


def cells(inputs: Any, span: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    bars, symbols = np.nonzero(inputs.valid[slice(*span)])
    return torch.tensor(symbols), torch.tensor(bars + span[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [None, SCALE])
@pytest.mark.parametrize("span_bars", [LENGTH, LENGTH + 5, 18])
def test_every_window_has_the_resident_bits(
    name: str, scale: ChannelScale | None, span_bars: int
) -> None:
    channels = panel()
    resident = make_inputs(channels, LENGTH, "cpu", name, scale)
    budget = small_budget(name, span_bars)
    streamed = make_inputs(channels, LENGTH, "cpu", name, scale, budget)
    assert isinstance(resident, ResidentPanel)
    assert isinstance(streamed, StreamedPanel)
    np.testing.assert_array_equal(streamed.valid, resident.valid)
    assert streamed.sample_shape == resident.sample_shape
    assert streamed.series_ready == resident.series_ready == (name == "none")
    order = np.random.default_rng(1).permutation(len(streamed.spans)).tolist()
    seen = 0
    for place, span in enumerate(order):
        following = order[place + 1] if place + 1 < len(order) else None
        opened = streamed.open(span, following)
        symbols, bars = cells(streamed, streamed.spans[span])
        got = opened.windows(symbols, bars)
        expected = resident.windows(symbols, bars)
        assert got.numpy().tobytes() == expected.numpy().tobytes()
        assert got.isfinite().all()
        seen += len(bars)
    assert seen == resident.valid.sum()


@settings(max_examples=80, deadline=None)
@given(
    n_bars=st.integers(1, 300),
    length=st.integers(1, 40),
    capacity=st.integers(1, 80),
    extra=st.integers(0, 29),
)
def test_spans_cover_the_bars_once_and_fit(
    n_bars: int, length: int, capacity: int, extra: int
) -> None:
    budget = 3 * 10 * capacity + extra
    if capacity < length:
        with pytest.raises(UserError, match=f"{budget:,} bytes"):
            cut_spans(n_bars, length, 10, budget)
        return
    if n_bars < length:
        return  # such a panel is smaller than a span: it is resident
    spans = cut_spans(n_bars, length, 10, budget)
    assert spans[0][0] == 0
    assert spans[-1][1] == n_bars
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    taken = [stop - max(0, first - length + 1) for first, stop in spans]
    assert max(taken) <= capacity
    assert max(taken) - min(taken[1:] or taken) <= 1  # of equal size


def test_a_large_budget_is_resident() -> None:
    whole = panel().nbytes
    assert isinstance(make_inputs(panel(), 7, budget_bytes=whole), ResidentPanel)
    assert isinstance(make_inputs(panel(), 7, budget_bytes=whole - 1), StreamedPanel)
    zscore = {"normalization": "zscore", "budget_bytes": 3 * whole}
    assert isinstance(make_inputs(panel(), 7, **zscore), ResidentPanel)
    zscore["budget_bytes"] -= 1
    assert isinstance(make_inputs(panel(), 7, **zscore), StreamedPanel)


def test_a_budget_below_one_window_is_refused() -> None:
    least = small_budget("zscore", LENGTH)
    make_inputs(panel(), LENGTH, "cpu", "zscore", None, least)
    with pytest.raises(UserError, match=rf"budget of {least - 1:,} bytes.*{least:,}"):
        make_inputs(panel(), LENGTH, "cpu", "zscore", None, least - 1)


def test_at_most_three_spans_are_alive() -> None:
    streamed = make_inputs(panel(), LENGTH, budget_bytes=small_budget("none", 9))
    assert isinstance(streamed, StreamedPanel)
    n_spans, kept = len(streamed.spans), 0
    opened = streamed.open(0, 1)
    for span in range(1, n_spans - 1):
        before, opened = opened, streamed.open(span, span + 1)
        assert streamed._ahead is not None
        ahead = streamed._ahead[1].result().panel
        held = [part.values.nbytes for part in (before, opened, ahead)]
        assert sum(held) <= small_budget("none", 9)
        kept += 1
    assert kept > 5


def test_a_span_is_opened_once_and_guesses_may_be_wrong() -> None:
    channels = panel()
    streamed = make_inputs(channels, LENGTH, budget_bytes=small_budget("none", 12))
    first = streamed.open(0, 3)
    assert streamed.open(0, 2) is first
    assert streamed.open(0) is first
    other = streamed.open(1, 0)  # neither 3 nor 2
    assert other.first_bar == streamed.spans[1][0] - LENGTH + 1
    again = streamed.open(0)
    assert again is not first
    assert torch.equal(again.values.nan_to_num(), first.values.nan_to_num())


@pytest.mark.parametrize("name", NAMES)
def test_cells_of_several_spans_are_cut_on_the_host(name: str) -> None:
    channels = panel(2)
    resident = make_inputs(channels, LENGTH, "cpu", name, SCALE)
    budget = small_budget(name, LENGTH + 2)
    streamed = make_inputs(channels, LENGTH, "cpu", name, SCALE, budget)
    everything = cells(resident, (0, BARS))
    got = streamed.windows(*everything)
    assert got.numpy().tobytes() == resident.windows(*everything).numpy().tobytes()


class Watched(np.memmap):
    """A memory map that remembers the largest piece that was taken from it."""

    largest = 0

    def __getitem__(self, index: Any) -> Any:
        piece = super().__getitem__(index)
        if isinstance(piece, np.ndarray) and piece.shape != self.shape:
            Watched.largest = max(Watched.largest, piece.size)
        return piece

    def __array__(self, *_args: Any, **_options: Any) -> np.ndarray:
        raise AssertionError("the whole map was taken")


def test_a_memory_map_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = panel(3)
    values.tofile(tmp_path / "channels")
    Watched.largest = 0
    mapped = Watched(tmp_path / "channels", np.float32, "r", shape=values.shape)
    monkeypatch.setattr(windows_file, "_VALUES_AT_ONCE", BARS * 5)
    streamed = make_inputs(
        mapped, LENGTH, scale=SCALE, budget_bytes=small_budget("none", 12)
    )
    resident = make_inputs(values, LENGTH, scale=SCALE)
    for span in range(len(streamed.spans)):
        where = cells(streamed, streamed.spans[span])
        got = streamed.open(span).windows(*where)
        assert torch.equal(got, resident.windows(*where))
    assert 0 < Watched.largest <= SYMBOLS * 12 * 5


def test_a_fault_in_the_thread_reaches_the_caller() -> None:
    streamed = make_inputs(panel(), LENGTH, budget_bytes=small_budget("none", 12))
    assert isinstance(streamed, StreamedPanel)

    class Torn:
        shape = streamed.channels.shape

        def __getitem__(self, _index: Any) -> Any:
            raise OSError("the disk is gone")

    streamed.channels = Torn()  # type: ignore[assignment]
    with pytest.raises(OSError, match="disk"):
        streamed.open(0)


class Log:
    """Stands for torch.cuda's streams and events, and writes down their order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        log = self.calls

        class Event:
            def record(self, stream: str) -> None:
                log.append(f"record on {stream}")

            def synchronize(self) -> None:
                log.append("wait for the buffer")

        class Current:
            def wait_event(self, _event: Event) -> None:
                log.append("main waits")

        @contextlib.contextmanager
        def stream(name: str) -> Iterator[None]:
            log.append(f"enter {name}")
            yield
            log.append(f"leave {name}")

        patch.setattr(torch.cuda, "Event", Event)
        patch.setattr(torch.cuda, "Stream", lambda _device: "side")
        patch.setattr(torch.cuda, "stream", stream)
        patch.setattr(torch.cuda, "current_stream", lambda _device: Current())
        patch.setattr(
            torch.Tensor, "record_stream", lambda *_: log.append("memory is shared")
        )


def test_uploads_by_a_stream_wait_where_they_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CUDA path on a CPU: streams are stood in for, all else is real."""
    channels, log = panel(), Log(monkeypatch)
    budget = small_budget("zscore", 12)
    streamed = make_inputs(channels, LENGTH, "cpu", "zscore", SCALE, budget)
    resident = make_inputs(channels, LENGTH, "cpu", "zscore", SCALE)
    assert isinstance(streamed, StreamedPanel)
    uploader = Uploader(torch.device("cpu"), SYMBOLS * 12 * 5)
    uploader._stage(torch.empty(SYMBOLS * 12 * 5))
    streamed._uploader = uploader
    for span in range(len(streamed.spans)):
        log.calls.clear()
        opened = streamed.open(span)
        where = cells(streamed, streamed.spans[span])
        assert torch.equal(opened.windows(*where), resident.windows(*where))
        assert log.calls == [
            "wait for the buffer",
            "enter side",
            "record on side",
            "record on side",
            "leave side",
            "main waits",
            *["memory is shared"] * 3,
        ]
