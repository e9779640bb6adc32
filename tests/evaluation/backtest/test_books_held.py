"""Backtest of predictions and of a portfolio, against values worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.backtest.world import (
    BARS,
    DAILY,
    FIRST_TEST,
    SYMBOLS,
    VOLUME,
    backtest_config,
    leaderboard,
    manifest,
    measuring,
    metrics,
    panel,
    scores,
    stored,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.backtest.portfolio import follow_portfolio
from ranking_pipeline.evaluation.backtest.portfolio_months import (
    forecast_of,
    months_held,
    portfolio_targets,
    unheld_months,
)
from ranking_pipeline.evaluation.backtest.predictions import follow_predictions
from ranking_pipeline.evaluation.backtest.section import backtest_section
from ranking_pipeline.evaluation.backtest.setting import (
    Found,
    Stored,
    exchange_of,
    rules_of,
)
from ranking_pipeline.evaluation.baselines import BASELINES
from ranking_pipeline.labels.delisting import no_delistings
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import hold, target_weights
from ranking_pipeline.portfolio.returns import panel_returns

BEST_FIRST = dict(zip(SYMBOLS, (4.0, 3.0, 2.0, 1.0), strict=True))
COST = 5e-4


def follow(
    bars: Panel | None = None,
    values: dict[str, float] = BEST_FIRST,
    horizon: int = 1,
    evaluation: dict[str, Any] | None = None,
    reads: Stored | None = None,
    sharpes: tuple[float, ...] = (1.0, 2.0),
    **changes: Any,
) -> Found:
    bars = panel() if bars is None else bars
    models, table = scores(bars, values)
    return follow_predictions(
        reads or stored(bars),
        leaderboard("ridge", chosen="ridge"),
        metrics(*sharpes),
        manifest(horizon),
        [models],
        [table],
        backtest_config(**changes),
        measuring(**(evaluation or {})),
    )


def book(found: Found, name: str = "ridge", split: str = "test") -> pd.DataFrame:
    rows = found.backtest.returns
    rows = rows[(rows["book"] == name) & (rows["split"] == split)]
    return rows.reset_index(drop=True)


def measured(found: Found, name: str = "ridge", split: str = "test") -> pd.Series:
    rows = found.backtest.metrics
    return rows[(rows["book"] == name) & (rows["split"] == split)].iloc[0]


def test_a_steady_book_earns_what_is_worked_out_by_hand() -> None:
    """Long AA (+2 %), short DD (-1 %): 3 % a bar; in at 2, out at 2, drift between."""
    rows = book(follow())
    # decided on the first test bar, in at the next one, which earns nothing yet
    assert len(rows) == BARS - FIRST_TEST - 1
    assert rows["gross"].iloc[0] == 0
    np.testing.assert_allclose(rows["gross"].iloc[1:], 0.03, rtol=1e-4)
    # after a bar AA is 1.02 / 1.03 and DD -0.99 / 1.03 of the capital
    drift = (1.03 - 1.02) / 1.03 + (1.03 - 0.99) / 1.03
    np.testing.assert_allclose(rows["turnover"].iloc[0], 2)
    np.testing.assert_allclose(rows["turnover"].iloc[1:-1], drift, rtol=1e-3)
    np.testing.assert_allclose(
        rows["turnover"].iloc[-1], (1.02 + 0.99) / 1.03, rtol=1e-3
    )
    np.testing.assert_allclose(rows["cost"], COST * rows["turnover"])
    np.testing.assert_allclose(rows["net"], rows["gross"] - rows["cost"])
    np.testing.assert_allclose(rows["equity"], np.cumprod(1 + rows["net"]))
    found = measured(follow())
    assert found["net_bps_per_bar"] == pytest.approx(1e4 * rows["net"].mean())
    assert found["annual_return"] == pytest.approx(252 * rows["net"].mean())
    assert (found["win_rate"], found["n_bars"]) == (pytest.approx(78 / 79), 79)
    assert found["max_drawdown"] == pytest.approx(2 * COST)


def test_all_books_stand_side_by_side_on_both_splits() -> None:
    table = follow().backtest.metrics
    names = {"ridge", *BASELINES, "equal_weight"}
    # 250 bars of history are not there
    names -= {"momentum_250_20"}
    for split in ("validation", "test"):
        assert set(table.loc[table["split"] == split, "book"]) == names
    kinds = dict(zip(table["book"], table["kind"], strict=True))
    assert kinds["ridge"] == "chosen"
    assert kinds["equal_weight"] == "benchmark"
    # a baseline was not searched for
    assert table.loc[table["kind"] != "chosen", "deflated_sharpe"].isna().all()


def test_the_market_is_long_all_symbols_whatever_the_legs() -> None:
    for changes in ({}, {"legs": "short"}, {"capital_base": "gross"}):
        rows = book(follow(**changes), "equal_weight")
        np.testing.assert_allclose(rows["gross"].iloc[1:], DAILY.mean(), rtol=1e-3)
    assert "equal_weight" not in set(follow(benchmark=None).backtest.metrics["book"])


@pytest.mark.parametrize(
    ("changes", "gross"),
    [
        ({"legs": "long"}, 0.02),
        ({"legs": "short"}, 0.01),
        ({"capital_base": "gross"}, 0.015),
        ({"tail_share": 0.5}, 0.02),
        ({"band_share": 0.5}, 0.03),
        ({"rebalance_bars": 1}, 0.03),
    ],
)
def test_rules_of_the_parameters_are_held(
    changes: dict[str, Any], gross: float
) -> None:
    rows = book(follow(**changes))
    np.testing.assert_allclose(rows["gross"].iloc[1:], gross, rtol=2e-3)


def test_costs_and_borrow_are_the_parameters_own() -> None:
    rows = book(follow(cost_bps_per_side=10.0, borrow_bps_per_year=252.0))
    np.testing.assert_allclose(rows["cost"].iloc[0], 2 * 10e-4)
    # 1 basis point a bar of a short leg of 1 that drifts by nothing
    np.testing.assert_allclose(rows["borrow"].iloc[1], 1e-4, rtol=1e-6)
    assert follow(exit_at_end=False).backtest.returns["turnover"].iloc[-1] < 1


def test_a_horizon_is_held_in_staggered_books_and_may_be_traded_at_intervals() -> None:
    found = measured(follow(horizon=5))
    assert (found["n_books"], found["rebalance_bars"]) == (5, 1)
    rows = book(follow(horizon=5, rebalance_bars=5, exit_at_end=False))
    assert rows["turnover"].notna().sum() == 16
    with pytest.raises(
        UserError, match="backtest: horizon_bars 5 and rebalance_bars 3"
    ):
        follow(horizon=5, rebalance_bars=3)


def test_the_exit_of_staggered_books_is_one_trade_of_each() -> None:
    """Prices that stand still: 2 at every entry, 0 on renewal, 2 at the exit."""
    found = follow(panel(np.zeros(4)), horizon=5)
    turnover = book(found)["turnover"].to_numpy()
    np.testing.assert_allclose(turnover[:5], 2)
    np.testing.assert_allclose(turnover[5:-1], 0, atol=1e-12)
    assert turnover[-1] == pytest.approx(2)
    row = measured(found)
    assert row["turnover_per_trade"] == pytest.approx(12 / 79)
    assert row["turnover_per_year"] == pytest.approx(4 / 79 * 252)
    np.testing.assert_allclose(book(found)["cost"].iloc[-1], 2 * COST)


def test_without_an_exit_a_book_is_that_of_the_leaderboard() -> None:
    bars, score = panel(), np.tile(list(BEST_FIRST.values()), (BARS, 1))
    for horizon in (1, 5):
        own = book(follow(bars, horizon=horizon, exit_at_end=False))
        wanted = target_weights(score[FIRST_TEST:], 0.25)
        path = hold(wanted, panel_returns(bars)[FIRST_TEST:], horizon, 1, 5.0)
        for name in ("gross", "cost", "net", "turnover"):
            np.testing.assert_array_equal(own[name], getattr(path, name)[1:])


def test_a_name_that_leaves_the_universe_earns_until_it_is_sold() -> None:
    """AA leaves at bar 150: sold one bar later, after its +2 % of that bar."""
    bars, left = panel(), 150
    bars.tradable[0, left:] = False
    rows = book(follow(bars)).set_index(np.arange(FIRST_TEST + 1, BARS))
    np.testing.assert_allclose(rows.loc[left - 1 : left + 1, "gross"], 0.03, rtol=1e-4)
    # now AA for BB: +1 % and DD's 1 %
    np.testing.assert_allclose(rows.loc[left + 2 :, "gross"], 0.02, rtol=1e-4)
    drift = 1.02 / 1.03 + 1.0 + (1.03 - 0.99) / 1.03
    np.testing.assert_allclose(rows.loc[left + 1, "turnover"], drift, rtol=1e-4)
    row = measured(follow(bars))
    assert (row["n_settled"], row["unsold"]) == (0, 0)
    # the market has let it go at once
    market = book(follow(bars), "equal_weight").set_index(rows.index)["gross"]
    np.testing.assert_allclose(market.loc[left], DAILY.mean(), rtol=1e-3)
    np.testing.assert_allclose(market.loc[left + 2 :], DAILY[1:].mean(), atol=1e-6)


def test_the_market_is_that_of_the_members_and_a_return_is_of_one_bar() -> None:
    """AA is out for ten bars: what it earned there is not the market's on its return."""
    bars = panel()
    bars.tradable[0, 150:160] = False
    config, evaluation = backtest_config(), measuring()
    rules = rules_of(bars, 1, 1, config, evaluation)
    market = exchange_of(stored(bars), rules, config, ("test",)).market
    np.testing.assert_allclose(market[150:160], DAILY[1:].mean(), atol=1e-6)
    inside = np.r_[1:150, 160:BARS]
    np.testing.assert_allclose(market[inside], DAILY.mean(), rtol=1e-4)


