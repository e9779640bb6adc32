"""Backtest tables: what each book earned, held and turned over, per split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.evaluation.backtest.books import CHOSEN, Book
from ranking_pipeline.evaluation.backtest.exchange import (
    Exchange,
    Held,
    Search,
    hold_books,
)
from ranking_pipeline.evaluation.inference import block_length
from ranking_pipeline.panel import FloatArray, Panel
from ranking_pipeline.portfolio.backtest import (
    BPS,
    BookStatistics,
    Capacity,
    Rules,
    book_statistics,
    equity_curve,
    sector_exposure,
    trading_capacity,
)

NO_SECTOR_NAME = "unknown"
RETURN_COLUMNS = [
    "timestamp", "book", "split", "gross", "cost", "borrow", "net", "turnover",
    "equity",
]  # fmt: skip
EXPOSURE_COLUMNS = ["book", "split", "sector", "long", "short", "net"]
MONTHLY_COLUMNS = ["month", "book", "split", "gross", "net", "turnover", "n_bars"]


@dataclass(frozen=True)
class Backtest:
    """What a backtest found, as tidy tables.

    Attributes
    ----------
    returns : DataFrame
        timestamp, book, split, gross, cost, borrow, net, turnover (of the book that
        trades), equity (compounded net return of the split, from 1); bars from the
        first trade on.
    metrics : DataFrame
        One row per book and split.
    exposure : DataFrame
        book, split, sector, long, short, net: mean weights, as shares of the capital.
    monthly : DataFrame
        month, book, split, gross, net (compounded), turnover (mean per rebalance),
        n_bars.
    """

    returns: pd.DataFrame
    metrics: pd.DataFrame
    exposure: pd.DataFrame
    monthly: pd.DataFrame


def run_backtest(
    books: Sequence[Book], rules: Rules, exchange: Exchange, search: Search
) -> Backtest:
    """Hold every book in every split, and measure it.

    Parameters
    ----------
    books : sequence of Book
    rules : Rules
        Of all books; the market is long whatever legs are held.
    exchange : Exchange
    search : Search
        Deflates the chosen row; a baseline was not searched for.

    Returns
    -------
    Backtest
    """
    held = list(hold_books(books, rules, exchange))
    if not held:
        return _nothing()
    usual = exchange.usual_volume()
    metrics = [_metrics(one, exchange, search, usual) for one in held]
    returns = [_returns(one, exchange.panel) for one in held]
    exposure = [_exposure(one, exchange.panel) for one in held]
    together = pd.concat(returns, ignore_index=True)[RETURN_COLUMNS]
    return Backtest(
        together,
        pd.DataFrame(metrics),
        pd.concat(exposure, ignore_index=True),
        _monthly(together, exchange.panel),
    )


def _nothing() -> Backtest:
    """Tables without a row, for splits on which no book could be held."""
    names = (RETURN_COLUMNS, ["book", "kind", "split"])
    tables = (*names, EXPOSURE_COLUMNS, MONTHLY_COLUMNS)
    return Backtest(*(pd.DataFrame(columns=columns) for columns in tables))


def _returns(held: Held, panel: Panel) -> pd.DataFrame:
    kept, path = held.from_first_trade, held.path
    stamps = pd.DatetimeIndex(panel.timestamps[held.bars][kept]).tz_localize("UTC")
    series = ("gross", "cost", "borrow", "net")
    table = pd.DataFrame({"timestamp": stamps} | held.names)
    for name in series:
        table[name] = getattr(path, name)[kept]
    table["turnover"] = path.turnover_of_a_book[kept]
    return table.assign(equity=equity_curve(path.net)[kept])


def _metrics(
    held: Held, exchange: Exchange, search: Search, usual: FloatArray
) -> dict[str, Any]:
    path, bars = held.path, held.bars
    rules, chosen = path.rules, held.book.kind == CHOSEN
    found = book_statistics(
        path,
        exchange.market[bars],
        periods_per_year=exchange.periods_per_year,
        block_bars=block_length(rules.lag_bars, rules.horizon_bars),
        n_trials=search.n_trials if chosen else 1,
        trial_sharpes=search.sharpes.get(held.split) if chosen else None,
    )
    assert path.trades is not None
    room = trading_capacity(
        path.trades, usual[bars], rules.lag_bars, exchange.volume_share
    )
    when = exchange.panel.trading_dates[bars][held.from_first_trade]
    return (
        {"book": held.book.name, "kind": held.book.kind, "split": held.split}
        | {"first": str(when[0]), "last": str(when[-1])}
        | _flat(found, room, chosen)
        | asdict(rules)
        | {"n_books": rules.n_books}
    )


def _flat(found: BookStatistics, room: Capacity, chosen: bool) -> dict[str, Any]:
    """Statistics of a book as one flat row."""
    nested = ("deflated_sharpe", "net_test", "market")
    plain = {name: value for name, value in vars(found).items() if name not in nested}
    for name in ("gross", "cost", "borrow", "net"):
        plain[f"{name}_bps_per_bar"] = plain.pop(f"{name}_per_bar") / BPS
    deflated, missing = found.deflated_sharpe, float("nan")
    return plain | {
        "net_t": found.net_test.t,
        "net_p": found.net_test.p,
        "n_blocks": found.net_test.n_blocks,
        "block_bars": found.net_test.block_bars,
        "deflated_sharpe": deflated.probability if chosen else missing,
        "lucky_sharpe": _annual(deflated.threshold, found) if chosen else missing,
        "n_trials": deflated.n_trials,
        "trial_variance": deflated.trial_variance if chosen else missing,
        "variance_source": deflated.variance_source if chosen else "",
        "beta": found.market.beta,
        "beta_t": found.market.beta_t,
        "alpha_bps_per_bar": found.market.alpha / BPS,
        "alpha_t": found.market.alpha_t,
        "capacity": room.capital,
        "strict_capacity": room.strict_capital,
        "volume_share": room.participation,
    }


def _annual(per_bar: float, found: BookStatistics) -> float:
    return per_bar * float(np.sqrt(found.periods_per_year))


def _exposure(held: Held, panel: Panel) -> pd.DataFrame:
    """Mean weights per sector over the bars held; sectors without any are left out."""
    path, names = held.path, [*panel.sector_names, NO_SECTOR_NAME]
    assert path.weights is not None
    on = np.isfinite(path.net)
    found = sector_exposure(
        path.weights, on, panel.sectors.T[held.bars], len(panel.sector_names)
    )
    net, gross = (part[on].mean(axis=0) for part in (found.net, found.gross))
    table = pd.DataFrame(
        {
            **{name: [value] * len(names) for name, value in held.names.items()},
            "sector": names,
            "long": (gross + net) / 2,
            "short": (net - gross) / 2,
            "net": net,
        }
    )
    kept: pd.DataFrame = table[gross > 0].reset_index(drop=True)
    return kept


def _monthly(returns: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Compounded returns by month of the trading date."""
    bars = panel.bar_positions(
        returns["timestamp"].dt.tz_localize(None).to_numpy("M8[ns]")
    )
    months = panel.trading_dates[bars].astype("M8[M]").astype(str)
    keys = ["book", "split", "month"]
    growth = returns.assign(
        month=months, gross=1.0 + returns["gross"], net=1.0 + returns["net"]
    ).groupby(keys, sort=False)
    table = growth[["gross", "net"]].prod() - 1.0
    table["turnover"], table["n_bars"] = growth["turnover"].mean(), growth.size()
    return table.reset_index()[MONTHLY_COLUMNS]
