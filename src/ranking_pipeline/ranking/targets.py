"""Cross-sectional targets: what a ranking network learns about each bar's payoffs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.row_ranks import percentile_ranks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.signedinteger]

TARGET_TYPES = ("cs_percentile", "cs_zscore", "vol_scaled")
RESIDUALS = ("none", "mean", "sector", "beta")
RANK_FREE_OF_MEAN = ("cs_percentile", "cs_zscore")

# The median absolute deviation of a normal law is its deviation divided by this.
_NORMAL_MAD = 1.4826
_LARGEST_ZSCORE = 3.0
MIN_BETA_LOOKBACK = 10
_SLOPE_BOUNDS = (-1.0, 4.0)  # beyond them a slope tells of one odd return


@dataclass(frozen=True)
class TargetSpec:
    """How a payoff becomes a target.

    Attributes
    ----------
    type : str
        ``cs_percentile``, ``cs_zscore`` or ``vol_scaled``.
    residualize : str
        What is subtracted within the bar: ``none``, the ``mean``, the ``sector`` mean,
        or ``beta`` times the mean. The mean changes neither ranks nor the median-based
        z-score.
    winsorize : (float, float) or None
        Quantiles within the bar at which payoffs are clipped; for ``cs_percentile`` the
        bounds of the label itself.
    min_symbols : int
        Bars with fewer payoffs are NaN.
    volatility_lookback : int
        Bars of the volatility that ``vol_scaled`` divides by.
    beta_lookback : int
        Past returns from which ``residualize: beta`` estimates each beta.
    """

    type: str = "cs_percentile"
    residualize: str = "mean"
    winsorize: tuple[float, float] | None = (0.01, 0.99)
    min_symbols: int = 20
    volatility_lookback: int = 20
    beta_lookback: int = 60

    def __post_init__(self) -> None:
        for key, value, known in (
            ("type", self.type, TARGET_TYPES),
            ("residualize", self.residualize, RESIDUALS),
        ):
            if value not in known:
                raise UserError(
                    f"target.{key} is {value!r}; use one of {', '.join(known)}."
                )
        if self.beta_lookback < MIN_BETA_LOOKBACK:
            raise UserError(
                f"target.beta_lookback is {self.beta_lookback}; a beta needs at least "
                f"{MIN_BETA_LOOKBACK} returns."
            )

    def notes(self) -> tuple[str, ...]:
        """Say which settings have no effect together."""
        if self.residualize == "mean" and self.type in RANK_FREE_OF_MEAN:
            return (
                f"target.residualize 'mean' changes nothing in {self.type}: subtracting "
                "one number from all payoffs of a bar leaves their order and their "
                "distances from the median as they are. Use none, sector or beta",
            )
        return ()


def cross_sectional_target(
    payoff: npt.NDArray[np.floating],
    spec: TargetSpec,
    *,
    sectors: IntArray | None = None,
    close: npt.NDArray[np.floating] | None = None,
) -> FloatArray:
    """Turn payoffs into targets, each bar on its own.

    Parameters
    ----------
    payoff : ndarray, shape (T, S)
        Forward returns; NaN where unknown or where the cell is not in the universe.
    spec : TargetSpec
    sectors : ndarray of int, shape (S,) or (T, S), optional
        Sector codes, of all time or of each date, negative where unknown; needed by
        ``residualize: sector``.
    close : ndarray, shape (T, S), optional
        Closes; needed by ``vol_scaled`` and ``residualize: beta``.

    Returns
    -------
    ndarray of float64, shape (T, S)
        NaN where the payoff is, where the sector, beta or volatility that is asked for
        is not known, and in bars with fewer than ``min_symbols`` values.

    Raises
    ------
    UserError
        When sectors or closes are needed and not given, or no sector is known.

    Notes
    -----
    ``cs_percentile``: average rank / (n + 1), within the bounds. ``cs_zscore``: payoffs
    clipped to the quantiles, residual, then (r - median) / (1.4826 * median absolute
    deviation), within +-3. ``vol_scaled``: r / volatility known at the decision,
    residual, then clipped. The residual of a beta, see :func:`rolling_beta`, is taken
    of the payoffs themselves: r - beta * mean r of the bar.
    """
    values = np.where(np.isfinite(payoff), payoff, np.nan).astype(np.float64)
    if spec.type == "cs_zscore":
        values = _clip_to_quantiles(_large_bars(values, spec), spec.winsorize)
    if spec.residualize == "beta":
        beta = rolling_beta(_required(close, "residualize 'beta'"), spec.beta_lookback)
        values = _large_bars(values, spec)
        values = values - beta * _row_mean(values)
    if spec.type == "vol_scaled":
        closes = _required(close, "type 'vol_scaled'")
        values = values / realized_volatility(closes, spec.volatility_lookback)
        values = np.where(np.isfinite(values), values, np.nan)
    values = _large_bars(values, spec)
    if spec.residualize == "mean":
        values = values - _row_mean(values)
    if spec.residualize == "sector":
        values = _large_bars(_sector_residual(values, sectors), spec)
    if spec.type == "cs_percentile":
        return _percentile(values, spec.winsorize)
    if spec.type == "cs_zscore":
        return _robust_zscore(values)
    return _clip_to_quantiles(values, spec.winsorize)


def _large_bars(values: FloatArray, spec: TargetSpec) -> FloatArray:
    """Leave out the bars with fewer than ``min_symbols`` values."""
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    return np.where(count >= max(1, spec.min_symbols), values, np.nan)


def _required(
    close: npt.NDArray[np.floating] | None, setting: str
) -> npt.NDArray[np.floating]:
    if close is None:
        raise UserError(f"target.{setting} needs the closes.")
    return close


def realized_volatility(close: npt.NDArray[np.floating], lookback: int) -> FloatArray:
    """Take the deviation (ddof 1) of the last ``lookback`` one-bar log returns, (T, S).

    The return of the bar itself is included: it is known at its close. NaN until all
    returns of the lookback exist.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log_close = np.log(close.astype(np.float64))
    returns = np.full(close.shape, np.nan)
    returns[1:] = np.diff(log_close, axis=0)
    volatility = np.full(close.shape, np.nan)
    if len(returns) >= lookback:
        windows = np.lib.stride_tricks.sliding_window_view(returns, lookback, axis=0)
        volatility[lookback - 1 :] = windows.std(axis=2, ddof=1)
    return np.where(volatility > 0, volatility, np.nan)


