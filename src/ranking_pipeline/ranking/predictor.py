"""The live predictor: rank a universe from the latest bars of each symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ranking_pipeline.learning.channels import CHANNELS, build_channels
from ranking_pipeline.learning.windows import complete_windows
from ranking_pipeline.ranking.ranker import Ranker, score_panel

_LARGEST_SIGNAL = 3.0


@dataclass(frozen=True)
class UniverseRanking:
    """The order of a universe at one moment.

    Attributes
    ----------
    scores : dict
        Symbol -> score in (0, 1); comparable within this ranking only.
    rankings : list of str
        Symbols from the highest score to the lowest; ties by name.
    signals : dict
        Symbol -> normal score of its rank, within +-3; they sum to zero.
    long_symbols, short_symbols : list of str
        The two tails, disjoint; best first, and worst first.
    excluded : dict
        Symbol -> why it is not ranked.
    reason : str
        Why there are no tails; empty where there are.
    """

    scores: dict[str, float] = field(default_factory=dict)
    rankings: list[str] = field(default_factory=list)
    signals: dict[str, float] = field(default_factory=dict)
    long_symbols: list[str] = field(default_factory=list)
    short_symbols: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    reason: str = ""


def rank_universe(
    ranker: Ranker,
    windows: Mapping[str, npt.NDArray[np.floating] | None],
    *,
    top_pct: float = 0.1,
    bottom_pct: float = 0.1,
    min_universe: int = 5,
    last_bars: Mapping[str, np.datetime64] | None = None,
    as_of: np.datetime64 | None = None,
    device: str = "cpu",
) -> UniverseRanking:
    """Score and rank symbols by their latest bars.

    Parameters
    ----------
    ranker : Ranker
    windows : mapping
        Symbol -> raw bars, shape (``ranker.spec.bars_required``, 5), the decision bar
        last. Bars before the window itself may be NaN (a young listing), the window's
        own may not.
    top_pct, bottom_pct : float
        A tail holds min(max(1, floor(n * share)), n // 2) symbols.
    min_universe : int
        With fewer ranked symbols there are scores but no tails.
    last_bars, as_of : optional
        Timestamp of each symbol's last bar, and the one it must have: older is stale.
    device : str

    Returns
    -------
    UniverseRanking
        Empty for an empty universe. A symbol that cannot be ranked is excluded with its
        reason and changes nothing for the others.
    """
    excluded, usable = {}, {}
    for symbol in sorted(windows):
        fault = _fault(ranker, windows[symbol])
        if not fault and as_of is not None:
            fault = _stale((last_bars or {}).get(symbol), as_of)
        if fault:
            excluded[symbol] = fault
        else:
            usable[symbol] = np.asarray(windows[symbol], dtype=np.float32)
    if not usable:
        return UniverseRanking(excluded=excluded, reason="no symbol can be ranked")
    panel = np.stack(list(usable.values()))  # (S, bars_required, 5)
    last = score_panel(ranker, panel, _last_bar(panel), device)[-1]
    scores = dict(zip(usable, last.tolist(), strict=True))
    order = sorted(scores, key=lambda symbol: (-scores[symbol], symbol))
    tails = _tails(order, top_pct, bottom_pct, min_universe)
    return UniverseRanking(
        scores, order, _signals(order, scores), tails[0], tails[1], excluded, tails[2]
    )


def _fault(ranker: Ranker, bars: npt.NDArray[np.floating] | None) -> str:
    expected = (ranker.spec.bars_required, len(CHANNELS))
    if bars is None:
        return "no bars"
    if np.shape(bars) != expected:
        return f"bars have shape {np.shape(bars)}, not {expected}"
    channels = build_channels(np.asarray(bars)[None], ranker.spec.normalization)
    if not complete_windows(channels, ranker.spec.sequence_length)[-1, 0]:
        return "a bar of the window, or the history it needs, is missing"
    return ""


def _stale(last_bar: np.datetime64 | None, as_of: np.datetime64) -> str:
    if last_bar is None:
        return "time of the last bar is not known"
    return "" if last_bar == as_of else f"last bar is {last_bar}, not {as_of}"


def _last_bar(panel: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    cells = np.zeros((panel.shape[1], panel.shape[0]), dtype=np.bool_)
    cells[-1] = True
    return cells


def _tails(
    order: list[str], top_pct: float, bottom_pct: float, min_universe: int
) -> tuple[list[str], list[str], str]:
    n = len(order)
    if n < max(2, min_universe):
        return [], [], f"{n} ranked symbols, fewer than {max(2, min_universe)}"
    top, bottom = (
        min(max(1, int(n * share + 1e-9)), n // 2) for share in (top_pct, bottom_pct)
    )
    return order[:top], order[::-1][:bottom], ""


def _signals(order: list[str], scores: Mapping[str, float]) -> dict[str, float]:
    """Take normal scores of the places, clipped; equal scores share their mean.

    Averaging the normal scores, not the places, keeps the sum at zero.
    """
    n = len(order)
    normal = [NormalDist().inv_cdf(1 - (place + 0.5) / n) for place in range(n)]
    clipped = np.clip(normal, -_LARGEST_SIGNAL, _LARGEST_SIGNAL)
    values = np.array([scores[symbol] for symbol in order])
    _, group = np.unique(values, return_inverse=True)
    shared = np.bincount(group, weights=clipped) / np.bincount(group)
    return dict(zip(order, shared[group].tolist(), strict=True))
