"""Candidates, portfolios and their books under audit, honest and with faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.audit import worlds
from tests.portfolio.prediction_world import FakeModel

from ranking_pipeline.audit import book_checks as books
from ranking_pipeline.audit import month_world, monthly
from ranking_pipeline.audit.candidate_checks import (
    ASOF_CHECK,
    candidate_checks,
    garch_checks,
)
from ranking_pipeline.audit.check import NOT_COVERED, Check
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.lookahead import AuditResult, audit_function
from ranking_pipeline.audit.month_world import MonthWorld
from ranking_pipeline.audit.monthly import CLAIMS, monthly_checks
from ranking_pipeline.audit.portfolio_checks import (
    METHODS,
    PortfolioWorld,
    portfolio_cells,
    portfolio_checks,
)
from ranking_pipeline.audit.promoted_model import AuditedVersion, promoted_version
from ranking_pipeline.audit.slices import MADE_UP, sector_slice, with_symbols
from ranking_pipeline.evaluation.backtest import exchange as backtest_exchange
from ranking_pipeline.evaluation.backtest.books import Follower
from ranking_pipeline.labels import parse_target
from ranking_pipeline.models.serving import rows as served
from ranking_pipeline.models.serving import scores as serving
from ranking_pipeline.panel import NO_SECTOR, Panel
from ranking_pipeline.portfolio import optimisers, predicted_month, predicted_months
from ranking_pipeline.portfolio.candidates import composite, scorecard, selection
from ranking_pipeline.portfolio.candidates.indicators import Closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.selection import SelectedCandidates
from ranking_pipeline.portfolio.candidates.volatility_requests import OwnReturns
from ranking_pipeline.splits import make_splits

Patch = pytest.MonkeyPatch
Audit = Callable[..., list[Check]]
WAYS = ("random_walk", "half_missing", "universe", "sectors", "truncated")
FEW_WAYS = ("sectors", "truncated")  # they show every fault of this file
OPTIMISERS = ("mean_variance", "risk_parity")
FOLDERS: list[TemporaryDirectory[str]] = []
SELECTED: dict[tuple[bytes, bytes], SelectedCandidates] = {}
PREDICTED: dict[tuple[bytes, bytes, str], pd.DataFrame] = {}


@dataclass(frozen=True)
class SelectedOnce(MonthWorld):
    """The candidates of each future, chosen once: faults of later stages change none."""

    def selected(self, panel: Panel) -> SelectedCandidates:
        key = digest(self.panel), digest(panel)
        if key not in SELECTED:
            SELECTED[key] = super().selected(panel)
        return SELECTED[key]


class PredictedOnce(PortfolioWorld):
    """The portfolios of each future, made once: faults of the books change none."""

    def table(self, panel: Panel, method: str) -> pd.DataFrame:
        key = digest(self.months.panel), digest(panel), method
        if key not in PREDICTED:
            PREDICTED[key] = super().table(panel, method)
        return PREDICTED[key]


def digest(panel: Panel) -> bytes:
    arrays = panel.values, panel.tradable, panel.sectors, panel.timestamps
    return sha256(b"".join(array.tobytes() for array in arrays)).digest()


@cache
def market(n_bars: int = 120) -> Panel:
    return worlds.daily_market(4, n_symbols=12, n_bars=n_bars)


def cuts_of(world: MonthWorld) -> list[Cut]:
    months = world.selected(world.panel).candidates["month"]
    return world.cuts(np.unique(world.asof_bars(months)), 4)


@cache
def chosen_cuts() -> list[Cut]:
    return cuts_of(MonthWorld(market()))


# What is audited; a planted fault is looked for in fewer ways.


def candidates(panel: Panel, *, fault: bool) -> list[Check]:
    cuts = chosen_cuts()[::2] if fault else chosen_cuts()
    ways = FEW_WAYS if fault else WAYS
    return candidate_checks(MonthWorld(panel), cuts, ways, 5, 0)


def legacy_candidates(panel: Panel, *, fault: bool) -> list[Check]:
    world = MonthWorld(panel, scoring="legacy_mix")
    ways = FEW_WAYS if fault else WAYS
    return candidate_checks(world, chosen_cuts()[1:2], ways, 5, 0)


def volatilities(panel: Panel, *, fault: bool) -> list[Check]:
    """Two whole names of one sector, with enough returns for a fit at the last cut."""
    longer = market(panel.n_bars + 20)
    few = with_symbols(longer, np.array([6, 9]))
    world = MonthWorld(few, garch=True)
    asof = world.asof_bars(world.selected(few).candidates["month"])
    last = asof[asof < few.n_bars - 1].max()
    cut = Cut(int(last), "month end")
    return garch_checks(world, [cut], ("random_walk", "truncated"), 2, 0)


def portfolios(panel: Panel, *, fault: bool) -> list[Check]:
    ends = [cut for cut in chosen_cuts() if cut.reason.startswith("month end")]
    ways = ("random_walk", "half_missing")
    world = PortfolioWorld(SelectedOnce(panel), momentum())
    return portfolio_checks(world, ends[: 1 if fault else 2], ways, 2, 0)


def optimised() -> AuditResult:
    pytest.importorskip("skfolio")
    panel = market().cut(slice(90))
    world = PortfolioWorld(SelectedOnce(panel), None, OPTIMISERS)
    cells, way = partial(portfolio_cells, world), ("random_walk",)
    return audit_function(cells, panel, chosen_cuts()[:1], way, world.columns)


def promoted(panel: Panel, *, fault: bool) -> list[Check]:
    world = PortfolioWorld(SelectedOnce(panel), promoted_model(), METHODS[:1])
    ways = ("random_walk",) if fault else MODES
    return portfolio_checks(world, chosen_cuts()[:1], ways, 5, 0)


@cache
def promoted_model() -> AuditedVersion:
    """Ridge on the market, in a folder that lasts as long as the tests."""
    families = {"ridge": worlds.FAMILIES["ridge"]}
    spec = parse_target("fwd_ret_1d", "1d")
    learning = worlds.world(market(), families=families, spec=spec)
    FOLDERS.append(TemporaryDirectory(prefix="audit-"))
    return promoted_version(learning, "ridge", Path(FOLDERS[-1].name))


def books_of(panel: Panel, *, fault: bool) -> list[Check]:
    by_composite = PredictedOnce(SelectedOnce(panel), None)
    ways = ("random_walk", "missing")
    return books.book_checks(by_composite, chosen_cuts()[1:3], ways, 2, 1, 0)


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


def ranks_over_all_bars(patch: Patch) -> None:
    """A served factor is ranked among those of all bars that are asked for."""
    honest = served.scaled_features

    def together(features: Any, bars: Any, scale: str) -> Any:
        return honest(features, np.zeros_like(bars), scale)

    patch.setattr(served, "scaled_features", together)


def factors_of_the_next_bar(patch: Patch) -> None:
    """The promoted model is served the rows of the bar after the one asked for."""
    honest = serving.served_rows

    def later(panel: Panel, features: Any, bars: Any, names: Any) -> Any:
        table = features.read()
        table[list(names)] = table.groupby("symbol", observed=True)[list(names)].shift(
            -1
        )
        moved = SimpleNamespace(
            read=table.__getitem__, read_columns=lambda: tuple(table), path="moved"
        )
        return honest(panel, moved, bars, names)

    patch.setattr(serving, "served_rows", later)


def legacy_mean_of_all_months(patch: Patch) -> None:
    honest = composite.COMPOSITES["legacy_mix"]

    def together(places: Any, momentum: Any, slope: Any, weights: Any) -> Any:
        centred = momentum / np.nanstd(momentum)
        return honest(places, momentum, slope, weights) + centred

    patch.setitem(composite.COMPOSITES, "legacy_mix", together)


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
    (legacy_mean_of_all_months, legacy_candidates),
    (volatility_of_one_return_more, volatilities),
    (scores_of_the_next_bar, portfolios),
    (coverage_of_later_bars, portfolios),
    (volatility_of_all_bars, portfolios),
    (names_that_last, portfolios),
    (ranks_over_all_bars, promoted),
    (factors_of_the_next_bar, promoted),
    (traded_without_a_lag, books_of),
    (targets_know_the_next_return, books_of),
    (names_that_end_are_not_held, books_of),
    (portfolio_traded_early, books_of),
    (usual_volume_of_all_bars, books_of),
    (follower_of_the_next_score, books_of),
)
AUDITS = tuple(dict.fromkeys(audit for _, audit in MUTANTS))


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
def test_the_stages_as_they_are_pass(audit: Audit) -> None:
    found = audit(market(), fault=False)
    assert [check.verdict for check in found] == ["clean"] * len(found), found
    cells = [check for check in found if check.unit == "cells"]
    assert all(check.known > 40 for check in cells)


@pytest.mark.parametrize(
    ("mutant", "audit"), MUTANTS, ids=lambda function: function.__name__
)
def test_a_fault_is_found(mutant: Callable[[Patch], None], audit: Audit) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        found = audit(market(), fault=True)
    wrong = [check for check in found if not check.good]
    assert wrong, found
    # a crash would be a finding, too, but proves nothing about the comparison
    assert any(check.different for check in wrong), wrong


def test_candidates_that_know_their_month_are_named() -> None:
    with pytest.MonkeyPatch.context() as patch:
        decided_at_the_end_of_the_trade_month(patch)
        found = {check.check: check for check in candidates(market(), fault=True)}
    asof = found[ASOF_CHECK]
    assert asof.different > 0
    assert "asof_date" in asof.worst


def test_the_optimisers_pass_and_each_is_seen_to_look_ahead() -> None:
    honest = optimised()
    assert honest.clean, str(honest)
    with pytest.MonkeyPatch.context() as patch:
        volatility_of_all_bars(patch)
        found = optimised()
    assert {f"weight, {name}" for name in OPTIMISERS} <= set(found.flagged)


def run(panel: Panel, **changes: Any) -> list[Check]:
    config = worlds.audit_config(
        symbols=8, month_cuts=1, modes=["truncated"], modes_at_a_cut=1, **changes
    )
    splits = make_splits(panel.timestamps, 0.6, 0.2, 0)
    labels = worlds.labels_config()
    spec = parse_target("fwd_ret_1d", "1d") if config.families else None
    return monthly_checks(panel, splits, worlds.FACTORS, spec, labels, config)


def test_the_driver_gives_a_row_for_each_stage() -> None:
    families = {"ridge": worlds.FAMILIES["ridge"]}
    found = run(market(150), garch_symbols=2, families=families)
    assert [check.verdict for check in found] == ["clean"] * 9, found
    assert set(CLAIMS) <= {check.check for check in found}
    assert not [check for check in found if "made-up" in check.what]
    for word in ("percentile", "legacy_mix", "ridge"):
        assert [check for check in found if word in check.what], word


def test_optimisers_that_are_not_installed_are_not_covered(monkeypatch: Patch) -> None:
    monkeypatch.setattr(optimisers, "find_spec", lambda name: None)
    config = worlds.audit_config(optimisers=["risk_parity"])
    (found,) = monthly._optimiser_checks(MonthWorld(market()), chosen_cuts(), config)
    assert (found.verdict, found.what) == (NOT_COVERED, "risk_parity")
    assert "pip install" in found.worst


def test_without_sectors_two_are_made_up() -> None:
    panel = market()
    bare = replace(
        panel, sectors=np.full_like(panel.sectors, NO_SECTOR), sector_names=()
    )
    splits = make_splits(bare.timestamps, 0.6, 0.2, 0)
    part, own = sector_slice(bare, splits, worlds.audit_config(symbols=8))
    assert (own, part.sector_names) == (False, MADE_UP)
    found = run(bare, month_bars=100)
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
