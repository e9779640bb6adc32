"""garch: our GARCH fits beside those of ``arch`` on the same real returns.

Names of the real bars, drawn once, at the last 60 month ends; both solvers start cold and
take turns, on one thread, in seconds of the processor. What all names would take is
extrapolated from the mean over those drawn.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.harness import REAL_DATA, Row, row
from ranking_pipeline.portfolio.candidates.garch import (
    EWMA,
    GARCH,
    GarchConfig,
    GarchPath,
    fit_months,
)
from ranking_pipeline.portfolio.returns import bar_returns

NAMES, MONTHS, TOLERANCE = 40, 60, 0.01
OPTIONS: dict[str, Any] = {
    "window_returns": 750,
    "min_returns": 500,
    "ewma_decay": 0.94,
    "ewma_min_returns": 60,
}
Array = npt.NDArray[np.float64]


class Name(NamedTuple):
    """Both paths of one name, and the seconds that they took."""

    ours: GarchPath
    peer: GarchPath
    our_seconds: float
    peer_seconds: float

    @property
    def fits(self) -> int:
        """Months that either solver fitted."""
        return int(((self.ours.source == GARCH) | (self.peer.source == GARCH)).sum())


def run(rounds: int | None) -> list[Row]:
    """Measure ``rounds`` names (40 by default).

    Returns
    -------
    list of Row
        Milliseconds per fit, differences of the log-likelihood (ours less that of
        ``arch``), shares of the months by source, and minutes for all names.
    """
    path = REAL_DATA / "sp500_daily_2015_2020.parquet"
    if not path.exists():
        print(f"no real bars: {path} is missing", flush=True)
        return []
    import arch  # its import is no part of a fit

    assert arch.__version__
    returns, ends = _real_returns(pd.read_parquet(path))
    drawn = np.random.default_rng(7).permutation(returns.shape[1])[: rounds or NAMES]
    names = [
        _measure(returns[:, symbol], ends, own_first=number % 2 == 0)
        for number, symbol in enumerate(drawn)
    ]
    share = returns.shape[1] / len(names)
    return [*_speed(names, share), *_quality(names), *_coverage(names)]


def _real_returns(bars: pd.DataFrame) -> tuple[Array, npt.NDArray[np.int64]]:
    """Returns (T, S) over traded closes, and the last bar of each of the last months."""
    traded = bars[(bars["close"] > 0) & (bars["volume"] > 0)]
    close = traded.pivot(index="timestamp", columns="symbol", values="close")
    values = close.to_numpy(np.float64)
    months = close.index.to_numpy("M8[M]")
    ends = np.flatnonzero(months[1:] != months[:-1])[-MONTHS:]
    return bar_returns(values, np.isfinite(values)), ends


def _measure(returns: Array, ends: npt.NDArray[np.int64], own_first: bool) -> Name:
    found: dict[str, tuple[GarchPath, float]] = {}
    for solver in ("own", "arch") if own_first else ("arch", "own"):
        options = GarchConfig.model_validate({**OPTIONS, "solver": solver})
        started = time.process_time()
        path = fit_months(returns, ends, options)
        found[solver] = path, time.process_time() - started
    (ours, our_seconds), (peer, peer_seconds) = found["own"], found["arch"]
    return Name(ours, peer, our_seconds, peer_seconds)


def _speed(names: Sequence[Name], share: float) -> list[Row]:
    fitted = [name for name in names if name.fits]
    ours, peer = (
        [1e3 * getattr(name, side) / name.fits for name in fitted]
        for side in ("our_seconds", "peer_seconds")
    )
    whole = [
        [sum(getattr(name, side) for name in names) * share / 60]
        for side in ("our_seconds", "peer_seconds")
    ]
    return [
        row("one fit", "processor ms", ours, peer),
        row(f"all names x {MONTHS} months, one core", "processor minutes", *whole),
        row("fits of all names", "1", [sum(name.fits for name in names) * share]),
    ]


def _quality(names: Sequence[Name]) -> list[Row]:
    ours = np.concatenate([name.ours.log_likelihood for name in names])
    peer = np.concatenate([name.peer.log_likelihood for name in names])
    gain = (ours - peer)[np.isfinite(ours) & np.isfinite(peer)]
    figures = {
        "lowest": gain.min(),
        "median": np.median(gain),
        "highest": gain.max(),
        f"fits under arch by {TOLERANCE} or more": (gain <= -TOLERANCE).sum(),
        f"fits above arch by {TOLERANCE} or more": (gain >= TOLERANCE).sum(),
        "fits compared": len(gain),
    }
    return [
        row(f"log-likelihood over arch: {case}", "1", [float(figure)])
        for case, figure in figures.items()
    ]


def _coverage(names: Sequence[Name]) -> list[Row]:
    """Shares of all months by source and reason, and of the fits at the bound."""
    rows = []
    for side, paths in (
        ("ours", [name.ours for name in names]),
        ("arch", [name.peer for name in names]),
    ):
        source = np.concatenate([path.source for path in paths])
        reason = np.concatenate([path.reason for path in paths])
        pairs = Counter(zip(source.tolist(), reason.tolist(), strict=True))
        for (kind, why), count in sorted(pairs.items()):
            told = {GARCH: "fitted", EWMA: f"EWMA, {why}"}.get(kind, f"none, {why}")
            rows.append(
                row(f"{side}: {told}", "% of months", [100 * count / len(source)])
            )
        bound = np.concatenate([path.at_bound for path in paths])
        at_bound = 100 * bound.sum() / max(int((source == GARCH).sum()), 1)
        rows.append(row(f"{side}: alpha + beta at 1", "% of fits", [float(at_bound)]))
    return rows