def test_a_delisted_name_is_settled_at_what_its_holders_got() -> None:
    bars, last = panel(), 150
    bars.tradable[0, last + 1 :], bars.values[0, last + 1 :] = False, np.nan
    date = pd.Timestamp(bars.trading_dates[last])
    table = pd.DataFrame({"symbol": ["AA"], "date": [date], "return": [-0.4]})
    for delistings, paid in ((no_delistings(), 0.0), (table, -0.4)):
        found = follow(bars, reads=stored(bars, delistings=delistings))
        rows = book(found).set_index(np.arange(FIRST_TEST + 1, BARS))
        assert rows.loc[last, "gross"] == pytest.approx(0.03, rel=1e-4)
        assert rows.loc[last + 1, "gross"] == pytest.approx(paid + 0.01, rel=1e-3)
        # decided while AA was there: DD alone is brought back, then BB is bought
        back = abs(1 - 0.99 / (1.01 + paid))
        assert rows.loc[last + 1, "turnover"] == pytest.approx(back, rel=1e-3)
        assert rows.loc[last + 2, "turnover"] == pytest.approx(1.02, abs=0.005)
        assert measured(found)["n_settled"] == 1
        told = backtest_section(found).tables[0].caption
        assert "ridge: 1 position in names that ended paid out without a trade." in told
    late = table.assign(date=pd.Timestamp(bars.trading_dates[last - 1]))
    with pytest.raises(UserError, match="AA has bars after its delisting"):
        follow(bars, reads=stored(bars, delistings=late))


