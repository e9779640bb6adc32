"""Past rows: what is known of each symbol at a bar, and nothing that is known later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.samples import Samples

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PastRows:
    """Labelled rows of each symbol, sorted by the time at which the label is known.

    Attributes
    ----------
    inputs : ndarray of float32, shape (n, F)
    targets, row_weights : ndarray of float32, shape (n,)
        What a network is to tell, and what each row counts for.
    known_at : ndarray of int64, shape (n,)
        Nanoseconds since 1970, ascending inside a symbol.
    starts : ndarray of int64, shape (S + 1,)
        Rows starts[i] ... starts[i + 1] - 1 belong to ``symbols[i]``.
    symbols : tuple of str, length S
    """

    inputs: FloatArray
    targets: FloatArray
    row_weights: FloatArray
    known_at: IntArray
    starts: IntArray
    symbols: tuple[str, ...]

    @classmethod
    def latest(
        cls, rows: Samples, inputs: FloatArray, targets: FloatArray, per_symbol: int
    ) -> PastRows:
        """Keep the last ``per_symbol`` rows of each symbol by the end of their label.

        Parameters
        ----------
        rows : Samples
            Labelled.
        inputs : ndarray, shape (n, F)
        targets : ndarray, shape (n,)
        per_symbol : int
        """
        order = np.lexsort((rows.bars, rows.label_end, rows.symbols))
        seen, counts = np.unique(rows.symbols, return_counts=True)
        stops = np.cumsum(counts)
        # Counted from the newest row of the symbol.
        age = np.repeat(stops, counts) - 1 - np.arange(len(order))
        kept = order[age < per_symbol]
        stamps = rows.panel.timestamps.astype("datetime64[ns]").astype(np.int64)
        weights = np.ones(len(rows)) if rows.weight is None else rows.weight
        return cls(
            inputs[kept],
            targets[kept].astype(np.float32),
            weights[kept].astype(np.float32),
            stamps[rows.label_end[kept]],
            np.concatenate([[0], np.cumsum(np.minimum(counts, per_symbol))]),
            tuple(rows.panel.symbols[symbol] for symbol in seen),
        )

    def stops(self, rows: Samples) -> tuple[IntArray, IntArray]:
        """Find what is known at the bar of each row.

        Returns
        -------
        first, stop : ndarray of int64, shape (n,)
            Rows first ... stop - 1 of this table are of the same symbol and have a
            label that is known at the bar, at its close. Equal where there is none.
        """
        place = {name: k for k, name in enumerate(self.symbols)}
        own = np.array([place.get(name, -1) for name in rows.panel.symbols])
        symbol = own[rows.symbols]
        stamps = rows.panel.timestamps.astype("datetime64[ns]").astype(np.int64)
        first = np.where(symbol >= 0, self.starts[symbol], 0)
        stop = first.copy()
        for k in np.unique(symbol[symbol >= 0]):
            mine = np.flatnonzero(symbol == k)
            known = self.known_at[self.starts[k] : self.starts[k + 1]]
            stop[mine] += np.searchsorted(known, stamps[rows.bars[mine]], side="right")
        return first, stop

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give the arrays by name, as a file keeps them."""
        return {
            name: value
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
