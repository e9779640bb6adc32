"""Candidates, portfolios and their books under audit, honest and with faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.audit import worlds
from tests.portfolio.prediction_world import FakeModel

from ranking_pipeline.audit import book_checks as books
from ranking_pipeline.audit import month_world
from ranking_pipeline.audit.candidate_checks import (
    ASOF_CHECK,
    candidate_checks,
    garch_checks,
)
from ranking_pipeline.audit.check import NOT_COVERED, Check
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.month_world import MonthWorld
from ranking_pipeline.audit.monthly import CLAIMS, monthly_checks
from ranking_pipeline.audit.portfolio_checks import (
    PortfolioWorld,
    TrainedModel,
    portfolio_checks,
)
from ranking_pipeline.audit.slices import MADE_UP, sector_slice, with_symbols
from ranking_pipeline.evaluation.backtest import exchange as backtest_exchange
from ranking_pipeline.evaluation.backtest.books import Follower
from ranking_pipeline.labels import parse_target
from ranking_pipeline.panel import NO_SECTOR, Panel
from ranking_pipeline.portfolio import predicted_month, predicted_months
from ranking_pipeline.portfolio.candidates import scorecard, selection
from ranking_pipeline.portfolio.candidates.indicators import Closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.volatility_requests import OwnReturns
from ranking_pipeline.splits import make_splits

Patch = pytest.MonkeyPatch
WAYS = ("random_walk", "half_missing", "universe", "sectors", "truncated")


def market(n_bars: int = 120) -> Panel:
    return worlds.daily_market(4, n_symbols=12, n_bars=n_bars)


def months(panel: Panel) -> tuple[MonthWorld, list[Cut]]:
    world = MonthWorld(panel)
    found = world.selected(panel).candidates
    return world, world.cuts(np.unique(world.asof_bars(found["month"])), 4)


def candidates(panel: Panel) -> list[Check]:
    return candidate_checks(*months(panel), WAYS, 5, 0)


def volatilities(panel: Panel) -> list[Check]:
    """Two whole names of one sector, with enough returns for a fit at the last cut."""
    longer = market(panel.n_bars + 20)
    few = with_symbols(longer, np.array([6, 9]))
    world = MonthWorld(few, garch=True)
    asof = world.asof_bars(world.selected(few).candidates["month"])
    last = asof[asof < few.n_bars - 1].max()
    cut = Cut(int(last), "month end")
    return garch_checks(world, [cut], ("random_walk", "truncated"), 2, 0)


def portfolios(panel: Panel) -> list[Check]:
    world, cuts = months(panel)
    ends = [cut for cut in cuts if cut.reason.startswith("month end")]
    ways = ("random_walk", "half_missing")
    return portfolio_checks(PortfolioWorld(world, momentum()), ends, ways, 2, 0)


def books_of(panel: Panel) -> list[Check]:
    world, cuts = months(panel)
    composite = PortfolioWorld(world, None)
    return books.book_checks(composite, cuts[1:3], ("random_walk", "missing"), 2, 1, 0)


def momentum() -> FakeModel:
    """Its scores are ten-bar returns, and it refuses no month."""
    return FakeModel(until=np.datetime64("2000-01-01", "ns"))


# The faults.


def decided_at_the_end_of_the_trade_month(patch: Patch) -> None:
    honest = selection.trade_months

    def late(dates: np.ndarray, **asked: Any) -> TradeMonths:
        found = honest(dates, **asked)
        own = dates.astype("M8[M]")
        ends = np.searchsorted(own, found.months, side="right") - 1
        return TradeMonths(found.months, ends)

    patch.setattr(selection, "trade_months", late)


def decided_on_the_bar_after(patch: Patch) -> None:
    honest = selection.trade_months

    def late(dates: np.ndarray, **asked: Any) -> TradeMonths:
        found = honest(dates, **asked)
        return TradeMonths(found.months, np.minimum(found.bars + 1, len(dates) - 1))

    patch.setattr(selection, "trade_months", late)


def _standing_on(change: Callable[[Panel], Panel]) -> Callable[[Patch], None]:
    def mutant(patch: Patch) -> None:
        honest = scorecard._standing
        patch.setattr(scorecard, "_standing", lambda p, *rest: honest(change(p), *rest))

    return mutant


def _next_members(panel: Panel) -> Panel:
    tradable = panel.tradable.copy()
    tradable[:, :-1] = tradable[:, 1:]
    return replace(panel, tradable=tradable)


def _last_sectors(panel: Panel) -> Panel:
    last = np.repeat(panel.sectors[:, -1:], panel.n_bars, axis=1)
    return replace(panel, sectors=last)


members_of_the_next_bar = _standing_on(_next_members)
members_of_the_next_bar.__name__ = "members_of_the_next_bar"
sectors_of_the_last_bar = _standing_on(_last_sectors)
sectors_of_the_last_bar.__name__ = "sectors_of_the_last_bar"


def average_of_later_bars(patch: Patch) -> None:
    honest = Closes.moving_average

    def centred(self: Closes, rows: Any, bar: int, width: int) -> Any:
        return honest(self, rows, min(bar + 2, self.values.shape[1] - 1), width)

    patch.setattr(Closes, "moving_average", centred)


def momentum_over_the_whole_time(patch: Patch) -> None:
    honest = Closes.momentum

    def scaled(self: Closes, rows: Any, bar: int, lag: int) -> Any:
        return honest(self, rows, bar, lag) / np.nanmax(self.values[rows], axis=1)

    patch.setattr(Closes, "momentum", scaled)


def volatility_of_one_return_more(patch: Patch) -> None:
    honest = month_world.fit_months

    def longer(returns: np.ndarray, ends: np.ndarray, options: Any) -> Any:
        return honest(returns, np.minimum(ends + 1, len(returns) - 1), options)

    patch.setattr(month_world, "fit_months", longer)


def returns_counted_with_the_next_bar(patch: Patch) -> None:
    honest = OwnReturns.counts

    def counts(self: OwnReturns, asof: np.ndarray) -> np.ndarray:
        return honest(self, asof + 1)

    patch.setattr(OwnReturns, "counts", counts)


def scores_of_the_next_bar(patch: Patch) -> None:
    honest = predicted_months._asof_bars

    def later(m: Any, b: Any, k: Any, panel: Panel, model: Any) -> Any:
        bars, refused = honest(m, b, k, panel, model)
        last = panel.n_bars - 1
        return {month: min(bar + 1, last) for month, bar in bars.items()}, refused

    patch.setattr(predicted_months, "_asof_bars", later)


def coverage_of_later_bars(patch: Patch) -> None:
    honest = predicted_month.coverage_exclusions

    def later(panel: Panel, bar: int, *rest: Any) -> Any:
        return honest(panel, min(bar + 3, panel.n_bars - 1), *rest)

    patch.setattr(predicted_month, "coverage_exclusions", later)


def volatility_of_all_bars(patch: Patch) -> None:
    honest = predicted_month.past_returns

    def every(panel: Panel, bar: int, symbols: Any, length: int) -> Any:
        return honest(panel, panel.n_bars - 1, symbols, length)

    patch.setattr(predicted_month, "past_returns", every)


def names_that_last(patch: Patch) -> None:
    """Only names that still trade on the last bar are valid."""
    honest = predicted_months.predict_candidates

    def survivors(rows: Any, panel: Panel, scores: Any, how: Any) -> Any:
        kept = np.where(panel.present[:, -1], scores, np.nan)
        return honest(rows, panel, kept, how)

    patch.setattr(predicted_months, "predict_candidates", survivors)


def _run_by(change: Callable[..., tuple[Any, Any, Any]]) -> Callable[[Patch], None]:
    def mutant(patch: Patch) -> None:
        honest = backtest_exchange.run_book

        def run(
            targets: Any, returns: Any, rules: Any, *rest: Any, **named: Any
        ) -> Any:
            changed = change(targets, returns, rules, rest[1])
            return honest(*changed, *rest, **named)

        patch.setattr(backtest_exchange, "run_book", run)

    mutant.__name__ = change.__name__
    return mutant


@_run_by
def traded_without_a_lag(targets: Any, returns: Any, rules: Any, _: Any) -> Any:
    return targets, returns, replace(rules, lag_bars=0)


@_run_by
def targets_know_the_next_return(targets: Any, returns: Any, rules: Any, _: Any) -> Any:
    ahead = np.zeros_like(returns)
    ahead[:-2] = np.nan_to_num(returns[2:])
    return targets + ahead, returns, rules


@_run_by
def names_that_end_are_not_held(
    targets: Any, returns: Any, rules: Any, last: Any
) -> Any:
    gone = (last >= 0) & (last < len(returns) - 1)
    return (
        np.where(gone, np.where(np.isnan(targets), np.nan, 0), targets),
        returns,
        rules,
    )


def portfolio_traded_early(patch: Patch) -> None:
    honest = books.portfolio_targets

    def early(portfolio: Any, panel: Panel) -> Any:
        return np.roll(honest(portfolio, panel), -3, axis=0)

    patch.setattr(books, "portfolio_targets", early)


def usual_volume_of_all_bars(patch: Patch) -> None:
    honest = backtest_exchange.usual_dollar_volume

    def usual(close: Any, volume: Any, width: int) -> Any:
        found = honest(close, volume, len(close))
        return np.tile(found[-1:], (len(found), 1))

    patch.setattr(backtest_exchange, "usual_dollar_volume", usual)


def follower_of_the_next_score(patch: Patch) -> None:
    honest = Follower.targets

    def targets(self: Follower, score: Any, tradable: Any) -> Any:
        ahead = np.concatenate([score[2:], score[-2:]])
        return honest(self, ahead, tradable)

    patch.setattr(Follower, "targets", targets)


MUTANTS = (
    (decided_at_the_end_of_the_trade_month, candidates),
    (decided_on_the_bar_after, candidates),
    (members_of_the_next_bar, candidates),
    (sectors_of_the_last_bar, candidates),
    (average_of_later_bars, candidates),
    (momentum_over_the_whole_time, candidates),
    (returns_counted_with_the_next_bar, candidates),
    (volatility_of_one_return_more, volatilities),
    (scores_of_the_next_bar, portfolios),
    (coverage_of_later_bars, portfolios),
    (volatility_of_all_bars, portfolios),
    (names_that_last, portfolios),
    (traded_without_a_lag, books_of),
    (targets_know_the_next_return, books_of),
    (names_that_end_are_not_held, books_of),
    (portfolio_traded_early, books_of),
    (usual_volume_of_all_bars, books_of),
    (follower_of_the_next_score, books_of),
)
AUDITS = tuple(dict.fromkeys(audit for _, audit in MUTANTS))


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
def test_the_stages_as_they_are_pass(audit: Callable[[Panel], list[Check]]) -> None:
    found = audit(market())
    assert [check.verdict for check in found] == ["clean"] * len(found), found
    cells = [check for check in found if check.unit == "cells"]
    assert all(check.known > 50 for check in cells)


@pytest.mark.parametrize(
    ("mutant", "audit"), MUTANTS, ids=lambda function: function.__name__
)
def test_a_fault_is_found(
    mutant: Callable[[Patch], None], audit: Callable[[Panel], list[Check]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        found = audit(market())
    wrong = [check for check in found if not check.good]
    assert wrong, found
    # a crash would be a finding, too, but proves nothing about the comparison
    assert any(check.different for check in wrong), wrong


def test_candidates_that_know_their_month_are_named() -> None:
    with pytest.MonkeyPatch.context() as patch:
        decided_at_the_end_of_the_trade_month(patch)
        found = {check.check: check for check in candidates(market())}
    asof = found[ASOF_CHECK]
    assert asof.different > 0
    assert "asof_date" in asof.worst


def test_a_trained_model_scores_the_months() -> None:
    panel = market()
    world, cuts = months(panel)
    families = {"ridge": worlds.FAMILIES["ridge"]}
    spec = parse_target("fwd_ret_1d", "1d")
    learning = worlds.world(panel, families=families, spec=spec)
    model = TrainedModel(learning, "ridge")
    (found,) = portfolio_checks(PortfolioWorld(world, model), cuts[:2], MODES, 5, 0)
    assert (found.verdict, found.different) == ("clean", 0), found
    assert "prediction with ridge" in found.what
    assert found.known > 50


def run(panel: Panel, **changes: Any) -> list[Check]:
    config = worlds.audit_config(
        symbols=8, month_cuts=2, month_bars=150, modes_at_a_cut=1, **changes
    )
    splits = make_splits(panel.timestamps, 0.6, 0.2, 0)
    labels = worlds.labels_config()
    return monthly_checks(panel, splits, worlds.FACTORS, None, labels, config)


def test_the_driver_gives_a_row_for_each_stage() -> None:
    found = run(market(150), garch_symbols=2)
    assert [check.verdict for check in found] == ["clean"] * 7, found
    assert set(CLAIMS) <= {check.check for check in found}
    assert not [check for check in found if "made-up" in check.what]


def test_without_sectors_two_are_made_up() -> None:
    panel = market()
    bare = replace(
        panel, sectors=np.full_like(panel.sectors, NO_SECTOR), sector_names=()
    )
    splits = make_splits(bare.timestamps, 0.6, 0.2, 0)
    part, own = sector_slice(bare, splits, worlds.audit_config(symbols=8))
    assert (own, part.sector_names) == (False, MADE_UP)
    found = run(bare)
    assert all(check.what.endswith("two made-up sectors") for check in found)
    assert found[0].verdict == "clean"
    assert found[0].known > 50


def test_other_bars_than_daily_ones_are_not_applicable() -> None:
    panel = worlds.intraday_market(2, n_symbols=6, n_days=20, per_day=13)
    found = run(panel)
    assert [check.check for check in found] == list(CLAIMS)
    assert {check.verdict for check in found} == {NOT_COVERED}
    assert all("not applicable" in check.worst for check in found)


def test_no_cuts_no_rows() -> None:
    config = worlds.audit_config(month_cuts=0)
    splits = make_splits(market().timestamps, 0.6, 0.2, 0)
    assert (
        monthly_checks(
            market(), splits, worlds.FACTORS, None, worlds.labels_config(), config
        )
        == []
    )
