"""The library under audit: no registered factor looks ahead, or back too far."""

from __future__ import annotations

import numpy as np
import pytest
from tests.audit import worlds

from ranking_pipeline.audit.cuts import Cut, cuts
from ranking_pipeline.audit.feature_checks import audit_features, audit_warm_up
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.features import compute_features, factor_names
from ranking_pipeline.features.selection import find_factors
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import make_splits

COARSE = ("ret_1@1h", "vol_5@1h", "ret_1@1d", "rank_ret_1@1h")


@pytest.fixture(scope="module")
def intraday() -> Panel:
    return worlds.intraday_market(5, n_symbols=9, n_days=26, per_day=13)


def chosen(panel: Panel, most: int) -> tuple[Cut, ...]:
    splits = make_splits(panel.timestamps, 0.6, 0.2, 0)
    return cuts(panel, splits, 2, 0, at_most=most)


def test_no_registered_factor_looks_ahead_on_daily_bars(market: Panel) -> None:
    result = audit_features(market, factor_names(), chosen(market, 7), MODES, 3, 0)
    assert result.clean, str(result)
    assert (result.different >= 0).any(axis=(0, 1)).all()


def test_no_registered_factor_looks_ahead_inside_sessions(intraday: Panel) -> None:
    names = [*factor_names(), *COARSE]
    result = audit_features(intraday, names, chosen(intraday, 7), MODES, 3, 0)
    assert result.clean, str(result)


def test_the_audit_sees_values_of_every_factor(market: Panel, intraday: Panel) -> None:
    """A column of missing values would pass any comparison."""
    daily = np.isfinite(compute_features(market)).any(axis=(0, 1))
    shorter = np.isfinite(compute_features(intraday)).any(axis=(0, 1))
    unseen = np.array(factor_names())[~(daily | shorter)]
    assert unseen.tolist() == []


@pytest.mark.parametrize("name", ["market", "intraday"])
def test_the_declared_look_back_suffices(
    name: str, request: pytest.FixtureRequest
) -> None:
    panel: Panel = request.getfixturevalue(name)
    result = audit_warm_up(panel, factor_names(), 4, 0)
    assert result.clean, str(result)
    expanding = [f.name for f in find_factors(None) if f.expanding]
    assert len(result.names) == len(factor_names()) - len(expanding)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["market", "intraday"])
def test_at_every_bar(name: str, request: pytest.FixtureRequest) -> None:
    panel: Panel = request.getfixturevalue(name)
    every = cuts(panel, None, 0, 0, every=True)
    result = audit_features(panel, factor_names(), every, MODES, 2, 0)
    assert result.clean, str(result)
