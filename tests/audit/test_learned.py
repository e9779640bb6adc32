"""What is learned under audit: fitted objects, model bytes and scores."""

from __future__ import annotations

import pytest
from tests.audit import worlds

from ranking_pipeline.audit.artefacts import compare_digests
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.learned import (
    BARS_CHECK,
    ROWS_CHECK,
    SCORES_CHECK,
    learned_checks,
)
from ranking_pipeline.panel import Panel

CUTS = (Cut(140, "test block"), Cut(155, "test block"))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return worlds.daily_market(6, n_symbols=8, n_bars=170)


def test_nothing_that_is_fitted_sees_past_the_train_span(panel: Panel) -> None:
    found = learned_checks(worlds.world(panel), CUTS)
    assert [check.check for check in found] == [BARS_CHECK, ROWS_CHECK, SCORES_CHECK]
    assert [check.verdict for check in found] == ["clean"] * 3, found
    assert found[0].what == "lightgbm, ridge, rows selected on, rows trained on"
    assert (found[0].compared, found[0].different) == (4, 0)
    # Two families, six ways, the bars up to each cut.
    assert found[2].compared == panel.n_symbols * 2 * 6 * (141 + 156)


def test_the_ranking_network_does_not_either(panel: Panel) -> None:
    found = learned_checks(worlds.world(panel, families={}, network=True), CUTS)
    assert [check.verdict for check in found] == ["clean"] * 3, found
    assert "channel scale, network" in found[0].what
    assert found[2].what == "network"


def test_digests_are_compared_by_name() -> None:
    honest = {"plan": "a", "models": "b", "features": "c"}
    same = compare_digests(
        "claim", honest, {**honest, "features": "d"}, must_differ=["features"]
    )
    assert (same.compared, same.different, same.verdict) == (3, 0, "clean")
    other = compare_digests("claim", honest, {"plan": "a", "models": "x", "extra": "y"})
    assert (other.compared, other.different) == (4, 3)
    assert other.worst == "extra, features, models changed"


def test_an_alteration_that_did_not_arrive_proves_nothing() -> None:
    honest = {"plan": "a", "features": "c"}
    check = compare_digests("claim", honest, honest, must_differ=["features"])
    assert check.verdict == "looks ahead"
    assert check.worst == "the other bars did not reach features"
