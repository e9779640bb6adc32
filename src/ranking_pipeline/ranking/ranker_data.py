"""Ranker data: the arrays that a ranker learns from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.learning.windows import BoolArray

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class TrainingData:
    """What a ranker learns from.

    Attributes
    ----------
    ohlcv : ndarray, shape (S, T, 5)
        Open, high, low, close, volume; NaN where a symbol has no bar.
    target : ndarray, shape (T, S)
        What is learned; NaN where unknown. It is brought to mean 0 and deviation 1 over
        the training cells, which no ranking loss notices and pointwise losses need.
    payoff : ndarray, shape (T, S)
        The simple return behind the target; only measured, never learned.
    train, validation : ndarray of bool, shape (T, S)
        Cells of each block whose label ends inside it. The channels' constants are
        fitted up to the last training bar. An all-False validation block keeps the last
        epoch.
    lag_bars, horizon_bars : int
        Of the payoff: from the decision to the entry, and from there to the exit.
    """

    ohlcv: FloatArray
    target: FloatArray
    payoff: FloatArray
    train: BoolArray
    validation: BoolArray
    lag_bars: int = 0
    horizon_bars: int = 1

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        names = ("ohlcv", "target", "payoff", "train", "validation")
        return {name: getattr(self, name) for name in names}

    def digest(self) -> str:
        """SHA-256 of all of it."""
        content = hashlib.sha256(f"{self.lag_bars} {self.horizon_bars}".encode())
        for name, values in self.arrays().items():
            content.update(f"{name} {values.dtype} {values.shape}".encode())
            content.update(np.ascontiguousarray(values).data)
        return content.hexdigest()
