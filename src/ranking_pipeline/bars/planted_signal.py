"""The planted score: what a perfect reader of the last 32 bars would know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.config import SignalWeights

Array = npt.NDArray[np.float64]

SIGNAL_BARS = 32
_PERIOD_BARS = 8
_DECAY_BARS = 14
_MOMENTUM_BARS = 20
_LAGS = np.arange(SIGNAL_BARS)
# Entry k belongs to the bar k before the last one.
OSCILLATION = -np.cos(2 * np.pi * _LAGS / _PERIOD_BARS) * np.exp(-_LAGS / _DECAY_BARS)


@dataclass(frozen=True)
class Signal:
    """What is known at the close of one bar.

    Attributes
    ----------
    gap : ndarray, shape (S,)
        Log return from the last close to this bar's open.
    returns, log_volume : ndarray, shape (k, S)
        The last k <= 32 bars, this one last; returns from close to close.
    listed : ndarray of bool, shape (S,)
        Symbols that trade at this bar; only they enter means and deviations.
    """

    gap: Array
    returns: Array
    log_volume: Array
    listed: npt.NDArray[np.bool_]


def planted_score(signal: Signal, volatility: Array, weights: SignalWeights) -> Array:
    """Standardised sum of a gap, a momentum, a volume and a sequence part.

    Parameters
    ----------
    signal
        The bars up to the decision.
    volatility : ndarray, shape (S,)
        Own volatility of one bar.
    weights
        Weight of each standardised part.

    Returns
    -------
    ndarray, shape (S,)
        Mean 0 and deviation 1 over the listed symbols; 0 for all before 32 bars exist,
        and 0 for a symbol that is not listed.
    """
    if len(signal.returns) < SIGNAL_BARS:
        return np.zeros(len(signal.gap))
    listed = signal.listed
    recent = signal.returns[-_MOMENTUM_BARS:]
    turbulence = recent.std(axis=0) / volatility
    calm = turbulence < np.median(turbulence[listed])
    usual = signal.log_volume[-_MOMENTUM_BARS - 1 : -1].mean(axis=0)
    wave = OSCILLATION[::-1] @ signal.returns / volatility
    parts = (
        (weights.gap, signal.gap),
        (weights.momentum, recent.sum(axis=0) * calm),
        (weights.volume, signal.log_volume[-1] - usual),
        (weights.sequence, wave),
    )
    total = sum(w * _standardise(part, listed) for w, part in parts)
    return _standardise(np.asarray(total), listed)


def _standardise(values: Array, listed: npt.NDArray[np.bool_]) -> Array:
    inside = values[listed]
    deviation = inside.std()
    if not deviation > 0:
        return np.zeros_like(values)
    return np.where(listed, (values - inside.mean()) / deviation, 0.0)
