"""Volatility over workers: what is asked for, what is kept, and what is fitted again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.portfolio.candidates.candidate_world import panel_of

from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates import garch
from ranking_pipeline.portfolio.candidates import volatility as module
from ranking_pipeline.portfolio.candidates.garch import (
    CONSTANT_PRICE,
    FEW_RETURNS,
    GarchConfig,
    GarchPath,
    fit_months,
)
from ranking_pipeline.portfolio.candidates.garch_fit import (
    DEGENERATE,
    INFINITE_VARIANCE,
    NOT_CONVERGED,
    TIES,
)
from ranking_pipeline.portfolio.candidates.known_fits import Fits
from ranking_pipeline.portfolio.candidates.months import TradeMonths, trade_months
from ranking_pipeline.portfolio.candidates.volatility import VolatilityOverWorkers
from ranking_pipeline.portfolio.candidates.volatility_requests import OwnReturns
from ranking_pipeline.storage import PanelHandle, sha256_file, write_panel

Measure = Callable[..., VolatilityOverWorkers]
DAYS = np.timedelta64(9, "D")
OPTIONS = GarchConfig(
    solver="own",
    window_returns=120,
    min_returns=120,
    ewma_decay=0.94,
    ewma_min_returns=20,
)


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Four names over two years; one halted for a week, one listed late."""
    rng = np.random.default_rng(8)
    closes = 20.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (4, 420)), axis=1))
    closes[1, 300:305] = np.nan
    closes[2, :200] = np.nan
    return panel_of(closes, [0, 0, 1, 1])


def months_of(panel: Panel, last: str | None = None) -> TradeMonths:
    return trade_months(panel.trading_dates, first=None, last=last, history_bars=60)


def wanted_of(panel: Panel, months: TradeMonths) -> np.ndarray:
    wanted = panel.tradable[:, months.bars].T.copy()
    wanted[:, 3] = False
    return wanted


