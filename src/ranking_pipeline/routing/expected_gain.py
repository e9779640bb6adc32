"""Expected gain: what an own model adds, judged in the light of all other symbols."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
FEWEST_SYMBOLS = 20
_POINTS, _ROUNDS = 61, 400


def expected_values(
    estimates: npt.NDArray[np.floating], errors: npt.NDArray[np.floating]
) -> Series:
    """Posterior mean of each estimate under the mixture that all of them come from.

    A single symbol's gain over the pooled model has an error as large as the gain. The
    gains of all symbols together show what gains there are: a hundred symbols alike and
    a few that answer the other way make two heaps, and a lucky member of the first is
    told from one of the second. The distribution of true gains has no assumed shape: it
    is the mixture of points, on an even grid over the estimates, under which the
    estimates (normal around the truth with their errors) are most likely.

    Parameters
    ----------
    estimates, errors : ndarray, shape (n,)
        NaN where a symbol was not measured; an error must be above 0 to count.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where not measured, and everywhere with fewer than 20 measured symbols,
        from which no distribution can be read.

    References
    ----------
    Robbins (1956) for the decision; Kiefer and Wolfowitz (1956) and Laird (1978) for
    the mixture and its EM steps; Jiang and Zhang (2009) for the fixed grid.
    """
    known = np.isfinite(estimates) & np.isfinite(errors) & (errors > 0)
    result = np.full(len(known), np.nan)
    if known.sum() < FEWEST_SYMBOLS:
        return result
    value, error = estimates[known], errors[known]
    points = np.linspace(value.min(), value.max(), _POINTS)
    distance = (value[:, None] - points) / error[:, None]
    # relative to the nearest point: a far estimate must not make a row of zeros
    nearest = (distance**2).min(axis=1, keepdims=True)
    likelihood = np.exp(-0.5 * (distance**2 - nearest))
    share = np.full(_POINTS, 1.0 / _POINTS)
    for _ in range(_ROUNDS):
        share = _posterior(likelihood, share).mean(axis=0)
    result[known] = (_posterior(likelihood, share) * points).sum(axis=1)
    return result


def _posterior(likelihood: Series, share: Series) -> Series:
    weight = likelihood * share
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
