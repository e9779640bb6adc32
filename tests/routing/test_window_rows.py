"""Rows of a window: never fewer than a fit has, and windows that are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_examples import business_days, setting

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.routing.plan import assemble_plan, families_of
from ranking_pipeline.routing.plan_schema import read_training_plan
from ranking_pipeline.routing.render_plan import plan_markdown
from ranking_pipeline.routing.window_rows import TradableBars
from ranking_pipeline.training.window import WindowBars


def counts(tradable: np.ndarray) -> TradableBars:
    n_symbols, n_bars = tradable.shape
    values = np.ones((n_symbols, n_bars, 1), dtype=np.float32)
    days = np.datetime64("2020-01-01", "ns") + np.arange(n_bars).astype("m8[D]")
    names = tuple(f"S{i}" for i in range(n_symbols))
    return TradableBars.of(Panel(names, days, ("close",), values, tradable))


def test_rows_by_hand() -> None:
    tradable = np.ones((2, 20), dtype=bool)
    tradable[1, :6] = False
    window = WindowBars(train_first=2, train_last=11, predict_first=13, predict_last=19)
    tell = counts(tradable).most_rows
    # labels known by bar 11: the last decision is at bar 10
    assert tell(window, 0.0, 1, "S0") == 9
    assert tell(window, 0.0, 1, "S1") == 5
    assert tell(window, 0.0, 1, None) == 14
    # bars 10 and 11 held out, one bar of embargo: labels known by bar 8
    assert tell(window, 0.2, 1, "S0") == 6
    assert tell(window, 0.2, 20, "S0") == 0


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0, 0.5),
    embargo=st.integers(0, 4),
    lag=st.integers(0, 2),
)
def test_no_fit_has_more_rows(seed: int, share: float, embargo: int, lag: int) -> None:
    random = np.random.default_rng(seed)
    tradable = random.random((3, 40)) < 0.8
    first = int(random.integers(0, 10))
    last = int(random.integers(first, 30))
    window = WindowBars(first, last, last + 1 + embargo, 39)
    symbols, bars = np.nonzero(tradable)
    ends = bars + lag + random.integers(1, 4, len(bars))
    fit, _ = window.parted(bars, ends, share, embargo)
    tell = counts(tradable).most_rows
    for symbol in range(3):
        most = tell(window, share, embargo, f"S{symbol}")
        assert int((fit & (symbols == symbol)).sum()) <= most
    assert int(fit.sum()) <= tell(window, share, embargo, None)


def _wanted(symbol: str | None) -> dict[str, Any]:
    return {
        "target": "fwd_ret_1d",
        "symbol": symbol,
        "view": "cross_section",
        "route": "CROSS_SECTIONAL" if symbol is None else "SYMBOL_SPECIFIC",
        "features": ("a", "b"),
        "n_rows": 500,
        "reason": "",
    }


def _plan(min_train_rows: int) -> dict[str, Any]:
    """A symbol that is listed 30 bars before validation, which begins at bar 364."""
    axis = business_days()
    tradable = np.ones((3, len(axis.timestamps)), dtype=bool)
    tradable[2, :334] = False
    where = setting(axis, refit_months=3, min_train_rows=min_train_rows)
    where = replace(where, tradable=counts(tradable))
    wanted = [_wanted(None), _wanted("S1"), _wanted("S2")]
    metadata = families_of(where.training)
    return assemble_plan(wanted, where, status="selected", metadata=metadata)


def test_windows_that_cannot_have_enough_rows_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = _plan(1)
    # the first span ends at bar 363 and holds 55 of its bars out, all bars of S2 with it
    assert whole["metadata"]["too_few_rows"] == {"sym_fwd_ret_1d_S2_w001": 0}
    assert len(whole["jobs"]) == 8
    plan = _plan(100)
    ids = {job["job_id"] for job in plan["jobs"]}
    left = plan["metadata"]["too_few_rows"]
    assert left.keys() == {"sym_fwd_ret_1d_S2_w001", "sym_fwd_ret_1d_S2_w002",
                           "sym_fwd_ret_1d_S2_w003"}  # fmt: skip
    assert not ids & left.keys()
    assert plan["summary"]["total_jobs"] == len(ids) == 6
    assert read_training_plan(plan).model_dump(mode="json") == plan
    assert "plan: 3 of 9 jobs have fewer rows to fit" in caplog.text
    text = plan_markdown(plan)
    assert "Left out, because fewer than `min_train_rows` 100" in text
    assert "sym_fwd_ret_1d_S2_w001 (0)" in text


def test_a_plan_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(UserError, match=r"9 of 9 jobs .* nothing is left to plan"):
        _plan(10_000)