def test_exposure_is_the_mean_weight_per_sector() -> None:
    table = follow(exit_at_end=False).backtest.exposure
    rows = table[(table["book"] == "ridge") & (table["split"] == "test")]
    rows = rows.set_index("sector")
    np.testing.assert_allclose(rows.loc["Energy", ["long", "short"]], [1, 0])
    np.testing.assert_allclose(rows.loc["Utilities", ["long", "net"]], [0, -1])


def test_months_compound_to_the_equity() -> None:
    found = follow()
    months = found.backtest.monthly
    months = months[(months["book"] == "ridge") & (months["split"] == "test")]
    assert months["month"].is_monotonic_increasing
    assert months["n_bars"].sum() == 79
    last = book(found)["equity"].iloc[-1]
    assert (1 + months["net"]).prod() == pytest.approx(last)


def test_capacity_is_the_share_of_the_usual_volume_over_the_weight() -> None:
    """The first trade alone: 1 of AA and 1 of DD; the cheaper one is DD."""
    found = measured(follow(rebalance_bars=100, exit_at_end=False))
    bars = panel()
    close = bars.cross_sections("close")[FIRST_TEST - 19 : FIRST_TEST + 1, [0, 3]]
    limits = 0.01 * VOLUME * np.median(close.astype(float), axis=0)
    assert found["capacity"] == pytest.approx(limits.min(), rel=1e-5)


