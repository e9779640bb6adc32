"""Filters: facts by hand, and what each filter refuses."""

from typing import Any

import numpy as np
import pytest
from planted_world import NO_FILTERS, selection_config, signal_world
from scipy.stats import spearmanr

from ranking_pipeline.selection.config import FeatureFilterConfig
from ranking_pipeline.selection.filters import (
    feature_facts,
    mutual_information,
    rank_variance,
    univariate_scores,
)
from ranking_pipeline.selection.problem import Problem


def problem() -> Problem:
    world = signal_world(0.1)
    rng = np.random.default_rng(9)
    holes = np.where(rng.random((500, 40)) < 0.4, np.nan, rng.normal(size=(500, 40)))
    constant = np.repeat(rng.normal(size=(500, 1)), 40, axis=1)
    world = world.with_feature("holes", holes).with_feature("constant", constant)
    return world.data().problem("fwd_ret_1d", selection_config())


def facts(**limits: Any) -> dict[str, Any]:
    config = FeatureFilterConfig.model_validate({**NO_FILTERS, **limits})
    found = feature_facts(
        problem(), ("signal", "noise_00", "holes", "constant"), config
    )
    return found.set_index("feature")  # type: ignore[no-any-return]


def test_facts_of_known_columns() -> None:
    found = facts()
    assert (found["reason"] == "").all()
    assert found["coverage"]["holes"] == pytest.approx(0.6, abs=0.02)
    assert found["coverage"]["signal"] == 1
    assert found["rank_variance"]["constant"] == pytest.approx(0, abs=1e-12)
    assert found["rank_variance"]["signal"] == pytest.approx(0.95, abs=0.03)
    assert found["ic"]["signal"] == pytest.approx(0.1, abs=0.03)
    assert found["ic_t"]["signal"] > 4 > abs(found["ic_t"]["noise_00"])
    assert found["mutual_information"]["signal"] > 0.002
    assert abs(found["mutual_information"]["noise_00"]) < 0.002


def test_ic_agrees_with_a_slow_version() -> None:
    whole = problem()
    column = whole.samples.feature_names.index("signal")
    slow = [
        spearmanr(whole.samples.features[here, column], whole.outcome[here]).statistic
        for here in (whole.samples.bars == bar for bar in np.unique(whole.samples.bars))
    ]
    assert facts()["ic"]["signal"] == pytest.approx(np.mean(slow), abs=2e-3)


@pytest.mark.parametrize(
    ("limit", "refused"),
    [
        ({"min_coverage": 0.9}, {"holes"}),
        ({"min_rank_variance": 0.5}, {"constant"}),
        ({"min_abs_ic_t": 4.0}, {"noise_00", "holes", "constant"}),
        ({"min_mutual_information": 0.002}, {"noise_00", "holes", "constant"}),
    ],
)
def test_a_filter_refuses_what_is_below_it(
    limit: dict[str, float], refused: set[str]
) -> None:
    found = facts(**limit)
    below = found[found["reason"] != ""]
    assert set(below.index) == refused
    assert below["reason"].str.startswith("filter: ").all()


def test_rank_variance_by_hand() -> None:
    assert rank_variance(np.array([0.25, 0.5, 0.75, np.nan])) == pytest.approx(0.5)
    assert rank_variance(np.full(3, np.nan)) == 0


def test_mutual_information_by_hand() -> None:
    rank = (np.arange(8000) + 0.5) / 8000
    # equal columns: the entropy of eight equal bins, less 49 / (2 n)
    expected = np.log(8) - 49 / 16000
    assert mutual_information(rank, rank) == pytest.approx(expected)
    # a fold of it is seen as well, though no rank correlation sees it
    folded = np.abs(rank - 0.5) * 1.999
    assert mutual_information(rank, folded) == pytest.approx(np.log(4), abs=0.02)
    assert np.isnan(mutual_information(np.full(3, np.nan), rank[:3]))


def test_independent_columns_have_none_on_average() -> None:
    rng = np.random.default_rng(0)
    draws = [mutual_information(*rng.random((2, 2000))) for _ in range(200)]
    # standard deviation of one is sqrt(2 * 49) / (2 * 2000) = 0.0025
    assert abs(np.mean(draws)) < 4 * 0.0025 / np.sqrt(200)


def test_univariate_scores_lead_with_the_signal() -> None:
    whole = problem()
    scores = dict(
        zip(whole.samples.feature_names, univariate_scores(whole), strict=True)
    )
    assert max(scores, key=lambda name: scores[name]) == "signal"
    assert scores["constant"] == 0
