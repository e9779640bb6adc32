"""Window rows: how many rows a window of the walk-forward can have to fit, at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import Panel
from ranking_pipeline.training.window import WindowBars


@dataclass(frozen=True)
class TradableBars:
    """Tradable bars of each symbol, counted.

    Attributes
    ----------
    symbols : tuple of str, length S
    before : ndarray of int64, shape (S, T + 1)
        Tradable bars before each bar, and in all.
    """

    symbols: tuple[str, ...]
    before: npt.NDArray[np.int64]

    @classmethod
    def of(cls, panel: Panel) -> Self:
        """Count those of a panel."""
        before = np.zeros((panel.n_symbols, panel.n_bars + 1), dtype=np.int64)
        np.cumsum(panel.tradable, axis=1, out=before[:, 1:])
        return cls(panel.symbols, before)

    def most_rows(
        self,
        window: WindowBars,
        validation_share: float,
        embargo_bars: int,
        symbol: str | None,
    ) -> int:
        """Count the rows that a model could fit if every label were known in time.

        The shortest label is known one bar after its decision, so that the last bar
        fitted lies two bars and the embargo before the first one held out.

        Parameters
        ----------
        window : WindowBars
        validation_share : float
        embargo_bars : int
        symbol : str, optional
            The one symbol whose rows are counted; None for all.

        Returns
        -------
        int
            No fit has more rows; most have fewer.
        """
        cut = window.first_held_out(validation_share)
        spare = 0 if cut > window.train_last else embargo_bars
        end = max(window.train_first, cut - 1 - spare)
        counts = self.before[:, end] - self.before[:, window.train_first]
        if symbol is None:
            return int(counts.sum())
        return int(counts[self.symbols.index(symbol)])
