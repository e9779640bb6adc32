"""Likelihood of a GARCH(1,1) with a constant mean and Student-t errors.

``r[t] = mu + e[t]`` with the conditional variance
``v[t] = omega + alpha e[t-1]^2 + beta v[t-1]``, where ``e[t] / sqrt(v[t])`` has unit
variance and Student's t distribution with nu degrees of freedom.

References
----------
T. Bollerslev, "A Conditionally Heteroskedastic Time Series Model for Speculative Prices
and Rates of Return", Review of Economics and Statistics 69 (1987), 542-547.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# The package arch starts its recursion likewise: both likelihoods agree digit by digit.
_BACKCAST_BARS, _BACKCAST_DECAY = 75, 0.94


class GarchLikelihood:
    """Log-likelihood of one window of returns, its gradient, and its variances.

    Parameters of the model are an array of shape (5,): mu, omega, alpha, beta, nu. mu has
    the unit of the returns, omega that of their squares.

    Parameters
    ----------
    returns : ndarray, shape (n,)
        Finite, oldest first.
    """

    def __init__(self, returns: Array) -> None:
        from scipy.signal import lfilter
        from scipy.special import digamma

        self._returns = returns
        self._filter, self._digamma = lfilter, digamma
        self.backcast = _backcast(returns)

    def variances(self, parameters: Array) -> Array:
        """Conditional variances, shape (n + 1,): the last is that of the next bar."""
        _, squares, path = self._paths(parameters)
        _, omega, alpha, beta, _ = parameters.tolist()
        following = omega + alpha * squares[-1] + beta * path[-1]
        return np.append(path[1:], following)

    def value(self, parameters: Array) -> float:
        """Log-likelihood."""
        return self.value_and_gradient(parameters)[0]

    def value_and_gradient(self, parameters: Array) -> tuple[float, Array]:
        """Log-likelihood, and its gradient of shape (5,).

        ``adjoint[t]`` is the derivative with respect to ``v[t]`` through all later bars
        as well. It obeys the recursion of the variances from the last bar to the first,
        so that two passes over the window give every derivative.
        """
        _, _, alpha, beta, nu = parameters.tolist()
        errors, squares, path = self._paths(parameters)
        variances = path[1:]
        spread = (nu - 2) * variances
        ratio = squares[1:] / spread
        logs = np.log1p(ratio).sum()
        value = len(errors) * _log_constant(nu)
        value -= (np.log(variances).sum() + (nu + 1) * logs) / 2

        share = ratio / (1 + ratio)
        slope = ((nu + 1) * share - 1) / (2 * variances)
        adjoint = self._filter((1.0,), (1.0, -beta), slope[::-1])[::-1]
        pull = (nu + 1) * (errors / (spread + squares[1:])).sum()
        return float(value), np.array(
            [
                pull - 2 * alpha * (adjoint[1:] @ errors[:-1]),
                adjoint.sum(),
                adjoint @ squares[:-1],
                adjoint @ path[:-1],
                len(errors) * self._slope_of_constant(nu)
                + ((nu + 1) / (nu - 2) * share.sum() - logs) / 2,
            ]
        )

    def _paths(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Errors (n,), and their squares and variances (n + 1,) from the bar before."""
        mean, omega, alpha, beta, _ = parameters.tolist()
        errors = self._returns - mean
        squares = np.empty(len(errors) + 1)
        squares[0] = self.backcast
        np.multiply(errors, errors, out=squares[1:])
        drive = np.empty_like(squares)
        drive[0] = self.backcast
        drive[1:] = omega + alpha * squares[:-1]
        return errors, squares, self._filter((1.0,), (1.0, -beta), drive)

    def _slope_of_constant(self, nu: float) -> float:
        gammas = self._digamma((nu + 1) / 2) - self._digamma(nu / 2)
        return float(gammas - 1 / (nu - 2)) / 2


def _log_constant(nu: float) -> float:
    """Logarithm of the density of a unit variance at zero."""
    gammas = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)
    return gammas - math.log(math.pi * (nu - 2)) / 2


def _backcast(returns: Array) -> float:
    """Squared error and variance before the first bar, from the first bars' deviations."""
    first = (returns - returns.mean())[:_BACKCAST_BARS]
    weights = _BACKCAST_DECAY ** np.arange(len(first))
    return float(weights @ first**2 / weights.sum())