def test_the_chosen_row_is_deflated_by_the_trials_of_the_ledger() -> None:
    entries = [f"row|m{i}|t|d" for i in range(30)]
    ledger = {"key": "bars", "newest": entries[:2], "entries": entries}
    noisy = panel(np.array([0.0, 0.0, 0.0, 0.0]))
    rng = np.random.default_rng(3)
    moves = 1 + rng.normal(0, 0.01, noisy.values.shape[:2])
    values = noisy.values * np.cumprod(moves, axis=1)[:, :, None].astype(np.float32)
    bars = Panel(SYMBOLS, noisy.timestamps, noisy.fields, values, noisy.tradable)
    known = tuple(float(value) for value in range(10))
    found = follow(bars, reads=stored(bars, ledger=ledger), sharpes=known)
    row = measured(found)
    assert (row["n_trials"], row["variance_source"]) == (30, "trials")
    # ratios of 0 to 9 a year
    assert row["trial_variance"] == pytest.approx(82.5 / 9 / 252)
    assert row["deflated_sharpe"] < row["probabilistic_sharpe"]
    assert found.trials.earlier_rows == 28
    # two ratios say nothing of how much luck spreads them
    few = measured(follow(bars, reads=stored(bars, ledger=ledger)))
    assert few["variance_source"] == "no skill"
    assert few["trial_variance"] == pytest.approx(1 / few["n_bars"])


def test_nothing_before_a_bar_depends_on_what_comes_after_it() -> None:
    found, cut = book(follow()), BARS - 20
    changed = panel()
    changed.values[:, cut:, :4] *= 3.0
    other = book(follow(changed, exit_at_end=False))
    kept = cut - FIRST_TEST - 1
    assert found.iloc[:kept].equals(other.iloc[:kept])
    assert not found.iloc[kept:].equals(other.iloc[kept:])


def test_a_named_row_is_held_and_an_unknown_one_is_refused() -> None:
    assert follow(model_id="ridge", target="fwd_ret_1d").chosen == "ridge"
    with pytest.raises(UserError, match=r"backtest.model_id: 'lasso' is not.*ridge"):
        follow(model_id="lasso")
    with pytest.raises(UserError, match="'reversal_5' is a baseline of the eval"):
        follow(model_id="reversal_5")
    with pytest.raises(UserError, match=r"band_share 0\.1 is narrower"):
        follow(band_share=0.1)


def test_scores_that_are_missing_are_refused() -> None:
    bars = panel()
    models, table = scores(bars, BEST_FIRST)
    with pytest.raises(UserError, match="no score of 'ridge'"):
        follow_predictions(
            stored(bars), leaderboard("ridge", chosen="ridge"), metrics(1.0),
            manifest(), [models], [table.iloc[:0]], backtest_config(), measuring(),
        )  # fmt: skip


def test_without_a_model_the_baselines_are_held_alone() -> None:
    found = follow_predictions(
        stored(panel()), leaderboard(), metrics(), manifest(), [], [],
        backtest_config(), measuring(),
    )  # fmt: skip
    assert found.chosen == ""
    assert found.trials.total == 1
    with pytest.raises(UserError, match=r"'fwd_ret_9d' is not in .* has fwd_ret_1d"):
        follow_predictions(
            stored(panel()), leaderboard(), metrics(), manifest(), [], [],
            backtest_config(), measuring(primary_target="fwd_ret_9d"),
        )  # fmt: skip
    section = backtest_section(found)
    assert section.lead.startswith("No model to hold")
    assert len(section.figures) == 4


