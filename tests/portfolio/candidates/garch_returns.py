"""Simulated returns of a GARCH(1,1) with Student-t errors, and a plain likelihood."""

from __future__ import annotations

import math

import numpy as np


def simulated(seed: int, n: int, parameters: tuple[float, ...]) -> np.ndarray:
    """Simulate ``n`` returns in percent, bar by bar."""
    mean, omega, alpha, beta, nu = parameters
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(nu, n) * math.sqrt((nu - 2) / nu)
    variance, returns = omega / max(1 - alpha - beta, 0.02), []
    for shock in shocks:
        error = math.sqrt(variance) * shock
        returns.append(mean + error)
        variance = omega + alpha * error**2 + beta * variance
    return np.array(returns)


def plain_likelihood(
    returns: np.ndarray, parameters: np.ndarray
) -> tuple[float, list[float]]:
    """Log-likelihood and variances, the next bar's last, one bar at a time."""
    mean, omega, alpha, beta, nu = (float(value) for value in parameters)
    deviations = (returns - returns.mean())[:75]
    weights = [0.94**k for k in range(len(deviations))]
    pairs = zip(weights, deviations, strict=True)
    before = sum(weight * deviation**2 for weight, deviation in pairs) / sum(weights)
    variances, total = [omega + (alpha + beta) * before], 0.0
    for value in returns:
        error, variance = value - mean, variances[-1]
        total += math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)
        total -= 0.5 * math.log(math.pi * (nu - 2) * variance)
        total -= (nu + 1) / 2 * math.log(1 + error**2 / (variance * (nu - 2)))
        variances.append(omega + alpha * error**2 + beta * variance)
    return total, variances