def rolling_beta(close: npt.NDArray[np.floating], lookback: int) -> FloatArray:
    """Estimate each symbol's beta to the universe from past returns alone, (T, S).

    Parameters
    ----------
    close : ndarray, shape (T, S)
        NaN where a symbol has no bar.
    lookback : int
        One-bar returns of t-lookback+1 ... t that are regressed on the mean return of
        all symbols with one at that bar.

    Returns
    -------
    ndarray of float64, shape (T, S)
        1/3 + 2/3 of the least-squares slope, the slope within -1 and 4. NaN with fewer
        than two thirds of the returns, or where the universe stood still.

    Notes
    -----
    Least-squares betas regress towards one: Blume (1971), "On the assessment of risk".
    Bars without a return enter neither the slope nor the count. A value depends on its
    own window only.
    """
    price = close.astype(np.float64)
    returns = np.full(price.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        returns[1:] = price[1:] / price[:-1] - 1.0
    known = np.isfinite(returns)
    own = np.where(known, returns, 0.0)
    market = np.where(known, _row_mean(np.where(known, returns, np.nan)), 0.0)
    count, own_mean, market_mean = (
        _sum_over_past(values, lookback) for values in (known * 1.0, own, market)
    )
    own_mean /= np.maximum(count, 1.0)
    market_mean /= np.maximum(count, 1.0)
    product, square = np.zeros(price.shape), np.zeros(price.shape)
    for age in range(min(lookback, len(price))):
        stop = len(price) - age
        gap = np.where(known[:stop], market[:stop] - market_mean[age:], 0.0)
        product[age:] += gap * (own[:stop] - own_mean[age:])
        square[age:] += gap * gap
    enough = (count >= math.ceil(2 * lookback / 3)) & (square > 0)
    slope = np.where(enough, product, np.nan) / np.where(enough, square, 1.0)
    return np.asarray(1 / 3 + 2 / 3 * np.clip(slope, *_SLOPE_BOUNDS))


def _sum_over_past(values: FloatArray, lookback: int) -> FloatArray:
    """Sum the last ``lookback`` rows, from the newest to the oldest, (T, S)."""
    total = np.zeros(values.shape)
    for age in range(min(lookback, len(values))):
        total[age:] += values[: len(values) - age]
    return total


def _percentile(values: FloatArray, bounds: tuple[float, float] | None) -> FloatArray:
    share = percentile_ranks(values)
    return share if bounds is None else np.clip(share, *bounds)


def _robust_zscore(values: FloatArray) -> FloatArray:
    centred = values - _row_quantile(values, 0.5)
    spread = _NORMAL_MAD * _row_quantile(np.abs(centred), 0.5)
    # Half the names with one payoff leave no scale to speak of.
    spread = np.where(spread > 0, spread, np.nan)
    return np.clip(centred / spread, -_LARGEST_ZSCORE, _LARGEST_ZSCORE)


def _clip_to_quantiles(
    values: FloatArray, bounds: tuple[float, float] | None
) -> FloatArray:
    if bounds is None:
        return values
    low, high = (_row_quantile(values, share) for share in bounds)
    return np.clip(values, low, high)


def _row_quantile(values: FloatArray, share: float) -> FloatArray:
    """Quantile of each row over its finite values, linear between ranks, (T, 1)."""
    count = np.isfinite(values).sum(axis=1)
    ordered = np.sort(values, axis=1)  # NaN last
    position = share * np.maximum(count - 1, 0)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(values))
    low, high = ordered[rows, below], ordered[rows, above]
    return np.asarray(low + (position - below) * (high - low))[:, None]


def _sector_residual(values: FloatArray, sectors: IntArray | None) -> FloatArray:
    """Subtract the mean of the sector's payoffs in the bar; NaN without a sector."""
    if sectors is None or not (sectors >= 0).any():
        raise UserError(
            "target.residualize 'sector' needs the sector of each symbol; give "
            "data.sectors."
        )
    codes = np.broadcast_to(sectors, values.shape).astype(np.int64)
    known = np.isfinite(values) & (codes >= 0)
    n_sectors = int(codes.max()) + 1
    cell = np.arange(len(values))[:, None] * n_sectors + np.maximum(codes, 0)
    size = len(values) * n_sectors
    count = np.bincount(cell[known], minlength=size)
    total = np.bincount(cell[known], weights=values[known], minlength=size)
    mean = total / np.maximum(count, 1)
    return np.where(known, values - mean[cell], np.nan)


def _row_mean(values: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(total / np.maximum(known.sum(axis=1, keepdims=True), 1))
