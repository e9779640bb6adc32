"""Score scale: puts scores that only rank onto the scale of the learning target."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.learning_target import demeaned

_FILE = "scale.json"
_SMALLEST_SHARE = 1e-3


@dataclass(frozen=True)
class ScoreScale:
    """An increasing line: (raw - centre) * slope + level.

    A ranking objective fixes the order of the names of a bar and nothing else. Whoever
    averages such scores with those of a regression, or puts them side by side, needs
    one unit: the line does not change an order, and gives raw scores the unit of the
    learning target. Bars still cannot be compared: no objective saw their levels.

    Attributes
    ----------
    centre
        Mean raw score of the training rows.
    slope
        Above 0.
    level
        Mean target of the training rows.
    """

    centre: float
    slope: float
    level: float

    @classmethod
    def fit(
        cls,
        raw: npt.NDArray[np.floating],
        target: npt.NDArray[np.floating],
        bars: npt.NDArray[np.integer],
    ) -> ScoreScale:
        """Fit the line to training rows.

        The slope is that of least squares within bars, but at least a thousandth of the
        ratio of the two deviations, so that an order always survives; 1 where the raw
        scores do not differ within bars.

        Parameters
        ----------
        raw, target : ndarray, shape (n,)
            Finite, n > 0.
        bars : ndarray of int, shape (n,)
        """
        scores, values = raw.astype(np.float64), target.astype(np.float64)
        within, wanted = demeaned(scores, bars), demeaned(values, bars)
        spread = float(within @ within)
        slope = 1.0
        if spread > 0:
            ratio = float(np.sqrt((wanted @ wanted) / spread))
            least = _SMALLEST_SHARE * ratio if ratio > 0 else 1.0
            slope = max(float(within @ wanted) / spread, least)
        return cls(float(scores.mean()), slope, float(values.mean()))

    def apply(self, raw: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Put raw scores (n,) on the scale; NaN stays NaN."""
        return np.asarray(
            (raw.astype(np.float64) - self.centre) * self.slope + self.level
        )

    def save(self, folder: Path) -> None:
        """Write the three numbers as JSON; floats come back to the last bit."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False)
        (folder / _FILE).write_text(text, encoding="utf-8", newline="\n")

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a scale was written into the folder."""
        return (folder / _FILE).is_file()

    @classmethod
    def load(cls, folder: Path) -> ScoreScale:
        """Read what :meth:`save` wrote."""
        return cls(**json.loads((folder / _FILE).read_text("utf-8")))
