"""backtest: from scores to a book, beside a plain ledger in money, and qlib.

500 names and 300 daily bars, 2 % of them halted, a lag of one bar, 5 bps a side. The
book holds the best 10 % and keeps a name until it leaves the best 11 % (as qlib's 50
names of which 5 may go). One thread, processor seconds, the sides in turn.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.harness import PROJECT, Row, row
from benchmarks.plain_ledger import PlainLedger, plain_targets
from ranking_pipeline.portfolio.backtest import (
    BookPath,
    Rules,
    banded_weights,
    book_statistics,
    market_return,
    run_book,
)

T = TypeVar("T")
Matrix = npt.NDArray[np.float64]

BARS, NAMES, HALTED, SEED = 300, 500, 0.02, 7
LONG_BARS = 19_500
TAIL, BAND = 0.1, 0.11
LARGEST_DIFFERENCE = 1e-12
RULES = Rules(
    horizon_bars=1,
    lag_bars=1,
    cost_bps_per_side=5.0,
    borrow_bps_per_year=50.0,
    rebalance_bars=1,
    exit_at_end=True,
    capital_base="leg",
    legs="both",
    periods_per_year=252.0,
)


def run(rounds: int | None = None, peer_python: Path | None = None) -> list[Row]:
    """Measure the backtest.

    Parameters
    ----------
    rounds
        5 by default.
    peer_python
        Interpreter that has qlib; by default the one that QLIB_PYTHON names. Without
        one its row is left out.
    """
    number = rounds or 5
    score, close = make_market(BARS, NAMES)
    returns = _returns(close)
    rows = [
        _beside_ledger("300 bars 500 names", score, returns, RULES, number),
        _beside_ledger(
            "300 bars 500 names, long",
            score,
            returns,
            replace(RULES, legs="long"),
            number,
        ),
        _beside_ledger(
            "300 bars 500 names, 5 books",
            score,
            returns,
            replace(RULES, horizon_bars=5),
            number,
        ),
        _statistics(score, returns, number),
        _many_bars(),
    ]
    python = peer_python or Path(os.environ.get("QLIB_PYTHON", "-"))
    if not python.exists():
        print("qlib is left out: give its interpreter by --peer-python", flush=True)
        return rows
    return [*rows, _beside_qlib(python, score, close, number)]


def make_market(n_bars: int, n_names: int) -> tuple[Matrix, Matrix]:
    """Scores that drift slowly and closes, both (T, S), NaN where a name is halted."""
    rng = np.random.default_rng([SEED, n_bars])
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, n_names)), axis=0))
    score = np.empty_like(close)
    score[0] = rng.normal(size=n_names)
    for bar in range(1, n_bars):
        score[bar] = 0.95 * score[bar - 1] + 0.31 * rng.normal(size=n_names)
    halted = rng.random(close.shape) < HALTED
    close[halted] = np.nan
    score[halted] = np.nan
    return score, close


def _returns(close: Matrix) -> Matrix:
    from ranking_pipeline.portfolio.returns import bar_returns

    return bar_returns(close, np.isfinite(close))


def _book(score: Matrix, returns: Matrix, rules: Rules) -> BookPath:
    targets = banded_weights(score, TAIL, BAND, horizon_bars=rules.n_books)
    return run_book(targets, returns, rules)


def _plain(score: Matrix, returns: Matrix, rules: Rules) -> PlainLedger:
    targets = plain_targets(score, TAIL, BAND, rules.n_books)
    return PlainLedger(targets, returns, rules).run(weights=False)


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


def _beside_ledger(
    case: str, score: Matrix, returns: Matrix, rules: Rules, rounds: int
) -> Row:
    ours, peer = list[float](), list[float]()
    for _ in range(rounds):
        mine, path = _timed(lambda: _book(score, returns, rules))
        theirs, ledger = _timed(lambda: _plain(score, returns, rules))
        gap = max(
            float(np.nanmax(np.abs(found - ledger.rows[name])))
            for name, found in (("net", path.net), ("turnover", path.turnover))
        )
        if not gap <= LARGEST_DIFFERENCE:
            raise RuntimeError(f"{case}: the book and the ledger differ by {gap}")
        ours.append(mine)
        peer.append(theirs)
    return row(case, "seconds", ours, peer)


def _statistics(score: Matrix, returns: Matrix, rounds: int) -> Row:
    """All numbers of a book that is there, the market and the kept weights."""
    targets = banded_weights(score, TAIL, BAND)

    def measured() -> None:
        path = run_book(targets, returns, RULES, keep_weights=True)
        book_statistics(
            path,
            market_return(returns),
            periods_per_year=252.0,
            block_bars=10,
            n_trials=80,
        )

    measured()  # the import of scipy is no part of it
    return row(
        "statistics and weights",
        "seconds",
        [_timed(measured)[0] for _ in range(rounds)],
    )


def _many_bars() -> Row:
    score, close = make_market(LONG_BARS, NAMES)
    returns = _returns(close)
    seconds, _ = _timed(lambda: _book(score, returns, RULES))
    return row("19,500 bars 500 names", "seconds", [seconds])


def _beside_qlib(python: Path, score: Matrix, close: Matrix, rounds: int) -> Row:
    """Long only, as qlib sells nothing short; its fills are in whole money amounts."""
    rules = replace(RULES, legs="long", exit_at_end=False)
    returns = _returns(close)
    ours, peer = list[float](), list[float]()
    for _ in range(min(rounds, 3)):
        ours.append(_timed(lambda: _book(score, returns, rules))[0])
        peer.append(_qlib_seconds(python, score, close))
    return row("300 bars 500 names beside qlib", "seconds", ours, peer)


def _qlib_seconds(python: Path, score: Matrix, close: Matrix) -> float:
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    script = PROJECT / "benchmarks" / "qlib_backtest.py"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "market.npz"
        np.savez(source, score=score, close=close)
        done = subprocess.run(
            [str(python), str(script), str(source)],
            cwd=folder,
            env=os.environ | dict.fromkeys(threads, "1"),
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    return float(done.stdout.strip().splitlines()[-1])
