"""Features: importance, consensus, agreement, and the choice."""

import numpy as np
import pytest
from planted_world import selection_config, signal_world

from ranking_pipeline.errors import UserError
from ranking_pipeline.selection import consensus, feature_choice
from ranking_pipeline.selection.feature_choice import select_features
from ranking_pipeline.selection.importance import (
    Importances,
    permutation_importance,
    ranks_of,
)
from ranking_pipeline.selection.out_of_fold import fit_family

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


def test_ranks_share_ties_and_skip_missing() -> None:
    np.testing.assert_array_equal(
        ranks_of(np.array([0.3, 0.3 + 1e-15, 0.4, 0.0])), [2.5, 2.5, 1, 4]
    )
    assert np.isnan(ranks_of(np.full(3, np.nan))).all()


@pytest.mark.parametrize(
    ("jaccard", "tau", "state"),
    [(0.7, 0.6, "STABLE"), (0.7, 0.5, "DRIFTING"), (0.5, 0.4, "DRIFTING"),
     (0.9, 0.3, "DIVERGED"), (0.2, 0.9, "DIVERGED")],
)  # fmt: skip
def test_stability_states(jaccard: float, tau: float, state: str) -> None:
    assert consensus.stability_state(jaccard, tau) == state


def test_stability_of_folds_by_hand() -> None:
    first = {"x": np.array([0.4, 0.3, 0.2, 0.1])}
    second = {"x": np.array([0.4, 0.1, 0.3, 0.2])}
    found = Importances(NAMES, {}, [first, second])
    result = consensus.stability(found, top=2)
    assert result.jaccard == pytest.approx(1 / 3)  # {a, b} and {a, c}
    assert result.kendall_tau == pytest.approx(1 / 3)  # 4 pairs agree, 2 do not
    np.testing.assert_allclose(result.share_on_top, [1, 0.5, 0.5, 0])
    alone = consensus.stability(Importances(NAMES, {}, [first]), top=2)
    assert alone.state == "UNKNOWN"


def test_signal_leads_and_shares_sum_to_one() -> None:
    data = signal_world(0.1).data()
    methods = ("native", "shap", "permutation")
    config = selection_config(importance_methods=methods)
    result = select_features(data, ["fwd_ret_1d"], config)
    assert result.selected["fwd_ret_1d"][0] == "signal"
    groups = result.importance.groupby(["family", "method"])["importance"]
    assert len(groups) == 5  # the forest has no TreeSHAP
    np.testing.assert_allclose(groups.sum(), 1.0)
    chosen = result.consensus[result.consensus["selected"]]
    assert (chosen["n_families_agree"] == 2).all()
    assert len(chosen) <= 3
    assert len(result.agreement) == 1


def test_permutation_finds_what_the_model_uses() -> None:
    data = signal_world(0.3).data()
    config = selection_config()
    problem = data.problem("fwd_ret_1d", config).for_models(("noise_00", "signal"))
    train, test = problem.folds(2)[-1]
    model = fit_family(problem.samples.take(train), "lightgbm", config)
    losses = permutation_importance(problem, model, test, 2, seed=0)
    base = np.nanmean(
        problem.measure(model.predict(problem.samples.take(test)).score, test)
    )
    assert losses[1] == pytest.approx(base, abs=0.05)
    assert abs(losses[0]) < 0.05
    again = permutation_importance(problem, model, test, 2, seed=0)
    np.testing.assert_array_equal(losses, again)


def test_blocked_features_are_never_selected() -> None:
    world = signal_world(0.1)
    returns = np.full((500, 40), np.nan)
    returns[world.panel.rows()] = world.labels["fwd_ret_1d"]
    noise = 0.02 * np.random.default_rng(1).normal(size=returns.shape)
    data = world.with_feature("peek", np.nan_to_num(returns) + noise).data()
    result = select_features(data, ["fwd_ret_1d"], selection_config(top_m_features=9))
    assert "peek" not in result.selected["fwd_ret_1d"]
    row = result.consensus.set_index("feature").loc["peek"]
    assert row["reason"].startswith("BLOCKED")
    manual = selection_config(auto=False, manual_features=("signal", "peek"))
    with pytest.raises(UserError, match="peek leaks"):
        select_features(data, ["fwd_ret_1d"], manual)


def test_manual_features_keep_their_order() -> None:
    data = signal_world(0.1).data()
    manual = selection_config(auto=False, manual_features=("vol_20", "signal"))
    result = select_features(data, ["fwd_ret_1d"], manual)
    assert result.selected["fwd_ret_1d"] == ["vol_20", "signal"]
    with pytest.raises(UserError, match="unheard is not in feature_manifest"):
        select_features(
            data,
            ["fwd_ret_1d"],
            selection_config(auto=False, manual_features=("unheard",)),
        )


def test_redundant_twin_is_dropped() -> None:
    world = signal_world(0.1)
    signal = np.full((500, 40), np.nan)
    signal[world.panel.rows()] = world.features["signal"]
    data = world.with_feature("twin", np.exp(signal)).data()  # the same ranks
    free = selection_config(top_m_features=7, require_min_models=1)
    both = select_features(data, ["fwd_ret_1d"], free).selected["fwd_ret_1d"]
    assert {"signal", "twin"} <= set(both)
    pruned = selection_config(
        top_m_features=7, require_min_models=1, max_redundancy=0.95
    )
    result = select_features(data, ["fwd_ret_1d"], pruned)
    assert len({"signal", "twin"} & set(result.selected["fwd_ret_1d"])) == 1
    dropped = result.consensus[~result.consensus["selected"]]
    assert dropped["reason"].str.contains("rank correlation").any()


def test_fallback_is_flagged_capped_and_leak_screened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = signal_world(0.1)
    returns = np.full((500, 40), np.nan)
    returns[world.panel.rows()] = world.labels["fwd_ret_1d"]
    data = world.with_feature("peek", returns).data()
    monkeypatch.setattr(
        feature_choice.importance, "measure_importances", lambda *_: 1 / 0
    )
    config = selection_config(allow_fallback=True, top_m_features=2)
    result = select_features(data, ["fwd_ret_1d"], config)
    chosen = result.selected["fwd_ret_1d"]
    assert chosen[0] == "signal"
    assert len(chosen) == 2
    assert "peek" not in chosen
    flagged = result.consensus[result.consensus["selected"]]["reason"]
    assert flagged.str.startswith("selection_fallback").all()
    with pytest.raises(ZeroDivisionError):
        select_features(data, ["fwd_ret_1d"], selection_config())


def test_no_targets_give_empty_tables() -> None:
    result = select_features(signal_world(0.1).data(), [], selection_config())
    assert result.selected == {}
    assert list(result.consensus.columns) == list(consensus.CONSENSUS_COLUMNS)
    assert len(result.leakage) == 0
