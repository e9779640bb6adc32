"""Words of the routing plan's overview."""

from __future__ import annotations

from ranking_pipeline.routing.render import _own_models
from ranking_pipeline.routing.router import _count


def test_symbols_that_follow_a_pooled_trial_have_no_model_of_their_own() -> None:
    choices = {
        "A": {"route": "SYMBOL_SPECIFIC", "state": "OK"},
        "B": {"route": "EXPERIMENTAL", "state": "EXPERIMENTAL"},
        "C": {"route": "EXPERIMENTAL", "state": "DISALLOWED"},
        "D": {"route": "CROSS_SECTIONAL", "state": "DISALLOWED"},
    }
    assert _own_models({"symbols": choices}) == "1 of 4, 1 on trial"
    assert _own_models({"symbols": {}}) == "not compared"


def test_hopeful_symbols_are_on_trial_only_without_a_good_pooled_model() -> None:
    symbols = [{"state": "OK"}, {"state": "EXPERIMENTAL"}, {"state": "DISALLOWED"}]
    own = "1 of 3 symbols earn a model of their own"
    assert _count({"state": "OK"}, symbols) == f"{own}, 1 more would be hopeful"
    assert _count({"state": "DISALLOWED"}, symbols) == f"{own}, 1 more on trial"
