"""Sharpe ratio: its annual value, and how much of it luck and search explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.floating]
NAN = float("nan")
FEWEST_TRIALS = 10  # of which a variance is measured
ROUNDING = 1e-12  # deviation over mean of returns that are all the same


def sharpe(returns: Series, periods: float) -> float:
    """Annual Sharpe ratio: mean over standard deviation (ddof 1), times √periods.

    Parameters
    ----------
    returns : ndarray, shape (T,)
        Per bar; NaN bars are left out.
    periods : float
        Bars per year.

    Returns
    -------
    float
        NaN with fewer than two bars or no variation but that of rounding.
    """
    finite = np.asarray(returns, dtype=np.float64)[np.isfinite(returns)]
    if len(finite) < 2:
        return NAN
    mean, deviation = float(finite.mean()), float(finite.std(ddof=1))
    if not deviation > ROUNDING * abs(mean):
        return NAN
    return mean / deviation * float(np.sqrt(periods))


def expected_best_sharpe(n_trials: int, n_bars: int, periods: float) -> float:
    """Annual Sharpe ratio that the luckiest of ``n_trials`` skill-less books shows.

    Parameters
    ----------
    n_trials : int
        Independent trials.
    n_bars : int
        Bars over which each was measured.
    periods : float
        Bars per year.

    Returns
    -------
    float
        NaN with fewer than two trials or no bar.

    References
    ----------
    Bailey and López de Prado (2014), The Deflated Sharpe Ratio.
    """
    if n_trials <= 1 or n_bars < 1:
        return NAN
    return expected_maximum(n_trials) * float(np.sqrt(periods / n_bars))


def expected_maximum(n_trials: int) -> float:
    """Expected maximum of ``n_trials`` (2 or more) independent standard normal draws.

    References
    ----------
    Bailey and López de Prado (2014), by extreme value theory.
    """
    from scipy.stats import norm

    euler = float(np.euler_gamma)
    best = (1 - euler) * norm.ppf(1 - 1 / n_trials)
    best += euler * norm.ppf(1 - 1 / (n_trials * np.e))
    return float(best)


def probabilistic_sharpe(returns: Series, threshold: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above ``threshold``.

    Parameters
    ----------
    returns : ndarray, shape (T,)
        Per bar; NaN bars are left out. Neighbours are taken to be independent.
    threshold : float
        PER BAR: an annual ratio divided by √periods.

    Returns
    -------
    float
        NaN with fewer than two bars or no variation.

    Notes
    -----
    The per-bar ratio has the standard error
    ``√((1 - skewness SR + (kurtosis - 1) / 4 SR²) / (T - 1))``, with the moments of the
    sample and the kurtosis that is 3 for a normal law.

    References
    ----------
    Bailey and López de Prado (2012), The Sharpe Ratio Efficient Frontier.
    """
    finite = np.asarray(returns, dtype=np.float64)[np.isfinite(returns)]
    ratio = sharpe(finite, 1.0)
    if np.isnan(ratio):
        return NAN
    standard = (finite - finite.mean()) / finite.std()
    skewness, kurtosis = float((standard**3).mean()), float((standard**4).mean())
    return probability_above(ratio, threshold, len(finite), skewness, kurtosis)


def probability_above(
    ratio: float, threshold: float, n_bars: int, skewness: float, kurtosis: float
) -> float:
    """:func:`probabilistic_sharpe` from the ratio and the moments, all per bar.

    Returns
    -------
    float
        NaN where the estimate has no error, as with two bars of equal weight.
    """
    from scipy.stats import norm

    spread = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if not spread > 0:
        return NAN
    return float(norm.cdf((ratio - threshold) * np.sqrt((n_bars - 1) / spread)))


@dataclass(frozen=True)
class DeflatedSharpe:
    """Probability of skill after the search that found the book.

    Attributes
    ----------
    probability : float
        That the true Sharpe ratio is above ``threshold``; NaN where it has no value.
    threshold : float
        PER BAR: the best ratio that luck gives in ``n_trials``; 0 for one trial.
    n_trials : int
    trial_variance : float
        Variance of the per-bar ratios over the trials that was used.
    variance_source : "trials" or "no skill"
        Whether it is that of the known trials, or 1 / T: that of ratios without skill.
    """

    probability: float
    threshold: float
    n_trials: int
    trial_variance: float
    variance_source: str


def deflated_sharpe(
    returns: Series, n_trials: int, trial_sharpes: Series | None = None
) -> DeflatedSharpe:
    """Probabilistic Sharpe ratio against the best that luck gives in a search.

    Parameters
    ----------
    returns : ndarray, shape (T,)
        Per bar, of the book that was chosen.
    n_trials : int
        Independent trials among which it was chosen, itself included.
    trial_sharpes : ndarray, shape (n,), optional
        PER-BAR ratios of the trials that are known; NaN ones are left out. Their
        variance counts where there are ten or more and it is above that of ratios
        without skill: rows that resemble each other would say that a search leaves no
        room for luck, and even one book's ratio is not known better than that.

    Returns
    -------
    DeflatedSharpe

    References
    ----------
    Bailey and López de Prado (2014), The Deflated Sharpe Ratio.
    """
    if n_trials < 1:
        raise ValueError(f"n_trials must be at least 1, not {n_trials}")
    n_bars = int(np.isfinite(returns).sum())
    known = np.empty(0) if trial_sharpes is None else np.asarray(trial_sharpes)
    known = known[np.isfinite(known)]
    without_skill = 1.0 / n_bars if n_bars else NAN
    measured = float(known.var(ddof=1)) if len(known) >= FEWEST_TRIALS else 0.0
    source = "trials" if measured > without_skill else "no skill"
    variance = max(without_skill, measured)
    luck = expected_maximum(n_trials) if n_trials > 1 else 0.0
    threshold = luck * float(np.sqrt(variance))
    probability = probabilistic_sharpe(returns, threshold)
    return DeflatedSharpe(probability, threshold, n_trials, variance, source)