def test_no_bar_that_can_be_traded_is_a_finished_backtest() -> None:
    few = {"min_symbols_per_timestamp": 4}
    bars = panel()
    bars.tradable[2:] = False
    found = follow(bars, evaluation=few, benchmark=None)
    section = backtest_section(found)
    assert found.backtest.metrics.empty
    assert "Nothing was held" in section.lead
    json.dumps(section.to_dict(), allow_nan=False)


def test_the_section_tells_rules_trials_and_both_splits() -> None:
    section = backtest_section(follow(borrow_bps_per_year=30.0))
    titles = [table.title for table in section.tables]
    assert titles == ["Books, test split", "Trials", "Books, validation split"]
    first = section.tables[0]
    assert first.emphasis[0] == "chosen"
    assert first.emphasis[-1] == "benchmark"
    assert "5 bps a side" in first.caption
    assert "30 bps a year" in first.caption
    assert "borrow, bps/bar" in [column.label for column in first.columns]
    assert "too good" in section.tables[2].caption
    assert "reversal_5" in {
        trace["name"] for trace in section.figures[0].figure["data"]
    }
    shaded = "validation bars, which chose the row, are shaded"
    assert shaded in section.figures[0].caption
    json.dumps(section.to_dict(), allow_nan=False)


def portfolio(rows: list[tuple[str, int, str, float]], bars: Panel) -> pd.DataFrame:
    """Rows of (sector, as-of bar, symbol, weight)."""
    stamps = pd.DatetimeIndex(bars.timestamps).tz_localize("UTC")
    months = bars.trading_dates.astype("M8[M]") + 1
    table = [
        (str(months[bar]), sector, stamps[bar], symbol,
         "long" if weight > 0 else "short", weight)
        for sector, bar, symbol, weight in rows
    ]  # fmt: skip
    names = ["month", "sector", "timestamp", "symbol", "leg", "weight"]
    frame = pd.DataFrame(table, columns=names)
    return frame.assign(source="model", model_version="ridge v. 01234567")


def month_ends(bars: Panel) -> list[int]:
    months = bars.trading_dates.astype("M8[M]")
    return [int(bar) for bar in np.flatnonzero(months[1:] != months[:-1])]


def test_sectors_share_a_leg_and_a_month_without_a_portfolio_is_cash() -> None:
    bars = panel()
    first, without, third, after = month_ends(bars)[-4:]
    rows = [("Energy", first, "AA", 1.0), ("Energy", first, "DD", -1.0),
            ("Utilities", first, "BB", 0.5), ("Utilities", first, "CC", 0.5),
            ("Energy", third, "CC", 1.0)]  # fmt: skip
    wanted = portfolio_targets(portfolio(rows, bars), bars)
    decided = np.flatnonzero(np.isfinite(wanted).any(axis=1)).tolist()
    assert decided == [first, without, third, after]
    assert wanted[first].tolist() == [0.5, 0.25, 0.25, -1.0]
    assert wanted[without].tolist() == wanted[after].tolist() == [0, 0, 0, 0]
    assert wanted[third].tolist() == [0, 0, 1, 0]


