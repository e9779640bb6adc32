"""Learning target: by hand, and against a slow reference."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.learning_target import learning_target

probit = NormalDist().inv_cdf


def test_normal_scores_by_hand() -> None:
    values = np.array([0.1, np.nan, -0.2, 0.1, 5.0, 7.0])
    bars = np.array([0, 0, 0, 0, 0, 1])
    got = learning_target(values, bars, "regression", "cs_gauss")
    # Ranks in bar 0 of four known values: 2.5, -, 1, 2.5, 4.
    middle = probit((2.5 - 0.5) / 4)
    wanted = [middle, np.nan, probit(0.125), middle, probit(0.875), 0.0]
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert got.dtype == np.float32


def test_demeaned_by_hand() -> None:
    values, bars = np.array([1.0, np.nan, 3.0, 5.0]), np.array([7, 7, 7, 2])
    got = learning_target(values, bars, "regression", "cs_demean")
    np.testing.assert_allclose(got, [-1, np.nan, 1, 0])


def test_raw_and_classes_stay() -> None:
    values, bars = np.array([1.0, -1.0, np.nan]), np.zeros(3, dtype=int)
    for task, kind in (("regression", "raw"), ("three_class", "cs_gauss")):
        np.testing.assert_array_equal(
            learning_target(values, bars, task, kind), values.astype(np.float32)
        )


def test_all_unknown_stays_unknown() -> None:
    got = learning_target(
        np.full(3, np.nan), np.zeros(3, int), "regression", "cs_gauss"
    )
    assert np.isnan(got).all()


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"cs_gaus.*cs_gauss"):
        learning_target(np.zeros(1), np.zeros(1, int), "regression", "cs_gaus")


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from([-1.0, 0.0, 0.0, 0.5, 2.0, float("nan")])
        ),
        max_size=40,
    )
)
def test_normal_scores_against_a_slow_reference(rows: list[tuple[int, float]]) -> None:
    bars = np.array([bar for bar, _ in rows], dtype=int)
    values = np.array([value for _, value in rows])
    got = learning_target(values, bars, "regression", "cs_gauss")
    for k, (bar, value) in enumerate(rows):
        peers = [v for b, v in rows if b == bar and not np.isnan(v)]
        if np.isnan(value):
            assert np.isnan(got[k])
            continue
        below, equal = sum(v < value for v in peers), sum(v == value for v in peers)
        rank = below + (equal + 1) / 2
        assert got[k] == pytest.approx(probit((rank - 0.5) / len(peers)), abs=1e-6)
