"""Clusters: correlation of ranks against a slow version, and trees by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_world import selection_config, signal_world

from ranking_pipeline.selection.clusters import (
    best_of_cluster,
    correlation_clusters,
    rank_correlations,
    renumbered,
)


def test_rank_correlations_agree_with_a_slow_version() -> None:
    problem = (
        signal_world(0.1, n_bars=60).data().problem("fwd_ret_1d", selection_config())
    )
    names = ("signal", "noise_01", "vol_20")
    places = [problem.samples.feature_names.index(name) for name in names]
    frame = pd.DataFrame(problem.samples.features[:, places].astype(np.float64))
    ranks = frame.groupby(problem.samples.bars).rank(pct=False)
    size = frame.groupby(problem.samples.bars).transform("count")
    slow = (ranks / (size + 1) - 0.5).to_numpy()
    expected = np.array(
        [[(x @ y) / np.sqrt((x @ x) * (y @ y)) for y in slow.T] for x in slow.T]
    )
    # ranks are among all cells of a bar, of which a few have no label
    np.testing.assert_allclose(rank_correlations(problem, names), expected, atol=2e-3)


def test_average_and_complete_linkage_by_hand() -> None:
    correlations = np.array([[1.0, -0.9, 0.7], [-0.9, 1.0, 0.9], [0.7, 0.9, 1.0]])
    # a and b join at 0.1; c is 0.3 from a and 0.1 from b: 0.2 on average, 0.3 at most
    cut = {"average": [1, 1, 1], "complete": [1, 1, 2]}
    for linkage, expected in cut.items():
        found = correlation_clusters(correlations, 0.79, linkage)
        assert list(found) == expected
    assert list(correlation_clusters(correlations, 0.65, "complete")) == [1, 1, 1]
    assert list(correlation_clusters(correlations, 0.95, "average")) == [1, 2, 3]
    assert list(correlation_clusters(correlations, 1.0, "average")) == [1, 2, 3]


@given(st.integers(0, 10_000), st.sampled_from(["average", "complete"]))
@settings(max_examples=40, deadline=None)
def test_clusters_do_not_depend_on_the_order(seed: int, linkage: str) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(40, 8))
    correlations = np.corrcoef(rows, rowvar=False)
    order = rng.permutation(8)
    whole = correlation_clusters(correlations, 0.7, linkage)
    moved = correlation_clusters(correlations[np.ix_(order, order)], 0.7, linkage)
    np.testing.assert_array_equal(renumbered(whole[order]), moved)
    if linkage == "complete":
        for label in np.unique(whole):
            inside = np.ix_(whole == label, whole == label)
            assert (np.abs(correlations[inside]) >= 0.7 - 1e-5).all()


def test_the_first_eligible_member_leads_its_cluster() -> None:
    clusters = np.array([1, 2, 1, 2, 3])
    eligible = np.array([False, True, True, True, False])
    np.testing.assert_array_equal(best_of_cluster(clusters, eligible), [2, 1, 2, 1, -1])


@pytest.mark.parametrize("linkage", ["average", "complete"])
def test_a_column_that_does_not_vary_stays_alone(linkage: str) -> None:
    correlations = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert list(correlation_clusters(correlations, 0.99, linkage)) == [1, 1, 2]
