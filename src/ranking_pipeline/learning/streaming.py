"""Streamed inputs: a panel larger than the device, brought there span by span."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import ChannelScale
from ranking_pipeline.learning.upload import Arrival, Uploader
from ranking_pipeline.learning.window_tables import WindowTransform, window_transform
from ranking_pipeline.learning.windows import (
    BoolArray,
    ResidentPanel,
    Spans,
    complete_windows,
)

HostChannels = npt.NDArray[np.floating]

# The span in use, the one that is fetched, and one that a caller has yet to let go.
_SPANS_ON_DEVICE = 3


def make_inputs(
    channels: HostChannels,
    length: int,
    device: torch.device | str = "cpu",
    normalization: str = "none",
    scale: ChannelScale | None = None,
    budget_bytes: int | None = None,
    max_missing: int = 0,
) -> ResidentPanel | StreamedPanel:
    """Make inputs that are resident where they fit, and streamed where they do not.

    Parameters
    ----------
    channels : ndarray or memory map, shape (S, T, C)
        See :func:`ranking_pipeline.learning.channels.build_channels`.
    length : int
        Bars L of a window.
    device : torch.device or str
    normalization : str
        What is done inside each window, see
        :func:`ranking_pipeline.learning.window_tables.window_transform`.
    scale : ChannelScale, optional
        Constants that the channels are scaled by.
    budget_bytes : int, optional
        Bytes of the device that the panel and its tables may take; None sets no limit.
    max_missing : int
        Bars that a window may lack, see
        :func:`ranking_pipeline.learning.windows.complete_windows`.

    Raises
    ------
    UserError
        When a span of one window does not fit the budget.
    """
    transform, n_bars = window_transform(normalization), channels.shape[1]
    per_bar = bytes_per_bar(channels.shape, transform)
    if budget_bytes is not None and n_bars * per_bar > budget_bytes:
        spans = cut_spans(n_bars, length, per_bar, budget_bytes)
        return StreamedPanel.build(
            channels, length, device, transform, scale, spans, max_missing
        )
    known = channels if scale is None else scale.apply(channels)
    return ResidentPanel.build(known, length, device, transform, max_missing)


def bytes_per_bar(shape: tuple[int, ...], transform: WindowTransform | None) -> int:
    """Count the bytes that one bar of all symbols takes with its tables."""
    copies = 1 if transform is None else 1 + transform.n_tables
    return 4 * shape[0] * shape[2] * copies


def cut_spans(n_bars: int, length: int, per_bar: int, budget_bytes: int) -> Spans:
    """Cut T decision bars into spans of about equal size that fit a budget.

    A span of n decision bars takes n + L - 1 bars, because its first window begins
    before it; three spans may be alive at once.

    Raises
    ------
    UserError
        When not even one window fits.
    """
    capacity = budget_bytes // (_SPANS_ON_DEVICE * per_bar)
    if capacity < length:
        least = _SPANS_ON_DEVICE * per_bar * length
        raise UserError(
            f"the device budget of {budget_bytes:,} bytes cannot hold three spans of "
            f"one window of {length} bars; give at least {least:,} bytes, or lower "
            "sequence_length or the number of symbols."
        )
    most = capacity - length + 1
    n_windows = n_bars - length + 1
    n_spans = max(1, -(-n_windows // most))
    edges = [length - 1 + n_windows * i // n_spans for i in range(n_spans + 1)]
    edges[0] = 0  # the bars before the first window belong to the first span
    return tuple(pairwise(edges))


@dataclass(eq=False)
class StreamedPanel:
    """Channels on the host, of which one span of bars at a time is on the device.

    While a span is in use a thread prepares the following one: it reads the bars,
    scales them, uploads them and finds their tables. On CUDA the upload leaves from
    pinned memory on a stream of its own, and whoever opens the span waits for it on the
    device, not on the host. A window has the same bits as in a :class:`ResidentPanel`.

    Parameters
    ----------
    channels : ndarray or memory map, shape (S, T, C)
        Read span by span; never copied whole.
    length : int
        Bars L of a window.
    device : torch.device
    transform : WindowTransform or None
    scale : ChannelScale or None
        Applied on the way.
    spans : tuple of (first, stop)
        Decision bars of each span; see :func:`cut_spans`.
    valid : ndarray of bool, shape (T, S)
        See :func:`ranking_pipeline.learning.windows.complete_windows`.
    """

    channels: HostChannels
    length: int
    device: torch.device
    transform: WindowTransform | None
    scale: ChannelScale | None
    spans: Spans
    valid: BoolArray

    @classmethod
    def build(
        cls,
        channels: HostChannels,
        length: int,
        device: torch.device | str,
        transform: WindowTransform | None,
        scale: ChannelScale | None,
        spans: Spans,
        max_missing: int = 0,
    ) -> StreamedPanel:
        """Mark the complete windows, and get ready to fetch."""
        where = torch.device(device)
        if where.type == "cuda" and where.index is None:
            # The thread would take the first GPU, whichever is in use here.
            where = torch.device("cuda", torch.cuda.current_device())
        valid = complete_windows(channels, length, max_missing)
        return cls(channels, length, where, transform, scale, spans, valid)

    def __post_init__(self) -> None:
        longest = max(stop - self._first_bar(first) for first, stop in self.spans)
        n_symbols, _, n_channels = self.channels.shape
        self._uploader = Uploader(self.device, n_symbols * longest * n_channels)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="span")
        self._current: tuple[int, ResidentPanel] | None = None
        self._ahead: tuple[int, Future[Arrival]] | None = None

    @property
    def sample_shape(self) -> tuple[int, int]:
        """(L, C) of one window."""
        return self.length, self.channels.shape[2]

    @property
    def series_ready(self) -> bool:
        """Whether windows are plain slices of the series."""
        return self.transform is None

    def open(self, span: int, following: int | None = None) -> ResidentPanel:
        """Bring a span to the device, and begin to fetch the following one."""
        if self._current is None or self._current[0] != span:
            arrival = self._expected(span)
            self._current = None  # let the last span go before the next is fetched
            self._current = span, arrival.receive()
        panel = self._current[1]
        if following is not None and following != span:
            self._expect(following)
        return panel

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        """Windows (N, L, C) of any cells, cut on the host one by one: slow."""
        age = np.arange(1 - self.length, 1)
        bar = bars.cpu().numpy()[:, None] + age  # (N, L)
        cut = self.channels[symbols.cpu().numpy()[:, None], bar]  # (N, L, C)
        known = np.empty(cut.shape, dtype=np.float32)
        self._fill(cut, known)
        windows = torch.from_numpy(known).to(self.device)
        return windows if self.transform is None else self.transform(windows)

    def _expected(self, span: int) -> Arrival:
        if self._ahead is None or self._ahead[0] != span:
            self._expect(span)
        assert self._ahead is not None
        arrival, self._ahead = self._ahead[1].result(), None
        return arrival

    def _expect(self, span: int) -> None:
        if self._ahead is not None and self._ahead[0] == span:
            return
        if self._ahead is not None:
            # Nobody wants it any more; let it end before the next one takes its place.
            self._ahead[1].result()
            self._ahead = None
        self._ahead = span, self._thread.submit(self._fetch, span)

    def _fetch(self, span: int) -> Arrival:
        first, stop = self.spans[span]
        start = self._first_bar(first)
        cut = self.channels[:, start:stop]
        staged = self._uploader.room(cut.shape)
        self._fill(cut, staged.numpy())
        return self._uploader.send(staged, lambda values: self._panel(values, start))

    def _panel(self, values: Tensor, first_bar: int) -> ResidentPanel:
        known, length = self.transform, self.length
        tables = None if known is None else known.tables(values, length)
        return ResidentPanel(values, length, self.valid, tables, first_bar)

    def _first_bar(self, decision_bar: int) -> int:
        return max(0, decision_bar - self.length + 1)

    def _fill(self, cut: HostChannels, out: npt.NDArray[np.float32]) -> None:
        if self.scale is None:
            np.copyto(out, cut, casting="same_kind")
        else:
            self.scale.apply(cut, out)
