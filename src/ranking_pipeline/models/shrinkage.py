"""Shrinkage: estimates of known error, drawn to their mean by empirical Bayes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
_ROUNDS, _TOLERANCE = 200, 1e-12


@dataclass(frozen=True)
class Shrunk:
    """Estimates drawn to their common mean.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        Posterior means; ``mean`` itself where an estimate is missing.
    mean : float
        Of the distribution from which the true values come; 0 without any estimate.
    tau : float
        Its standard deviation; 0 when the estimates differ by no more than their
        errors explain, and then every value is ``mean``.
    """

    values: Series
    mean: float
    tau: float


def shrink(
    estimates: npt.NDArray[np.floating],
    errors: npt.NDArray[np.floating],
    mean: float | None = None,
) -> Shrunk:
    """Draw each estimate to the mean of all, the more the larger its error.

    The true values are taken as normal around a mean with deviation tau, the estimates
    as normal around them with known errors s_i. Then the best guess is

        value_i = estimate_i - B_i (estimate_i - mean),  B_i = s_i² / (s_i² + tau²)

    with mean and tau found by moments, in turn: the mean weighted by
    w_i = 1 / (s_i² + tau²), and tau² the root of
    sum w_i (n / d (estimate_i - mean)² - s_i²) = 0, or 0 where that is negative. With
    d = n - 3, equal errors give B = (n - 3) s² / sum (estimate - mean)², which is the
    estimator of James and Stein around the mean.

    Parameters
    ----------
    estimates, errors : ndarray, shape (n,)
        NaN (or an error that is not above 0) where a value was not estimated.
    mean : float, optional
        Where it is known; d is then n - 2.

    Returns
    -------
    Shrunk
        With fewer than four estimates tau cannot be told from 0, and is 0.

    References
    ----------
    Efron and Morris (1973, 1975); Morris (1983), section 5, for unequal errors.
    """
    known = np.isfinite(estimates) & np.isfinite(errors) & (errors > 0)
    found = np.asarray(estimates, dtype=np.float64)[known]
    variance = np.asarray(errors, dtype=np.float64)[known] ** 2
    n = len(found)
    if n == 0:
        centre = 0.0 if mean is None else mean
        return Shrunk(np.full(len(known), centre), centre, 0.0)
    lost = 3 if mean is None else 2
    tau2 = _spread(found, variance, mean, n / (n - lost)) if n > lost else 0.0
    weight = 1.0 / (variance + tau2)
    centre = float(weight @ found / weight.sum()) if mean is None else mean
    values = np.full(len(known), centre)
    values[known] = centre + tau2 * weight * (found - centre)
    return Shrunk(values, centre, float(np.sqrt(tau2)))


def _spread(
    found: Series, variance: Series, mean: float | None, correction: float
) -> float:
    """Solve for tau², from above 0; 0 where the errors explain everything."""

    def moments(tau2: float) -> float:
        weight = 1.0 / (variance + tau2)
        centre = float(weight @ found / weight.sum()) if mean is None else mean
        gain = correction * (found - centre) ** 2 - variance
        return max(0.0, float(weight @ gain / weight.sum()))

    tau2 = float(found.var())
    for _ in range(_ROUNDS):
        last, tau2 = tau2, moments(tau2)
        if abs(tau2 - last) <= _TOLERANCE * float(variance.mean()):
            return tau2
    return _between(moments, *sorted((last, tau2)))


def _between(moments: Callable[[float], float], low: float, high: float) -> float:
    """Halve down to a root: steps that jump over it for ever have it between them."""
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if moments(middle) > middle else (low, middle)
    return (low + high) / 2
