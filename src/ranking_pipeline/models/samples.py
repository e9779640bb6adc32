"""Samples: the rows of one learning problem, aligned with their panel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel


@dataclass(frozen=True)
class Samples:
    """Rows sorted by (bar, symbol); all arrays share their first axis n.

    Parameters
    ----------
    panel : Panel
        The bars; sequence families cut their windows from it.
    bars, symbols : ndarray of int, shape (n,)
        Position of each row on the panel's axes.
    features : ndarray of float32, shape (n, F)
        NaN where a factor is not yet known.
    feature_names : tuple of str, length F
    target : ndarray of float32, shape (n,)
        What a model learns: a return on the scale of `learning target`, or a class
        (-1, 0, 1 or 0, 1). NaN where the label is not known.
    label_end : ndarray of int, shape (n,)
        Bar at which the label is known; -1 where it never is.
    task : str
        ``regression``, ``binary`` or ``three_class``.
    weight : ndarray of float32, shape (n,), or None
        How much each row counts in a fit, of mean 1; None: all count alike.
    auxiliary : ndarray of float32, shape (n, K), or None
        Further targets of the same rows, NaN where unknown, for families that learn
        several at once.
    auxiliary_names : tuple of str, length K

    Raises
    ------
    UserError
        Where arrays have not the shapes above; all of them are named at once.
    """

    panel: Panel
    bars: npt.NDArray[np.intp]
    symbols: npt.NDArray[np.intp]
    features: npt.NDArray[np.float32]
    feature_names: tuple[str, ...]
    target: npt.NDArray[np.float32]
    label_end: npt.NDArray[np.intp]
    task: str
    weight: npt.NDArray[np.float32] | None = None
    auxiliary: npt.NDArray[np.float32] | None = None
    auxiliary_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.bars)
        expected: dict[str, tuple[int, ...]] = {
            "bars": (n,),
            "symbols": (n,),
            "features": (n, len(self.feature_names)),
            "target": (n,),
            "label_end": (n,),
            "weight": (n,),
            "auxiliary": (n, len(self.auxiliary_names)),
        }
        found = {
            name: np.shape(getattr(self, name))
            for name in expected
            if getattr(self, name) is not None
        }
        wrong = [
            f"{name} has shape {found[name]} and not {expected[name]}"
            for name in found
            if found[name] != expected[name]
        ]
        if wrong:
            raise UserError("rows of a model do not fit together: " + "; ".join(wrong))

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def shape(self) -> tuple[int, int]:
        """(T, S) of the cross-section layout that the rows scatter into."""
        return self.panel.n_bars, self.panel.n_symbols

    def take(self, rows: npt.NDArray[Any]) -> Samples:
        """Take the given rows (a boolean mask or sorted positions)."""
        return replace(
            self,
            bars=self.bars[rows],
            symbols=self.symbols[rows],
            features=self.features[rows],
            target=self.target[rows],
            label_end=self.label_end[rows],
            weight=None if self.weight is None else self.weight[rows],
            auxiliary=None if self.auxiliary is None else self.auxiliary[rows],
        )

    def labelled(self) -> Samples:
        """Take the rows whose target is known."""
        return self.take(np.isfinite(self.target))

    def with_features(self, names: tuple[str, ...]) -> Samples:
        """Keep the rows, with the named feature columns in that order."""
        columns = [self.feature_names.index(name) for name in names]
        return replace(self, features=self.features[:, columns], feature_names=names)


def thin(rows: Samples, max_rows: int) -> Samples:
    """Keep at most ``max_rows`` rows; see :func:`thin_bars`."""
    if len(rows) <= max_rows:
        return rows
    return rows.take(thin_bars(rows.bars, max_rows))


def thin_bars(bars: npt.NDArray[np.intp], max_rows: int) -> npt.NDArray[np.intp]:
    """Positions of at most ``max_rows`` rows: whole bars, evenly spread in time.

    Rows of one bar say much the same; what many bars say is kept.

    Parameters
    ----------
    bars : ndarray of int, shape (n,)
        Bar of each row.
    max_rows : int
        At least one bar is kept, whatever its size.
    """
    if len(bars) <= max_rows:
        return np.arange(len(bars))
    distinct, counts = np.unique(bars, return_counts=True)
    keep = max(1, int(len(distinct) * max_rows / counts.sum()))
    while True:
        places = (np.arange(keep) + 0.5) * len(distinct) / keep
        chosen = np.floor(places).astype(np.intp)
        if keep == 1 or counts[chosen].sum() <= max_rows:
            return np.flatnonzero(np.isin(bars, distinct[chosen]))
        keep -= 1
