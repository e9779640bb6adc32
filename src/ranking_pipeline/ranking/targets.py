"""Cross-sectional targets: what a ranking network learns about each bar's payoffs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.signedinteger]

TARGET_TYPES = ("cs_percentile", "cs_zscore", "vol_scaled")
RESIDUALS = ("none", "mean", "sector")

# The median absolute deviation of a normal law is its deviation divided by this.
_NORMAL_MAD = 1.4826
_LARGEST_ZSCORE = 3.0


@dataclass(frozen=True)
class TargetSpec:
    """How a payoff becomes a target.

    Attributes
    ----------
    type : str
        ``cs_percentile``, ``cs_zscore`` or ``vol_scaled``.
    residualize : str
        What is subtracted within the bar: ``none``, the ``mean``, or the ``sector``
        mean. The mean changes neither ranks nor the median-based z-score.
    winsorize : (float, float) or None
        Quantiles within the bar at which payoffs are clipped; for ``cs_percentile`` the
        bounds of the label itself.
    min_symbols : int
        Bars with fewer payoffs are NaN.
    volatility_lookback : int
        Bars of the volatility that ``vol_scaled`` divides by.
    """

    type: str = "cs_percentile"
    residualize: str = "mean"
    winsorize: tuple[float, float] | None = (0.01, 0.99)
    min_symbols: int = 20
    volatility_lookback: int = 20

    def __post_init__(self) -> None:
        for key, value, known in (
            ("type", self.type, TARGET_TYPES),
            ("residualize", self.residualize, RESIDUALS),
        ):
            if value not in known:
                raise UserError(
                    f"target.{key} is {value!r}; use one of {', '.join(known)}."
                )


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
    sectors : ndarray of int, shape (S,), optional
        Sector codes; needed by ``residualize: sector``.
    close : ndarray, shape (T, S), optional
        Closes; needed by ``vol_scaled``.

    Returns
    -------
    ndarray of float64, shape (T, S)
        NaN where the payoff is, and in bars with fewer than ``min_symbols`` payoffs.

    Raises
    ------
    UserError
        When sectors or closes are needed and not given.

    Notes
    -----
    ``cs_percentile``: average rank / (n + 1). ``cs_zscore``: (r - median) /
    (1.4826 * median absolute deviation), within +-3. ``vol_scaled``: r / volatility
    known at the decision, residual, then clipped.
    """
    values = np.where(np.isfinite(payoff), payoff, np.nan).astype(np.float64)
    if spec.type == "vol_scaled":
        if close is None:
            raise UserError("target.type 'vol_scaled' needs the closes.")
        values = values / realized_volatility(close, spec.volatility_lookback)
        values = np.where(np.isfinite(values), values, np.nan)
    values[np.isfinite(values).sum(axis=1) < max(1, spec.min_symbols)] = np.nan
    if spec.type == "cs_zscore":
        values = _clip_to_quantiles(values, spec.winsorize)
    values = _residual(values, spec.residualize, sectors)
    if spec.type == "cs_percentile":
        return _percentile(values, spec.winsorize)
    if spec.type == "cs_zscore":
        return _robust_zscore(values)
    return _clip_to_quantiles(values, spec.winsorize)


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


def percentile_ranks(values: npt.NDArray[np.floating]) -> FloatArray:
    """Average rank / (n + 1) of each row over its finite values, shape (T, S)."""
    known = np.isfinite(values)
    filled = np.where(known, values, np.inf)
    order = np.argsort(filled, axis=1, kind="stable")
    ordered = np.take_along_axis(filled, order, axis=1)
    place = np.arange(values.shape[1])
    starts = np.ones(values.shape, dtype=np.bool_)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones(values.shape, dtype=np.bool_)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    last = np.where(ends, place, values.shape[1])[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return np.where(known, ranks / (known.sum(axis=1, keepdims=True) + 1), np.nan)


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


def _residual(values: FloatArray, kind: str, sectors: IntArray | None) -> FloatArray:
    if kind == "none":
        return values
    if kind == "mean":
        return values - _row_mean(values)
    if sectors is None:
        raise UserError("target.residualize 'sector' needs the sector of each symbol.")
    residual = np.full(values.shape, np.nan)
    for sector in np.unique(sectors):
        members = sectors == sector
        residual[:, members] = values[:, members] - _row_mean(values[:, members])
    return residual


def _row_mean(values: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(total / np.maximum(known.sum(axis=1, keepdims=True), 1))
