"""Score band: whether scores look like those on the bars that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import IntArray, Panel
from ranking_pipeline.portfolio.prediction_config import ScoreBandConfig
from ranking_pipeline.wording import counted, shortened

Scores = npt.NDArray[np.float64]
_SHOWN = 5


@dataclass(frozen=True)
class ScoreBand:
    """Scores between ``centre - reach`` and ``centre + reach`` are as they were."""

    centre: float
    reach: float

    def outside(self, scores: Scores) -> npt.NDArray[np.bool_]:
        """Which scores, of any shape, lie outside; those that are NaN do not."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(scores - self.centre) > self.reach)


def training_bars(
    panel: Panel, informed_until: np.datetime64 | None, how: ScoreBandConfig | None
) -> IntArray:
    """Last bars of the panel that a model was informed of; none without a band."""
    if how is None or informed_until is None:
        return np.empty(0, dtype=np.intp)
    end = int(np.searchsorted(panel.timestamps, informed_until, side="right"))
    return np.arange(max(end - how.bars, 0), end)


def score_band(trained: Scores, how: ScoreBandConfig | None) -> ScoreBand | None:
    """Mean and deviation of the scores (n, S) on training bars; None without any."""
    finite = trained[np.isfinite(trained)]
    if how is None or len(finite) < 2:
        return None
    return ScoreBand(float(finite.mean()), how.deviations * float(finite.std(ddof=1)))


def told_outside(
    scores: Mapping[str, Scores], symbols: tuple[str, ...], band: ScoreBand | None
) -> list[str]:
    """Name the scores that leave the band, one text per moment.

    Parameters
    ----------
    scores : mapping of moment to ndarray, shape (S,)
    symbols : tuple of str
    band : ScoreBand or None
    """
    if band is None:
        return []
    told = []
    for moment, values in scores.items():
        names = [symbols[place] for place in np.flatnonzero(band.outside(values))]
        if names:
            told.append(
                f"{moment}: {counted(len(names), 'score')} ({shortened(names, _SHOWN)}) "
                f"outside {band.centre - band.reach:.4g} to "
                f"{band.centre + band.reach:.4g}, where the scores on the bars of the "
                "training lie (prediction.score_band): look at the bars of these names, "
                "and at what the model was trained on"
            )
    return told
