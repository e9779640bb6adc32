"""A rolling buffer: the bars of a live universe, ranked again at every tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import CHANNELS, channel_lookback
from ranking_pipeline.ranking.exclusion import Exclusion
from ranking_pipeline.ranking.live_bars import FAULTS, MISSING, value_faults
from ranking_pipeline.ranking.predictor import CrossSectionalRankingPredictor
from ranking_pipeline.ranking.universe import UniverseRanking


class RollingBuffer:
    """The latest bars of a fixed list of symbols and their channels on the device.

    A tick brings one bar per symbol: only its channels are computed, and only they
    travel to the device. A ranking is then one pass through the networks. It equals
    that of :meth:`CrossSectionalRankingPredictor.predict` on the same bars, bit for
    bit.

    Both stores are rings of twice their length in which every bar is written twice, so
    that the latest bars always lie next to each other.

    Parameters
    ----------
    predictor : CrossSectionalRankingPredictor
    symbols : sequence of str
        M symbols, in the order of the rows that are pushed.

    Raises
    ------
    UserError
        When a symbol is no text or appears twice.
    """

    def __init__(
        self, predictor: CrossSectionalRankingPredictor, symbols: Sequence[str]
    ) -> None:
        spec = predictor.ranker.spec
        self._predictor = predictor
        self._length, self._required = spec.sequence_length, spec.bars_required
        self._history = 1 + channel_lookback(spec.normalization)
        self._ticks = 0
        self._time: np.datetime64 | None = None
        self._hold(symbols)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in the order of the rows that are pushed."""
        return self._symbols

    @property
    def time(self) -> np.datetime64 | None:
        """Time of the latest tick; None before the first."""
        return self._time

    def push(self, bars: npt.NDArray[np.floating], time: np.datetime64) -> None:
        """Take in one bar per symbol.

        Parameters
        ----------
        bars : ndarray, shape (M, 5)
            Open, high, low, close, volume; a row of NaN for a symbol without a bar.
        time : datetime64
            Of the bar; later than that of the tick before.

        Raises
        ------
        UserError
            When the bars are no numbers of that shape or the time is not later. The
            buffer is then as it was.
        """
        bar = self._checked(bars)[self._by_name].T  # (5, M)
        when = self._later(time)
        place, slot = self._ticks % self._required, self._ticks % self._length
        for at in (place, place + self._required):
            self._bars[:, at] = bar
        self._faults[place] = value_faults(bar[:, None])
        self._ticks, self._time = self._ticks + 1, when
        newest = self._predictor.channels_of(self._latest(self._history), 1)[:, 0]
        self._missing[slot] = ~np.isfinite(newest).all(axis=0)
        self._upload(newest, slot)

    def ranking(self) -> UniverseRanking:
        """Rank the symbols by the bars up to the latest tick."""
        exclusions = self._exclusions()
        stop = (self._ticks - 1) % self._length + self._length + 1
        channels = self._channels[:, stop - self._length : stop]  # (M, L, 5)
        names = self._names
        if exclusions:
            kept = [k for k, name in enumerate(names) if name not in exclusions]
            names = [names[k] for k in kept]
            rows = torch.tensor(kept, dtype=torch.int64, device=channels.device)
            channels = channels.index_select(0, rows)
        return self._predictor.ranked(names, channels.contiguous(), exclusions)

    def windows(self) -> dict[str, npt.NDArray[np.float32]]:
        """Copy the latest bars (``bars_required``, 5) of each symbol, NaN where none."""
        latest = self._latest(self._required).transpose(2, 1, 0).copy()  # (M, R, 5)
        return dict(zip(self._names, latest, strict=True))

    def replace_symbols(self, symbols: Sequence[str]) -> None:
        """Go on with another list: known symbols keep their bars, new ones have none.

        Parameters
        ----------
        symbols : sequence of str
            In the order of the rows that will be pushed.

        Raises
        ------
        UserError
            As when the buffer was made; the buffer is then as it was.
        """
        before = {name: place for place, name in enumerate(self._names)}
        stores = self._bars, self._faults, self._missing, self._channels
        self._hold(symbols)
        pairs = [(k, before[n]) for k, n in enumerate(self._names) if n in before]
        if not pairs:
            return
        new, old = (np.array(side) for side in zip(*pairs, strict=True))
        self._bars[:, :, new] = stores[0][:, :, old]
        self._faults[:, new] = stores[1][:, old]
        self._missing[:, new] = stores[2][:, old]
        device = self._channels.device
        rows = torch.from_numpy(old).to(device)
        kept = stores[3].index_select(0, rows)
        self._channels.index_copy_(0, torch.from_numpy(new).to(device), kept)

    def _hold(self, symbols: Sequence[str]) -> None:
        """Make empty stores for symbols, whose rows are kept in the order of names."""
        self._symbols = _distinct(symbols)
        n, fields = len(self._symbols), len(CHANNELS)
        by_name = sorted(range(n), key=self._symbols.__getitem__)
        self._by_name = np.array(by_name, dtype=np.intp)
        self._names = [self._symbols[k] for k in by_name]
        self._bars = np.full((fields, 2 * self._required, n), np.nan, dtype=np.float32)
        self._faults = np.zeros((self._required, n), dtype=np.uint8)
        self._missing = np.ones((self._length, n), dtype=np.bool_)
        self._channels = torch.full(
            (n, 2 * self._length, fields), torch.nan, device=self._predictor.device
        )

    def _latest(self, length: int) -> npt.NDArray[np.float32]:
        """View the last ``length`` bars, (5, length, M)."""
        stop = (self._ticks - 1) % self._required + self._required + 1
        return self._bars[:, stop - length : stop]

    def _upload(self, newest: npt.NDArray[np.float32], slot: int) -> None:
        row = torch.from_numpy(np.ascontiguousarray(newest.T))  # (M, 5)
        there = row.to(self._channels.device)
        self._channels[:, slot] = there
        self._channels[:, slot + self._length] = there

    def _exclusions(self) -> dict[str, Exclusion]:
        faults, missing = self._faults.max(axis=0), self._missing.any(axis=0)
        return {
            self._names[k]: FAULTS[int(faults[k])] if faults[k] else MISSING
            for k in np.flatnonzero((faults > 0) | missing)
        }

    def _checked(self, bars: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        expected = (len(self._symbols), len(CHANNELS))
        values = np.asarray(bars)
        if values.dtype.kind not in "fiu" or values.shape != expected:
            raise UserError(
                f"a tick has shape {values.shape} and dtype {values.dtype}; push "
                f"numbers of shape {expected}, one row per symbol."
            )
        with np.errstate(over="ignore"):
            return values.astype(np.float32)

    def _later(self, time: np.datetime64) -> np.datetime64:
        if not isinstance(time, np.datetime64) or np.isnat(time):
            raise UserError(f"time is {time!r}; push each tick with a datetime64.")
        if self._time is not None and not time > self._time:
            raise UserError(
                f"a tick of {time} comes after that of {self._time}; push ticks in "
                "order, each once."
            )
        return time


def _distinct(symbols: Sequence[str]) -> tuple[str, ...]:
    names = tuple(symbols)
    if isinstance(symbols, str) or not all(isinstance(name, str) for name in names):
        raise UserError(f"symbols is {symbols!r}; give a list of texts.")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UserError(f"symbols holds {', '.join(twice)} twice; name each once.")
    return names
