"""EWMA: volatility as an exponentially weighted mean of squared returns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def ewma_volatility(returns: npt.NDArray[np.float64], decay: float) -> float:
    """Forecast the standard deviation of the next return.

    Parameters
    ----------
    returns : ndarray, shape (n,)
        Finite, oldest first.
    decay : float
        Weight of a square relative to that of the one after it.

    Returns
    -------
    float
        In units of the returns. Their mean counts as zero, and the weights are made to
        sum to one, so that a short history is not pulled towards a first value.

    References
    ----------
    J.P. Morgan / Reuters, RiskMetrics Technical Document, 1996, section 5.2.
    """
    weights = decay ** np.arange(len(returns))[::-1]
    return float(np.sqrt(weights @ returns**2 / weights.sum()))
