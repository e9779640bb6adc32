"""The ranking of a universe: order, signals, tails, and who is left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from ranking_pipeline.errors import UserError
from ranking_pipeline.ranking.exclusion import Exclusion

LARGEST_SIGNAL = 3.0


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
        Symbol -> why it is not ranked, as a sentence.
    reason : str
        Why there are no tails; empty where there are.
    reason_codes : dict
        Symbol -> why it is not ranked, as one of ``no_bars``, ``not_numbers``,
        ``wrong_shape``, ``infinite_value``, ``price_not_positive``,
        ``volume_negative``, ``stale_bar``, ``missing_bar``, ``score_not_finite``.
    """

    scores: dict[str, float] = field(default_factory=dict)
    rankings: list[str] = field(default_factory=list)
    signals: dict[str, float] = field(default_factory=dict)
    long_symbols: list[str] = field(default_factory=list)
    short_symbols: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    reason_codes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TailRule:
    """How the two tails are cut.

    Attributes
    ----------
    top_pct, bottom_pct : float
        A tail holds min(max(1, floor(n * share)), n // 2) symbols.
    min_universe : int
        With fewer ranked symbols there are scores but no tails.

    Raises
    ------
    UserError
        When a share is not in (0, 1] or ``min_universe`` is below 1.
    """

    top_pct: float = 0.1
    bottom_pct: float = 0.1
    min_universe: int = 5

    def __post_init__(self) -> None:
        for name in ("top_pct", "bottom_pct"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(
                    f"{name} is {getattr(self, name)}; use a share above 0, at most 1."
                )
        if self.min_universe < 1:
            raise UserError(f"min_universe is {self.min_universe}; use 1 or more.")

    def size(self, n: int, share: float) -> int:
        """Count the symbols in a tail of ``n``."""
        return min(max(1, int(n * share + 1e-9)), n // 2)


def rank_symbols(
    names: Sequence[str],
    scores: npt.NDArray[np.float32],
    exclusions: Mapping[str, Exclusion],
    rule: TailRule,
) -> UniverseRanking:
    """Put scored symbols in order and cut the tails.

    Parameters
    ----------
    names : sequence of str, length N
        Sorted, so that equal scores go by name.
    scores : ndarray of float32, shape (N,)
        NaN where the networks gave no number: such a symbol is excluded.
    exclusions : mapping
        Symbols that were not scored.
    rule : TailRule
    """
    known = np.isfinite(scores)
    if not known.all():
        lost = Exclusion("score_not_finite", "a network gave no finite score")
        gone = {names[place]: lost for place in np.flatnonzero(~known).tolist()}
        exclusions = dict(sorted((dict(exclusions) | gone).items()))
        names = [names[place] for place in np.flatnonzero(known).tolist()]
        scores = scores[known]
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    rankings = [names[place] for place in order.tolist()]
    top, bottom, reason = _tails(rankings, ordered, rule)
    return UniverseRanking(
        scores=dict(zip(names, scores.tolist(), strict=True)),
        rankings=rankings,
        signals=dict(zip(rankings, rank_signals(ordered).tolist(), strict=True)),
        long_symbols=top,
        short_symbols=bottom,
        excluded={name: why.sentence for name, why in exclusions.items()},
        reason=reason,
        reason_codes={name: why.code for name, why in exclusions.items()},
    )


def rank_signals(ordered: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Turn scores (N,) in descending order into signals that sum to zero.

    The normal score of each place, within +-3; equal scores share their mean. Averaging
    the normal scores, not the places, keeps the sum at zero.
    """
    normal = _normal_scores(len(ordered))
    if not len(ordered) or (ordered[1:] != ordered[:-1]).all():
        return normal
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(ordered)))
    return np.repeat(np.add.reduceat(normal, starts) / sizes, sizes)


@lru_cache(maxsize=8)
def _normal_scores(n: int) -> npt.NDArray[np.float64]:
    """Clipped normal scores of the places 0 ... n - 1, the first one the highest."""
    share = 1.0 - (torch.arange(n, dtype=torch.float64) + 0.5) / n
    normal = torch.special.ndtri(share)
    mirrored = (normal - normal.flip(0)) / 2  # the sum is then zero to the last bit
    found: npt.NDArray[np.float64] = mirrored.numpy()
    clipped = np.clip(found, -LARGEST_SIGNAL, LARGEST_SIGNAL)
    clipped.flags.writeable = False
    return clipped


def _tails(
    rankings: list[str], ordered: npt.NDArray[np.floating], rule: TailRule
) -> tuple[list[str], list[str], str]:
    n, needed = len(rankings), max(2, rule.min_universe)
    if n == 0:
        return [], [], "no symbol can be ranked"
    if n < needed:
        return [], [], f"{n} ranked symbols, fewer than {needed}"
    if ordered[0] == ordered[-1]:
        return [], [], "all scores are equal"
    top, bottom = rule.size(n, rule.top_pct), rule.size(n, rule.bottom_pct)
    return rankings[:top], rankings[::-1][:bottom], ""