def test_a_monthly_portfolio_is_held_from_the_bar_after_its_as_of_bar() -> None:
    bars = panel()
    first, second, third = [end for end in month_ends(bars) if end > FIRST_TEST][:3]
    rows = [("Energy", first, "AA", 1.0), ("Energy", second, "DD", -1.0)]
    reads = stored(bars)
    found = follow_portfolio(
        reads, portfolio(rows, bars), 1, backtest_config(), measuring()
    )
    held = book(found, "portfolio")
    own = bars.bar_positions(held["timestamp"].dt.tz_localize(None).to_numpy("M8[ns]"))
    gross = dict(zip(own.tolist(), held["gross"], strict=True))
    assert own[0] == first + 1
    assert gross[first + 1] == 0
    assert gross[first + 2] == pytest.approx(0.02, rel=1e-4)
    assert gross[second + 1] == pytest.approx(0.02, rel=1e-4)
    assert gross[second + 2] == pytest.approx(0.01, rel=1e-4)
    # measured up to the sale of the last month: cash after it is no part of a year
    assert own[-1] == third + 1
    turnover = held.set_index(own)["turnover"].dropna()
    assert turnover.index.tolist() == [first + 1, second + 1, third + 1]
    # one month of drift at +2 % leaves the whole capital in AA; then AA is sold
    np.testing.assert_allclose(turnover.iloc[:2], [1, 2])
    market = book(found, "equal_weight")
    assert len(market) == len(held)
    assert set(found.backtest.metrics["split"]) == {"test"}
    section = backtest_section(found)
    assert section.name == "portfolio_backtest"
    total = f"{100 * (held['equity'].iloc[-1] - 1):.1f} %"
    assert section.lead.startswith(
        f"The monthly portfolio (long and short) earned {total} net of costs in 2 months "
        f"({found.months['test'][0]} to {found.months['test'][1]}, test split), at a rate"
    )
    # one split: nothing is said of others, and no line is another baseline's
    assert section.figures[0].caption == "Net of costs, compounded."
    assert section.figures[1].caption == "portfolio, percent of capital."
    names = {trace["name"] for trace in section.figures[0].figure["data"]}
    assert names == {"portfolio", "equal_weight", "baselines"}


def test_a_month_that_is_decided_between_two_splits_is_told() -> None:
    bars = panel()
    ends = [end for end in month_ends(bars) if end > FIRST_TEST]
    rows = [("Energy", end, "AA", 1.0) for end in ends]
    months = portfolio(rows, bars)
    names = months["month"].tolist()
    blocks = {"one": slice(0, ends[0] + 1), "two": slice(ends[1] + 1, BARS)}

    def unheld(blocks: dict[str, slice], lag: int) -> tuple[str, ...]:
        return unheld_months(months, months_held(months, bars, blocks, lag))

    # the first is decided on the last bar of a split, the second between the two
    assert unheld(blocks, 1) == tuple(names[:2])
    assert unheld(blocks, 0) == (names[1],)
    assert unheld({"one": slice(0, BARS)}, 1) == ()
    found = follow_portfolio(stored(bars), months, 1, backtest_config(), measuring())
    assert found.unheld == ()
    told = backtest_section(replace(found, unheld=("2020-07",))).tables[0].caption
    assert "between two splits and not held: 2020-07." in told
    assert "not held" not in backtest_section(found).tables[0].caption


def test_a_long_portfolio_stands_beside_long_baselines() -> None:
    bars = panel()
    end = next(end for end in month_ends(bars) if end > FIRST_TEST)
    months = portfolio([("Energy", end, "AA", 0.5), ("Energy", end, "BB", 0.5)], bars)

    def held(**changes: Any) -> Found:
        config = backtest_config(**changes)
        return follow_portfolio(stored(bars), months, 1, config, measuring())

    found = held()
    assert set(found.backtest.metrics["legs"]) == {"long"}
    section = backtest_section(found)
    assert "The monthly portfolio (long-only) earned" in section.lead
    assert f"in 1 month ({found.months['test'][0]}, test split)" in section.lead
    assert "best long-only baseline" in section.lead
    assert "baselines are long-only like the portfolio" in section.tables[0].caption
    assert "both sides (0 to 2)" in section.tables[0].caption
    # one leg is the whole capital, on either base
    for other in (held(legs="long"), held(capital_base="gross")):
        pd.testing.assert_frame_equal(other.backtest.returns, found.backtest.returns)
    message = r"backtest\.legs 'short': the monthly portfolio is long only"
    with pytest.raises(UserError, match=message):
        held(legs="short")


