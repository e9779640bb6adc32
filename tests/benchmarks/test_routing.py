"""Routing benchmark: its goals by hand, and as assertions on embedded markets."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.routing import CHOSEN, one_market
from benchmarks.routing_goals import PLANS, embedded_rows, generated_rows
from benchmarks.routing_market import embedded_market


def table(routed: list[float], **columns: list[float]) -> pd.DataFrame:
    n = len(routed)
    frame = pd.DataFrame({plan: [0.05] * n for plan in PLANS})
    return frame.assign(routed=routed, **columns)


def test_embedded_goals_by_hand() -> None:
    markets = table(
        [0.06] * 28 + [0.05] * 2,
        **{"recall": [0.9] * 30, "false routes": [0.0, 2.0] * 15},
    )
    rows = {row["case"]: row for row in embedded_rows(markets)}
    wins = rows["8 of 96 reversed: routed beats both uniform plans"]
    assert wins["mean"] == pytest.approx(28 / 30)
    assert wins["met"]
    assert not rows["8 of 96 reversed: chosen on validation beats both uniform plans"][
        "met"
    ]
    assert rows["8 of 96 reversed: recall of the reversed"]["met"]
    assert rows["8 of 96 reversed: false symbol routes"]["met"]
    worse = {row["case"]: row for row in embedded_rows(markets.assign(recall=0.89))}
    assert not worse["8 of 96 reversed: recall of the reversed"]["met"]


def test_advantage_is_counted_in_errors_of_all_seeds_together() -> None:
    pairs = [
        (plan, rival)
        for plan in ("routed", "routed, low_rank", CHOSEN)
        for rival in ("pooled LightGBM", "all per symbol")
    ]
    columns = {f"{plan} - {rival}": [0.01, 0.02] for plan, rival in pairs}
    columns |= {f"se {plan} - {rival}": [0.003, 0.004] for plan, rival in pairs}
    shares = ("false share of the others", "share of routes false")
    markets = table([0.1, 0.1], **columns)
    markets = markets.assign(**dict.fromkeys(shares, 0.2), **{"balanced accuracy": 0.9})
    strong = {row["case"]: row for row in generated_rows(markets, 0.25)}
    found = strong["thirds of 500, strength 0.25: routed over pooled LightGBM"]
    assert found["mean"] == pytest.approx(0.03 / 0.005)
    assert (found["goal"], found["met"]) == (">= 2", True)
    assert strong["thirds of 500, strength 0.25: balanced accuracy"]["met"]
    weak = {row["case"]: row for row in generated_rows(markets, 0.06)}
    assert not weak["thirds of 500, strength 0.06: share of routes false"]["met"]
    assert "met" not in weak["thirds of 500, strength 0.06: routed over all per symbol"]


@pytest.mark.slow
def test_goals_on_embedded_markets() -> None:
    """Three markets of seeds that the benchmark does not use."""
    found = pd.DataFrame([one_market(embedded_market(seed)) for seed in (11, 12, 13)])
    best = np.maximum(found["pooled LightGBM"], found["all per symbol"])
    assert (found["routed"] > best).all()
    assert (found[CHOSEN] > best).all()
    assert found["recall"].mean() >= 0.9
    assert found["false routes"].mean() <= 1.0
    assert (found["chosen on validation"] >= found["routed"] - 0.01).all()