@pytest.fixture
def measure(base_parameters: dict[str, Any], tmp_path: Path) -> Measure:
    """Volatilities of a stored panel."""

    def make(panel: Panel, **cache: Any) -> VolatilityOverWorkers:
        path = tmp_path / f"panel-{len(list(tmp_path.glob('panel-*')))}"
        write_panel(panel, path)
        jobs = {
            **base_parameters["jobs"], "engine": "serial",
            "ledger": str(tmp_path / "ledger"),
        }  # fmt: skip
        kept = {**base_parameters["cache"], "store": str(tmp_path / "cache"), **cache}
        return VolatilityOverWorkers(
            PanelHandle(str(path), sha256_file(path)),
            OPTIONS,
            JobsConfig.model_validate(jobs),
            CacheConfig.model_validate(kept),
        )

    return make


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ends of every call of the fit, which is replaced by a quick one."""
    seen: list[int] = []

    def fake(returns: np.ndarray, ends: np.ndarray, options: GarchConfig) -> GarchPath:
        seen.extend(ends.tolist())
        windows = [
            returns[max(e + 1 - options.window_returns, 0) : e + 1] for e in ends
        ]
        n = len(ends)
        return GarchPath(
            np.array([np.sqrt(np.mean(w**2)) for w in windows]),
            np.full(n, "ewma"),
            np.full(n, "few_returns"),
            np.array([len(w) for w in windows]),
            np.full(n, np.nan),
            np.zeros(n, bool),
            np.full(n, np.nan),
        )

    monkeypatch.setattr(module, "fit_months", fake)
    return seen


def test_each_name_is_measured_on_its_own_returns_up_to_the_as_of_bar(
    panel: Panel, measure: Measure, fitted: list[int]
) -> None:
    months = months_of(panel)
    wanted = wanted_of(panel, months)
    found = measure(panel)(panel, months, wanted)
    closes = panel.field("close").astype(np.float64)
    for month, symbol in np.argwhere(wanted):
        row = closes[symbol, : months.bars[month] + 1]
        row = row[np.isfinite(row)]
        returns = (row[1:] / row[:-1] - 1.0)[-120:]
        cell = month, symbol
        assert found.volatility[cell] == pytest.approx(np.sqrt(np.mean(returns**2)))
        assert found.n_returns[cell] == len(returns)
        assert (found.source[cell], found.reason[cell]) == ("ewma", "few_returns")
    assert np.isnan(found.volatility[~wanted]).all()
    assert (found.source[~wanted] == "").all()
    assert len(fitted) == wanted.sum()


def test_the_workers_call_the_real_fit(panel: Panel, measure: Measure) -> None:
    months = months_of(panel)
    wanted = np.zeros((len(months.bars), 4), dtype=bool)
    wanted[-2:, 0] = True
    over = measure(panel)
    found = over(panel, months, wanted)
    own = OwnReturns.of(panel.field("close")[0].astype(np.float64))
    path = fit_months(own.returns, own.counts(months.bars[-2:]) - 1, OPTIONS)
    assert path.source.tolist() == ["garch", "garch"]
    np.testing.assert_array_equal(found.volatility[-2:, 0], path.volatility)
    np.testing.assert_array_equal(found.persistence[-2:, 0], path.persistence)


def test_what_is_known_is_not_fitted_again(
    panel: Panel, measure: Measure, fitted: list[int]
) -> None:
    months = months_of(panel)
    wanted = wanted_of(panel, months)
    first = measure(panel)
    before = first(panel, months, wanted)
    assert (first.costs.n_jobs, first.costs.n_cached) == (3, 0)
    fitted.clear()
    second = measure(panel)
    after = second(panel, months, wanted)
    assert fitted == []
    assert (second.costs.n_jobs, second.costs.n_cached) == (3, 3)
    for name, values in vars(before).items():
        np.testing.assert_array_equal(values, getattr(after, name))
    forced = measure(panel, force_refresh=True)
    np.testing.assert_array_equal(
        forced(panel, months, wanted).volatility, before.volatility
    )
    assert len(fitted) == wanted.sum()


def test_a_month_is_fitted_once_whatever_months_and_bars_are_asked_for(
    panel: Panel, measure: Measure, fitted: list[int]
) -> None:
    whole = months_of(panel, "2021-03")
    wanted = wanted_of(panel, whole)
    expected = measure(panel, enabled=False)(panel, whole, wanted)
    short = panel.cut(slice(0, int(whole.bars[-2]) + 1))
    fitted.clear()
    some = TradeMonths(whole.months[3:-1], whole.bars[3:-1])
    measure(short)(short, some, wanted[3:-1])
    assert len(fitted) == wanted[3:-1].sum()
    fitted.clear()
    found = measure(panel)(panel, whole, wanted)
    assert len(fitted) == wanted[:3].sum() + wanted[-1].sum() > 3
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(values, getattr(found, name))


def test_later_bars_and_other_names_leave_what_is_known(
    panel: Panel, measure: Measure, fitted: list[int]
) -> None:
    months = months_of(panel, "2020-12")
    wanted = wanted_of(panel, months)
    measure(panel)(panel, months, wanted)
    fitted.clear()
    values = panel.values.copy()
    values[:, months.bars[-1] + 1 :] *= 2.0
    values[3] *= 3.0
    moved = panel_of(values[:, :, 3].astype(np.float64), [0, 0, 1, 1])
    measure(moved)(moved, months, wanted)
    assert fitted == []


def test_a_moved_close_is_fitted_again_where_a_window_holds_it(
    panel: Panel, measure: Measure, fitted: list[int]
) -> None:
    months = months_of(panel)
    wanted = wanted_of(panel, months)
    measure(panel)(panel, months, wanted)
    fitted.clear()
    closes = panel.field("close").astype(np.float64)
    closes[0, 150] *= 1.5
    moved = panel_of(closes, [0, 0, 1, 1])
    found = measure(moved)(moved, months, wanted)
    holds = (months.bars >= 150) & (months.bars - 120 < 151)
    assert len(fitted) == holds.sum() > 0
    cold = measure(moved, enabled=False)(moved, months, wanted)
    for name, values in vars(cold).items():
        np.testing.assert_array_equal(values, getattr(found, name))


def test_an_old_fit_is_not_believed_though_its_entry_has_grown_since(
    panel: Panel, measure: Measure, fitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_now = Fits.made_now

    def long_ago(*args: Any) -> Fits:
        return replace(made_now(*args), born=made_now(*args).born - DAYS)

    months = months_of(panel)
    wanted = wanted_of(panel, months)
    early, late = wanted.copy(), wanted.copy()
    early[-2:], late[:-2] = False, False
    with monkeypatch.context() as patched:
        patched.setattr(Fits, "made_now", long_ago)
        measure(panel)(panel, months, early)
    measure(panel)(panel, months, late)
    fitted.clear()
    measure(panel, ttl_days=5.0)(panel, months, wanted)
    assert len(fitted) == early.sum()


def test_a_failed_name_stops_the_run_and_keeps_the_others(
    panel: Panel, measure: Measure, fitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    months = months_of(panel)
    wanted = wanted_of(panel, months)
    works, late = module.fit_months, panel.field("close")[2].astype(np.float64)
    first = OwnReturns.of(late).returns[0]

    def fails(returns: np.ndarray, ends: np.ndarray, options: GarchConfig) -> GarchPath:
        if returns[0] == first:
            raise FloatingPointError("no fit")
        return works(returns, ends, options)

    with monkeypatch.context() as patched:
        patched.setattr(module, "fit_months", fails)
        with pytest.raises(UserError, match="S002 failed: FloatingPointError: no fit"):
            measure(panel)(panel, months, wanted)
    fitted.clear()
    measure(panel)(panel, months, wanted)
    assert len(fitted) == wanted[:, 2].sum()


def test_no_reason_is_cut_short(
    panel: Panel, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = [
        FEW_RETURNS, CONSTANT_PRICE, NOT_CONVERGED, TIES, DEGENERATE, INFINITE_VARIANCE,
    ]  # fmt: skip
    monkeypatch.setattr(garch, "fit_garch", lambda returns, solver: told)
    months = months_of(panel)
    wanted = np.zeros((len(months.bars), 4), dtype=bool)
    wanted[-1, 0] = True
    for told in reasons:
        found = measure(panel, enabled=False)(panel, months, wanted)
        assert (found.source[-1, 0], found.reason[-1, 0]) == ("ewma", told)