def test_the_backtest_of_a_portfolio_says_which_model_it_judges() -> None:
    bars = panel()
    end = next(end for end in month_ends(bars) if end > FIRST_TEST)
    months = portfolio([("Energy", end, "AA", 1.0)], bars)

    def held(table: pd.DataFrame) -> Found:
        return follow_portfolio(stored(bars), table, 1, backtest_config(), measuring())

    found = held(months)
    assert measured(found, "portfolio")["score_source"] == "model"
    assert measured(found, "portfolio")["model_version"] == "ridge v. 01234567"
    assert measured(found, "equal_weight")["model_version"] == ""
    assert "Its scores are those of ridge v. 01234567." in backtest_section(found).lead
    found = held(months.assign(source="algorithmic_only", model_version=""))
    assert measured(found, "portfolio")["score_source"] == "algorithmic_only"
    assert "Algorithmic_only: no model took part" in backtest_section(found).lead
    with pytest.raises(UserError, match="lacks the column model_version: run kedro"):
        held(months.drop(columns="model_version"))


def test_months_that_no_split_can_trade_are_told() -> None:
    bars = panel()
    months = portfolio([("Energy", FIRST_TEST + 5, "AA", 1.0)], bars)
    # first traded after the panel's end
    found = follow_portfolio(stored(bars), months, BARS, backtest_config(), measuring())
    told = f"these months are decided and traded: {found.unheld[0]}."
    assert told in backtest_section(found).lead


def test_a_portfolio_that_is_empty_or_of_other_bars_is_refused() -> None:
    bars = panel()
    empty = portfolio([], bars)
    with pytest.raises(UserError, match="batch_predictions holds no portfolio"):
        portfolio_targets(empty, bars)
    other = portfolio([("Energy", 70, "AA", 1.0)], bars).assign(symbol="ZZ")
    with pytest.raises(UserError, match="ZZ"):
        portfolio_targets(other, bars)
    some = portfolio([("Energy", 70, "AA", 1.0)], bars)
    config = backtest_config(model_id="ridge")
    with pytest.raises(UserError, match=r"backtest\.model_id 'ridge' is for pred"):
        follow_portfolio(stored(bars), some, 1, config, measuring())


def test_a_portfolio_of_another_horizon_than_its_model_is_told() -> None:
    bars = panel()
    ends = [end for end in month_ends(bars) if end > FIRST_TEST][:2]
    months = portfolio([("Energy", end, "AA", 1.0) for end in ends], bars)
    found = follow_portfolio(stored(bars), months, 1, backtest_config(), measuring())
    meta = {"target": "fwd_ret_1d", "score_unit": "return"}
    meta["informed_until"] = "2020-03-02T21:00:00"
    selections = [{"source": "model", "metadata": meta}]
    held = ends[1] - ends[0]

    def lead(horizon: int) -> str:
        forecast = forecast_of(selections, manifest(horizon), months, bars)
        return backtest_section(replace(found, forecast=forecast)).lead

    told = "which predicts fwd_ret_1d, as a return, over"
    apart = f"{told} 1 bar, though each portfolio is held about {held} bars."
    assert apart in lead(1)
    assert "It knows the bars until 2020-03-02 21:00:00 UTC." in lead(1)
    assert f"{told} {held} bars; each is held about {held} bars." in lead(held)
    unknown = manifest().assign(target="other")
    forecast = forecast_of(selections, unknown, months, bars)
    assert forecast is not None
    assert forecast.horizon_bars is None
    stands_in = [{"source": "algorithmic_only", "metadata": meta}]
    assert forecast_of(stands_in, manifest(), months, bars) is None


def test_a_book_of_one_decision_or_one_name_is_told() -> None:
    once = "the rates a year are those of one decision."
    section = backtest_section(follow(rebalance_bars=1000))
    assert once in section.lead
    assert (
        "Nothing was traded again after the first purchase in 79 bars" in section.lead
    )
    assert once in backtest_section(follow(rebalance_bars=1000, exit_at_end=False)).lead
    plain = backtest_section(follow(tail_share=0.5))
    assert once not in plain.lead
    assert "(2 names a leg)" in plain.tables[0].caption
    assert "A leg is a single name" not in plain.lead
    assert "A leg is a single name" in backtest_section(follow(tail_share=0.001)).lead


def test_beta_has_its_t_beside_it_and_one_trial_is_one() -> None:
    section = backtest_section(follow())
    labels = [column.label for column in section.tables[0].columns]
    assert labels[labels.index("beta") + 1] == "beta t"
    assert "after 1 trial the" in section.lead
