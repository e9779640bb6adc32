"""Consensus and stability, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.selection import consensus
from ranking_pipeline.selection.importance import (
    Importances,
    normalised,
    rank_score,
    ranks_of,
)
from ranking_pipeline.selection.stability import (
    STABILITY_COLUMNS,
    jaccard,
    stability_of,
    stability_state,
    stability_table,
    top_features,
)

NAMES = ("a", "b", "c", "d")


def importances(**shares: list[float]) -> Importances:
    """Keys are ``family_method``."""
    split = {tuple(key.split("_")): np.array(v) for key, v in shares.items()}
    return Importances(NAMES, split)  # type: ignore[arg-type]


def test_consensus_by_hand() -> None:
    found = importances(
        x_native=[0.7, 0.2, 0.1, 0.0],  # ranks 1 2 3 4 -> 1, 2/3, 1/3, 0
        x_permutation=[0.1, 0.9, 0.0, 0.0],  # ranks 2 1 3.5 3.5 -> 2/3, 1, 1/6, 1/6
        y_native=[0.0, 0.5, 0.5, 0.0],  # ranks 3.5 1.5 1.5 3.5 -> 1/6, 5/6, 5/6, 1/6
        z_native=[np.nan] * 4,  # no opinion
    )
    scores = consensus.family_scores(found)
    assert set(scores) == {"x", "y"}
    np.testing.assert_allclose(scores["x"], [5 / 6, 5 / 6, 1 / 4, 1 / 12])
    np.testing.assert_allclose(
        consensus.consensus_score(scores), [1 / 2, 5 / 6, 13 / 24, 1 / 8]
    )


def test_agreement_is_membership_of_the_top_and_not_mere_use() -> None:
    found = importances(x_native=[0.4, 0.3, 0.2, 0.1], y_native=[0.4, 0.2, 0.4, 0.0])
    scores = consensus.family_scores(found)
    votes = consensus.families_agreeing(found, scores, top=2)
    assert list(votes) == [2, 1, 1, 0]  # every feature but one is used by both
    # a list longer than what is used does not make it agreed
    assert list(consensus.families_agreeing(found, scores, top=4)) == [2, 2, 2, 1]
    table = consensus.family_table(
        "t", found, scores, consensus.top_lists(found, scores, 2)
    )
    assert table.groupby("feature")["in_top"].sum().to_list() == [2, 1, 1, 0]


def test_agreement_of_a_pair_by_hand() -> None:
    found = importances(x_native=[0.4, 0.3, 0.2, 0.1], y_native=[0.1, 0.4, 0.3, 0.2])
    scores = consensus.family_scores(found)
    (row,) = consensus.agreement_table("t", scores, NAMES, 2).to_dict("records")
    assert (row["family_a"], row["family_b"]) == ("x", "y")
    # ranks 1 2 3 4 and 4 1 2 3: 1 - 6 (9 + 1 + 1 + 1) / (4 * 15)
    assert row["rank_correlation"] == pytest.approx(-0.2)
    assert row["top_overlap"] == pytest.approx(1 / 3)  # {a, b} and {b, c}


def test_ranks_share_ties_and_skip_missing() -> None:
    np.testing.assert_array_equal(
        ranks_of(np.array([0.3, 0.3 + 1e-15, 0.4, 0.0])), [2.5, 2.5, 1, 4]
    )
    assert np.isnan(ranks_of(np.full(3, np.nan))).all()


def test_shares_are_of_the_positive_part() -> None:
    np.testing.assert_allclose(normalised(np.array([3.0, -2.0, 1.0])), [0.75, 0, 0.25])
    assert np.isnan(normalised(np.array([-1.0, 0.0]))).all()


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=12),
    st.randoms(use_true_random=False),
)
@settings(max_examples=50, deadline=None)
def test_order_of_features_does_not_matter(values: list[int], random: object) -> None:
    names = np.array([f"f{index:02d}" for index in range(len(values))])
    order = np.array(random.sample(range(len(values)), len(values)))  # type: ignore[attr-defined]
    share = np.array(values, dtype=np.float64)
    np.testing.assert_array_equal(rank_score(share)[order], rank_score(share[order]))
    assert top_features(share, names, 3) == top_features(share[order], names[order], 3)


@pytest.mark.parametrize(
    ("overlap", "tau", "state"),
    [(0.7, 0.6, "STABLE"), (0.7, 0.5, "DRIFTING"), (0.5, 0.4, "DRIFTING"),
     (0.9, 0.3, "DIVERGED"), (0.2, 0.9, "DIVERGED")],
)  # fmt: skip
def test_stability_states(overlap: float, tau: float, state: str) -> None:
    assert stability_state(overlap, tau) == state
    assert consensus.stability_state(overlap, tau) == state


def test_stability_of_fits_by_hand() -> None:
    first = {"x": np.array([0.4, 0.3, 0.2, 0.1])}
    second = {"x": np.array([0.4, 0.1, 0.3, 0.2])}
    result = stability_of([first, second], NAMES, top=2)
    assert result.jaccard == pytest.approx(1 / 3)  # {a, b} and {a, c}
    assert result.kendall_tau == pytest.approx(1 / 3)  # 4 pairs agree, 2 do not
    np.testing.assert_allclose(result.share_on_top, [1, 0.5, 0.5, 0])
    assert result.state == "DIVERGED"
    assert stability_of([first], NAMES, top=2).state == "UNKNOWN"
    assert jaccard(frozenset("ab"), frozenset("bcd")) == pytest.approx(1 / 4)
    assert np.isnan(jaccard(frozenset(), frozenset()))


def test_folds_seeds_and_noise_are_told_apart() -> None:
    first = {"x": np.array([0.4, 0.3, 0.2, 0.1])}
    second = {"x": np.array([0.4, 0.1, 0.3, 0.2])}
    found = Importances(
        NAMES, {}, by_fold=[first, first], by_seed=[first, second], by_null=[]
    )
    table = stability_table("t", found, 2)
    assert list(table.columns) == list(STABILITY_COLUMNS)
    row = table.iloc[0]
    assert (row["jaccard"], row["kendall_tau"], row["state"]) == (1, 1, "STABLE")
    assert row["seed_jaccard"] == pytest.approx(1 / 3)
    assert row["seed_kendall_tau"] == pytest.approx(1 / 3)
    assert np.isnan(row["null_jaccard"])
