"""Backtest words: what its section says about rules, trials and results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.backtest.books import BASELINE, CHOSEN, MARKET
from ranking_pipeline.evaluation.backtest.doubts import few_trades, scored_by
from ranking_pipeline.evaluation.backtest.setting import Found
from ranking_pipeline.evaluation.formats import format_cell, percent
from ranking_pipeline.wording import counted, shortened

MONTHS_SHOWN = 6
_UNSOLD = 5e-4  # of the capital; less is 0.0 % in print
_SIDES = {"both": "long and short", "long": "long-only", "short": "short-only"}


def nothing_held(found: Found) -> str:
    """Why no book was held on any split."""
    if found.unheld:
        return (
            "Nothing was held: no split has the bars on which these months are decided "
            f"and traded: {shortened(found.unheld, MONTHS_SHOWN)}."
        )
    return "Nothing was held: no bar of the splits has enough symbols to trade."


def lead(found: Found, split: str) -> str:
    """Result of the chosen book on a split, beside the best simple ones."""
    rows = _by_book(found.backtest.metrics, split)
    if not found.chosen:
        beside = "and the equal-weight market" if MARKET in rows else "alone"
        return f"No model to hold; six baselines {beside} on the {split} split."
    row = rows.get(found.chosen)
    if row is None:
        return f"{found.chosen} was never held on the {split} split."
    sentence = (
        f"{_earned(found, split, row)} (Sharpe {_number(row['sharpe'])}, t "
        f"{format_cell(row['net_t'], 't')}, deepest fall {_percent(row['max_drawdown'])}"
        "); "
    )
    sentence += (
        f"after {counted(int(row['n_trials']), 'trial')} the probability of a true "
        f"Sharpe ratio above luck is {_percent(row['deflated_sharpe'])}. "
        if math.isfinite(row["deflated_sharpe"])
        else f"{counted(int(row['n_bars']), 'bar')} are too few to say how much of it "
        "is luck. "
    )
    told = (sentence + _others(rows), few_trades(found, row), scored_by(found))
    return " ".join(part for part in told if part)


def _earned(found: Found, split: str, row: Mapping[str, Any]) -> str:
    """What the chosen book earned; of a portfolio also in which months, and all in all."""
    a_year = _percent(row["annual_return"])
    if found.source == "predictions":
        return (
            f"{found.chosen} earned {a_year} a year net of costs on the {split} split"
        )
    months, returns = found.months[split], found.backtest.returns
    own = (returns["book"] == found.chosen) & (returns["split"] == split)
    total = float(returns.loc[own, "equity"].iloc[-1]) - 1.0
    span = months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
    return (
        f"The monthly portfolio ({_SIDES[row['legs']]}) earned {_percent(total)} net of "
        f"costs in {counted(len(months), 'month')} ({span}, {split} split), at a rate of "
        f"{a_year} a year"
    )


def _by_book(metrics: pd.DataFrame, split: str) -> dict[str, dict[str, Any]]:
    """Rows of a split by the name of their book."""
    records = metrics[metrics["split"] == split].to_dict("records")
    return {str(row["book"]): {str(k): v for k, v in row.items()} for row in records}


def _others(rows: dict[str, dict[str, Any]]) -> str:
    """The best simple book of the split, and the market."""
    sharpes = {
        name: float(row["sharpe"])
        for name, row in rows.items()
        if row["kind"] == BASELINE and math.isfinite(row["sharpe"])
    }
    parts = []
    if sharpes:
        best = max(sharpes, key=sharpes.__getitem__)
        legs = str(rows[best]["legs"])
        sides = "" if legs == "both" else f"{_SIDES[legs]} "
        parts.append(
            f"the best {sides}baseline, {best}, shows {_number(sharpes[best])}"
        )
    if MARKET in rows:
        market = _number(rows[MARKET]["sharpe"])
        parts.append(f"the equal-weight market {market}")
    told = " and ".join(parts)
    return f"{told[:1].upper()}{told[1:]}." if told else ""


def happened(found: Found, split: str) -> str:
    """Ends that the chosen book met on a split: delistings, ruin, what was not sold."""
    row = _by_book(found.backtest.metrics, split).get(found.chosen)
    if row is None:
        return ""
    told = []
    if row["n_settled"]:
        count = counted(int(row["n_settled"]), "position")
        told.append(f"{count} in names that ended paid out without a trade")
    if row["n_insolvent"]:
        told.append(f"{counted(int(row['n_insolvent']), 'book')} lost and entered anew")
    if row["unsold"] >= _UNSOLD:
        told.append(
            f"{_percent(row['unsold'])} of the capital in halted names not sold at the end"
        )
    return f"{found.chosen}: {', '.join(told)}. " if told else ""


def why_apart(found: Found, split: str) -> str:
    """What a reader of the table of another split must know."""
    if split == "validation" and found.source == "predictions" and found.chosen:
        return "The row was chosen on these bars: its figures here are too good."
    return f"Bars of the {split} split of the stored data."


def rules_caption(found: Found) -> str:
    """By what rules the books were held, and what the columns mean."""
    row = found.backtest.metrics.iloc[0]
    share = "" if found.over_time else f" {percent(found.tail_share)} of the symbols"
    if share and found.names_per_leg:
        share += f" ({counted(found.names_per_leg, 'name')} a leg)"
    sides = _SIDES[row["legs"]]
    base = {"leg": "the notional of one leg", "gross": "the notional of both legs"}
    if found.source == "portfolio":
        how = (
            "The portfolio of a month is decided at the close of its as-of bar and "
            "held until the next one, the last one until its month or the bars end; "
            f"baselines are {sides} like the portfolio,{share or ' all symbols'}, "
            "decided on the same bars. "
        )
        if found.unheld:
            months = shortened(found.unheld, MONTHS_SHOWN)
            how += f"Decided between two splits and not held: {months}. "
    else:
        how = f"Every book is {sides}{share}; {_stagger(row)}. "
    if found.band_share is not None:
        how += f"A held name stays inside {percent(found.band_share)}. "
    close = "sold at the last bar, " if row["exit_at_end"] else "left open at the end, "
    most = 4 if (row["legs"], row["capital_base"]) == ("both", "leg") else 2
    text = (
        f"{how}Trades enter {_bars(int(row['lag_bars']))} after the decision. Costs are "
        f"{row['cost_bps_per_side']:g} bps a side of the traded notional, entry included"
        f"; books are {close}borrowed shares cost {row['borrow_bps_per_year']:g} bps a "
        f"year. Returns are shares of {base[row['capital_base']]}; a year’s is the mean "
        f"times {row['periods_per_year']:g} periods, as for the Sharpe ratio; t comes "
        f"from block means of {int(row['block_bars'])} bars. PSR is the probability "
        "that the true Sharpe ratio is above 0, DSR that it is above the best that luck "
        f"gives in as many trials. Turnover is per rebalance, both sides (0 to {most}). "
        "Beta is to the equal-weight mean return. With the capacity, half of the traded "
        f"notional stays below {percent(row['volume_share'])} of what its names usually "
        "trade in a bar, in millions of the prices’ currency."
    )
    benchmark = MARKET in set(found.backtest.metrics["book"])
    return text + (
        " equal_weight is the benchmark: all tradable symbols, long, at the same costs."
        if benchmark
        else " No benchmark."
    )


def _stagger(row: Any) -> str:
    horizon, step = int(row["horizon_bars"]), int(row["rebalance_bars"])
    if row["n_books"] > 1:
        return (
            f"a horizon of {horizon} bars is held as {int(row['n_books'])} staggered "
            f"books, one traded every {_every(step)}"
        )
    return f"one book, traded every {_every(max(horizon, step))}"


def _every(count: int) -> str:
    return "bar" if count == 1 else _bars(count)


def _bars(count: int) -> str:
    return "1 bar" if count == 1 else f"{count} bars"


def trials_caption(found: Found) -> str:
    """How trials were counted, and what luck does with so many."""
    metrics = found.backtest.metrics
    chosen = metrics[metrics["kind"] == CHOSEN]
    text = (
        "Each family, target, route and seed is a row; the same scores count once, "
        "however often they were made. Rows resemble each other, so there are fewer "
        "independent trials than this: the DSR is on the careful side."
    )
    if chosen.empty:
        return text
    row = chosen.iloc[-1]
    source = (
        "of the per-bar Sharpe ratios of this run’s rows on the same split"
        if row["variance_source"] == "trials"
        else "of Sharpe ratios without skill, 1 / bars, because this run’s rows are fewer "
        "than ten or differ by less"
    )
    lucky = format_cell(float(row["lucky_sharpe"]), "number")
    return (
        f"{text} The variance across trials is that {source}; on the {row['split']} "
        f"split the luckiest of {int(row['n_trials']):,} would show an annual Sharpe "
        f"ratio of {lucky}."
    )


def _percent(value: float) -> str:
    return format_cell(value, "percent")


def _number(value: float) -> str:
    return format_cell(value, "number")
