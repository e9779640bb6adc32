"""The live ranking: percentiles, signals, tails and who is left out."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.portfolio.prediction_world import (
    FakeModel,
    candidates,
    market,
    parameters,
    without_bars,
)

from ranking_pipeline.portfolio.live_ranking import live_ranking
from ranking_pipeline.portfolio.predicted_months import (
    _live_refusal,
    predict_months,
)


@pytest.fixture(scope="module")
def panel() -> Any:
    return market(n_symbols=12, n_bars=110)


def test_percentiles_and_signals_by_hand(panel: Any) -> None:
    found = live_ranking(panel, np.arange(12.0), parameters())
    assert found["symbol"].tolist() == [f"S{i:02d}" for i in range(11, -1, -1)]
    assert found["rank"].tolist() == [*range(1, 13)]
    np.testing.assert_allclose(found["percentile"], (np.arange(12, 0, -1) - 0.5) / 12)
    normal = [NormalDist().inv_cdf(p) for p in found["percentile"]]
    np.testing.assert_allclose(found["signal"], normal, atol=1e-9)
    assert abs(found["signal"].sum()) < 1e-12
    assert found["leg"].tolist() == ["long", *[""] * 10, "short"]
    stamp = pd.Timestamp(panel.timestamps[-1], tz="UTC")
    assert (found["timestamp"] == stamp).all()


def test_names_that_cannot_be_ranked_are_told(panel: Any) -> None:
    gone = without_bars(panel, 2, slice(100, 110))
    gone = without_bars(gone, 3, slice(90, 100))
    scores = np.arange(12.0)
    scores[4] = np.nan
    found = live_ranking(gone, scores, parameters())
    left = found[found["rank"].isna()]
    assert dict(zip(left["symbol"], left["excluded"], strict=True)) == {
        "S02": "missing_bar",
        "S03": "low_coverage",
        "S04": "score_not_finite",
    }
    assert found["rank"].notna().sum() == 9
    assert (left["reason"] != "").all()


def test_a_model_of_all_bars_may_rank_at_the_last_one_and_no_earlier(
    panel: Any,
) -> None:
    table = candidates(panel, "2020-05")
    model = FakeModel()
    found = predict_months(table, panel, None, model, parameters(min_valid_stocks=1))
    assert found.live["rank"].notna().all()
    assert model.asked[0][-1] == panel.n_bars - 1
    newer = FakeModel(until=panel.timestamps[-1] + np.timedelta64(1, "D"))
    ranking = live_ranking(panel, np.arange(12.0), parameters())
    assert ranking["rank"].notna().all()
    assert _live_refusal(panel, FakeModel(until=panel.timestamps[-1])) is None
    refusal = _live_refusal(panel, newer)
    assert refusal is not None
    assert set(
        live_ranking(panel, np.zeros(12), parameters(), refusal)["excluded"]
    ) == {"in_sample"}
    silent = _live_refusal(panel, FakeModel(until=None))
    assert silent is not None
    assert silent.code == "in_sample"
    assert "does not tell until when it was informed" in silent.sentence
