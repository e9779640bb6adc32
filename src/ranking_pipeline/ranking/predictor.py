"""The live predictor: rank a universe from the latest bars of each symbol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.channels import CHANNELS
from ranking_pipeline.learning.device import resolve_device
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.networks import Scorer, make_network
from ranking_pipeline.learning.windows import window_transform
from ranking_pipeline.ranking.exclusion import Exclusion
from ranking_pipeline.ranking.live_bars import (
    FAULTS,
    MISSING,
    BarArray,
    stack_bars,
    stale_symbols,
    value_faults,
)
from ranking_pipeline.ranking.live_channels import live_channels
from ranking_pipeline.ranking.ordering import host_order
from ranking_pipeline.ranking.ranker import Ranker
from ranking_pipeline.ranking.store import load_ranker
from ranking_pipeline.ranking.universe import (
    TailRule,
    UniverseRanking,
    rank_symbols,
)

__all__ = ["CrossSectionalRankingPredictor", "UniverseRanking", "rank_universe"]

Windows = Mapping[str, npt.NDArray[np.floating] | None]


class CrossSectionalRankingPredictor:
    """A ranker at work: its networks are built once and wait on their device.

    Parameters
    ----------
    ranker : Ranker
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    top_pct, bottom_pct : float, optional
        A tail holds min(max(1, floor(n * share)), n // 2) symbols; the shares that the
        ranker was validated with by default.
    min_universe : int
        With fewer ranked symbols there are scores but no tails.

    Raises
    ------
    UserError
        When the device is not there, or a share or ``min_universe`` is out of range.
    """

    def __init__(
        self,
        ranker: Ranker,
        device: str = "cpu",
        *,
        top_pct: float | None = None,
        bottom_pct: float | None = None,
        min_universe: int = 5,
    ) -> None:
        spec = ranker.spec
        self.ranker = ranker
        self.device = resolve_device(device)
        self.rule = TailRule(
            spec.top_pct if top_pct is None else top_pct,
            spec.bottom_pct if bottom_pct is None else bottom_pct,
            min_universe,
        )
        self._transform = window_transform(spec.normalization)
        self._networks = [self._network(state) for state in ranker.states]
        self._layout = _one_bar(0, self.device)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: str = "cpu",
        *,
        top_pct: float | None = None,
        bottom_pct: float | None = None,
        min_universe: int = 5,
    ) -> Self:
        """Read a stored ranker, its checksum first.

        Raises
        ------
        UserError
            When a file is missing or is not the one that the meta file vouches for.
        """
        return cls(
            load_ranker(Path(folder)),
            device,
            top_pct=top_pct,
            bottom_pct=bottom_pct,
            min_universe=min_universe,
        )

    @property
    def bars_required(self) -> int:
        """Bars R of each symbol: the window L and the history of its first bar."""
        return self.ranker.spec.bars_required

    def predict(
        self,
        windows: Windows,
        *,
        last_bars: Mapping[str, np.datetime64] | None = None,
        as_of: np.datetime64 | None = None,
    ) -> UniverseRanking:
        """Score and rank symbols by their latest bars.

        Parameters
        ----------
        windows : mapping
            Symbol -> raw bars (open, high, low, close, volume), shape
            (``bars_required``, 5), the decision bar last. Bars before the window itself
            may be NaN (a young listing), the window's own may not.
        last_bars, as_of : optional
            Time of each symbol's last bar, and the one it must have: a symbol with
            another, or with none, is stale.

        Returns
        -------
        UniverseRanking
            Empty for an empty universe. A symbol that cannot be ranked is excluded with
            its reason and changes nothing for the others.

        Raises
        ------
        UserError
            When ``windows`` is no mapping or a symbol is no text.
        """
        expected = (self.bars_required, len(CHANNELS))
        names, bars, exclusions = stack_bars(windows, expected)
        faults = value_faults(bars)
        if faults.any():
            found = {names[k]: FAULTS[int(faults[k])] for k in np.flatnonzero(faults)}
            names, bars = _without(found, names, bars)
            exclusions |= found
        if as_of is not None:
            stale = stale_symbols(names, last_bars, as_of)
            names, bars = _without(stale, names, bars)
            exclusions |= stale
        channels = self._channels(bars)
        finite = np.isfinite(channels)
        if not finite.all():
            complete = finite.all(axis=(0, 1))
            exclusions |= {names[k]: MISSING for k in np.flatnonzero(~complete)}
            names = [names[k] for k in np.flatnonzero(complete)]
            channels = channels[:, :, complete]
        # (C, L, N) -> (N, L, C)
        on_host = torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 1, 0)))
        return self.ranked(names, on_host.to(self.device), exclusions)

    def ranked(
        self, names: list[str], channels: Tensor, exclusions: Mapping[str, Exclusion]
    ) -> UniverseRanking:
        """Rank symbols whose channels are at hand.

        Parameters
        ----------
        names : list of str, length N
            Sorted.
        channels : Tensor of float32, shape (N, L, 5), contiguous, on the device
            Without a gap.
        exclusions : mapping
            Symbols that are left out already, and why.
        """
        ordered = dict(sorted(exclusions.items())) if exclusions else {}
        scores = self.score(channels)
        return rank_symbols(names, scores, ordered, self.rule)

    @torch.inference_mode()
    def score(self, channels: Tensor) -> npt.NDArray[np.float32]:
        """Score symbols against each other.

        Parameters
        ----------
        channels : Tensor of float32, shape (N, L, 5), contiguous, on the device

        Returns
        -------
        ndarray of float32, shape (N,)
            Mean over seeds of rank / (n + 1), in (0, 1), as in training; NaN where a
            network's score is not finite.
        """
        n = len(channels)
        if n == 0:
            return np.empty(0, dtype=np.float32)
        if len(self._layout.slots) != n:
            self._layout = _one_bar(n, self.device)
        windows = channels if self._transform is None else self._transform(channels)
        each = [network(windows, self._layout).float() for network in self._networks]
        # The one read of the prediction.
        raw: npt.NDArray[np.float32] = torch.stack(each).cpu().numpy()  # (K, N)
        return averaged_shares(raw)

    def channels_of(self, bars: BarArray, length: int) -> npt.NDArray[np.float32]:
        """Channels (5, length, S) of the newest bars of (5, R, S), as in training."""
        spec = self.ranker.spec
        return live_channels(bars, spec.normalization, length, self.ranker.scale)

    def _channels(self, bars: BarArray) -> npt.NDArray[np.float32]:
        return self.channels_of(bars, self.ranker.spec.sequence_length)

    def _network(self, state: Mapping[str, Tensor]) -> Scorer:
        spec = self.ranker.spec
        shape = (spec.sequence_length, len(CHANNELS))
        network = make_network(spec.network, shape, seed=0)
        network.load_state_dict(dict(state))
        return network.to(self.device).eval().requires_grad_(requires_grad=False)


def rank_universe(
    ranker: Ranker,
    windows: Windows,
    *,
    top_pct: float = 0.1,
    bottom_pct: float = 0.1,
    min_universe: int = 5,
    last_bars: Mapping[str, np.datetime64] | None = None,
    as_of: np.datetime64 | None = None,
    device: str = "cpu",
) -> UniverseRanking:
    """Rank a universe once; see :class:`CrossSectionalRankingPredictor`."""
    predictor = CrossSectionalRankingPredictor(
        ranker,
        device,
        top_pct=top_pct,
        bottom_pct=bottom_pct,
        min_universe=min_universe,
    )
    return predictor.predict(windows, last_bars=last_bars, as_of=as_of)


def averaged_shares(raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean over networks of rank / (n + 1), (N,), from their scores (K, N).

    Average ranks for ties. NaN where a network's score is not finite; such a symbol is
    not ranked against.
    """
    finite = np.isfinite(raw).all(axis=0)
    n = int(finite.sum())
    keys = -raw if n == raw.shape[1] else np.where(finite, -raw, np.inf)
    _, centred = host_order(keys, np.full(len(raw), n))
    share = (centred + (n + 1)) / 2 / (n + 1)
    total = share[0]
    for other in share[1:]:
        total = total + other
    mean: npt.NDArray[np.float32] = (total / len(share)).astype(np.float32)
    mean[~finite] = np.nan
    return mean


def _without(
    dropped: Mapping[str, Exclusion], names: list[str], bars: BarArray
) -> tuple[list[str], BarArray]:
    if not dropped:
        return names, bars
    kept = [place for place, name in enumerate(names) if name not in dropped]
    return [names[place] for place in kept], bars[:, :, kept]


def _one_bar(n: int, device: torch.device) -> Layout:
    """Layout of a single bar with ``n`` names and no empty slot."""
    mask = torch.ones((1, n), dtype=torch.bool, device=device)
    return Layout(torch.arange(n, device=device), mask, np.array([n], dtype=np.int64))
