"""Maximum likelihood of a GARCH(1,1), by our own search or by the package ``arch``.

Every fit starts from the same fixed points, never from the optimum of an earlier month: a
fit is a function of its window alone, whichever months were asked for. Measured on 1,085
real windows: the month before and one fixed start take an eighth less time than two fixed
starts, and miss the best optimum found four times as often (32 against 8 windows). On
1,400 real windows the log-likelihood is nowhere 0.01 below that of ``arch`` from its own
start and 0.01 or more above it in a tenth, by 11 at most (``python -m benchmarks garch``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates.garch_likelihood import GarchLikelihood

Array = npt.NDArray[np.float64]

NOT_CONVERGED, TIES = "not_converged", "ties"
DEGENERATE, INFINITE_VARIANCE = "degenerate", "infinite_variance"

# Persistence and the share of it that is alpha. The likelihood often has several maxima:
# shocks that fade within days, the usual slow decay, and an almost straight trend.
_STARTS = ((0.5, 0.6), (0.9, 0.1), (0.995, 0.05))
# Tried as well where the others end at different optima.
_START_OF_DISAGREEMENT = (0.97, 0.05)
_SAME_OPTIMUM = 0.01
_START_NU = 20 / 3
_NU_BOUNDS = (2.05, 500.0)
# Median absolute deviation of a normal to its standard deviation.
_MAD_TO_SIGMA = 1.4826
_SMALLEST_VARIANCE = 1e-4
_LEAST_OMEGA = 1e-8
_BOUND_TOLERANCE = 1e-6


class GarchFit(NamedTuple):
    """One fitted window.

    Attributes
    ----------
    parameters : ndarray, shape (5,)
        mu, omega, alpha, beta, nu.
    log_likelihood : float
    volatility : float
        Standard deviation of the next return, in the unit of the returns.
    """

    parameters: Array
    log_likelihood: float
    volatility: float

    @property
    def persistence(self) -> float:
        """The sum of alpha and beta: what is left of a shock after a bar."""
        return float(self.parameters[2] + self.parameters[3])

    @property
    def at_bound(self) -> bool:
        """Whether the persistence ended at 1, where shocks never fade."""
        return self.persistence > 1 - _BOUND_TOLERANCE


def fit_garch(returns: Array, solver: str) -> GarchFit | str:
    """Fit one window, or say why it has no fit.

    Parameters
    ----------
    returns : ndarray, shape (n,)
        Finite, oldest first, in percent.
    solver : {"own", "arch"}

    Returns
    -------
    GarchFit or str
        A reason: ``ties`` where half of the returns or more are equal (stale prices: the
        likelihood grows without a limit as the variance of calm bars falls),
        ``degenerate`` where a fit ended there all the same, ``infinite_variance`` where
        nu ended on its bound (one return dwarfs all others), ``not_converged``.

    Raises
    ------
    UserError
        Where ``arch`` is asked for and not installed.
    """
    scale = _MAD_TO_SIGMA * float(np.median(np.abs(returns - np.median(returns))))
    if scale == 0:
        return TIES
    parameters = SOLVERS[solver](returns, scale)
    if parameters is None:
        return NOT_CONVERGED
    if parameters[4] < _NU_BOUNDS[0] + _BOUND_TOLERANCE:
        return INFINITE_VARIANCE
    likelihood = GarchLikelihood(returns)
    variances = likelihood.variances(parameters)
    if variances.min() < _SMALLEST_VARIANCE * scale**2:
        return DEGENERATE
    value = likelihood.value(parameters)
    return GarchFit(parameters, value, math.sqrt(variances[-1]))


def _own(returns: Array, scale: float) -> Array | None:
    """Search from every start in units of the typical return; keep the best optimum."""
    scaled = returns / scale
    likelihood = GarchLikelihood(scaled)
    found = [_search(likelihood, scaled, start) for start in _STARTS]
    ends = [end for end, _ in found]
    if not max(ends) - min(ends) <= _SAME_OPTIMUM:
        found.append(_search(likelihood, scaled, _START_OF_DISAGREEMENT))
    least, point = min(found, key=lambda each: each[0])
    if not math.isfinite(least):
        return None
    parameters = _parameters(point)
    parameters[:2] *= scale, scale**2
    return parameters


def _search(
    likelihood: GarchLikelihood, scaled: Array, start: tuple[float, float]
) -> tuple[float, Array]:
    """Least minus log-likelihood and where it is; infinite without convergence."""
    from scipy.optimize import minimize

    found = minimize(
        _negative,
        _start(scaled, *start),
        (likelihood,),
        "L-BFGS-B",
        jac=True,
        bounds=_bounds(float(scaled.var())),
        options={"ftol": 1e-10, "gtol": 1e-4},
    )
    ended = found.success and math.isfinite(found.fun)
    return (float(found.fun) if ended else math.inf), found.x


def _negative(point: Array, likelihood: GarchLikelihood) -> tuple[float, Array]:
    """Minus the log-likelihood and its gradient where the search looks.

    The search moves in mu, the logarithm of the squared scale ``omega (nu - 2) / nu``,
    the persistence, the share of it that is alpha, and ``1 / nu``: alpha + beta <= 1 is
    a plain bound, and the width of the density hardly changes with nu.
    """
    _, omega, _, _, nu = parameters = _parameters(point)
    value, slope = likelihood.value_and_gradient(parameters)
    persistence, share, inverse = point[2:]
    return -value, -np.array(
        [
            slope[0],
            slope[1] * omega,
            slope[2] * share + slope[3] * (1 - share),
            (slope[2] - slope[3]) * persistence,
            slope[1] * omega * 2 / (1 - 2 * inverse) - slope[4] * nu**2,
        ]
    )


def _parameters(point: Array) -> Array:
    mean, log_scale, persistence, share, inverse = point.tolist()
    omega = math.exp(log_scale) / (1 - 2 * inverse)
    alpha = persistence * share
    return np.array([mean, omega, alpha, persistence - alpha, 1 / inverse])


def _start(scaled: Array, persistence: float, share: float) -> Array:
    inverse = 1 / _START_NU
    omega = (1 - persistence) * min(float(scaled.var()), 4.0)
    log_scale = math.log(omega * (1 - 2 * inverse))
    mean = float(np.clip(scaled, -4, 4).mean())
    return np.array([mean, log_scale, persistence, share, inverse])


def _bounds(variance: float) -> list[tuple[float | None, float | None]]:
    return [
        (None, None),
        (
            math.log(_LEAST_OMEGA * min(variance, 1.0)),
            math.log(10 * max(variance, 1.0)),
        ),
        (0.0, 1.0),
        (0.0, 1.0),
        (1 / _NU_BOUNDS[1], 1 / _NU_BOUNDS[0]),
    ]


def _arch(returns: Array, scale: float) -> Array | None:
    """Fit by ``arch`` from its own start."""
    try:
        from arch import arch_model
    except ModuleNotFoundError as error:
        if error.name != "arch":
            raise
        raise UserError(
            "candidate_selection.volatility.solver 'arch' needs the package arch, which "
            "is not installed: pip install 'ranking_pipeline[arch]', or set the solver "
            "to own"
        ) from None
    model = arch_model(returns, mean="Constant", dist="t", rescale=False)
    fitted = model.fit(disp="off", show_warning=False)
    if fitted.convergence_flag:
        return None
    parameters: Array = np.asarray(fitted.params, dtype=np.float64)
    return parameters


SOLVERS: Mapping[str, Callable[[Array, float], Array | None]] = {
    "own": _own,
    "arch": _arch,
}
