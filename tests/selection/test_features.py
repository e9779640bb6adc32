"""Features: the whole choice, from the leakage screen to the top list."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted_world import (
    LENIENT,
    RIDGE,
    SMALL_TREES,
    World,
    empty_world,
    selection_config,
    signal_world,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.selection import target_choice
from ranking_pipeline.selection.choice import COLUMNS, STATUSES, Choice
from ranking_pipeline.selection.feature_choice import select_features

TARGET = "fwd_ret_1d"
MLP = {
    "mlp": {
        "hidden": 8, "layers": 1, "dropout": 0.1, "regression_loss": "huber",
        "loss_parameters": {}, "epochs": 3, "timestamps_per_batch": 32,
        "learning_rate": 0.01, "weight_decay": 0.01, "gradient_clip": 1.0,
        "patience": 5, "min_delta": 0.0, "device": "cpu", "clip_sigma": 3.0,
    }
}  # fmt: skip


def dense(world: World, column: str) -> np.ndarray:
    """A column of the features or labels as a (T, S) matrix."""
    frame = world.features if column in world.features else world.labels
    matrix = np.full((world.panel.n_bars, world.panel.n_symbols), np.nan)
    matrix[world.panel.rows()] = frame[column]
    return matrix


def leaking_world() -> World:
    world = signal_world(0.1)
    noise = 0.02 * np.random.default_rng(1).normal(size=(500, 40))
    return world.with_feature("peek", np.nan_to_num(dense(world, TARGET)) + noise)


def test_signal_leads_and_shares_sum_to_one() -> None:
    data = signal_world(0.1).data()
    methods = ("native", "shap", "permutation")
    config = selection_config(importance_methods=methods)
    result = select_features(data, [TARGET], config)
    assert result.selected[TARGET][0] == "signal"
    groups = result.importance.groupby(["family", "method"])["importance"]
    assert len(groups) == 5
    np.testing.assert_allclose(groups.sum(), 1.0)
    chosen = result.consensus[result.consensus["selected"]]
    assert (chosen["n_families_agree"] == 2).all()
    assert len(chosen) <= 3
    assert len(result.agreement) == 1
    (outcome,) = result.outcomes.to_dict("records")
    assert outcome["status"] == "chosen"
    assert "random_forest has no shap" in outcome["reason"]
    assert outcome["n_features"] == len(chosen)


def test_network_and_ridge_have_a_say() -> None:
    options = {
        "model_families": ("lightgbm", "mlp", "ridge"),
        "family_parameters": {**SMALL_TREES, **RIDGE, **MLP},
        "importance_methods": ("native", "shap", "permutation"),
        "leakage": LENIENT,
    }
    result = select_features(
        signal_world(0.3).data(), [TARGET], selection_config(**options)
    )
    asked = set(
        zip(result.importance["family"], result.importance["method"], strict=True)
    )
    trees = {("lightgbm", method) for method in ("native", "shap", "permutation")}
    linear = {("ridge", method) for method in ("native", "shap", "permutation")}
    assert asked == trees | linear | {("mlp", "permutation")}
    assert "mlp has no native; mlp has no shap" in result.outcomes["reason"].iloc[0]
    scores = result.family_scores.set_index(["family", "feature"])["score"]
    assert scores["mlp", "signal"] == scores["ridge", "signal"] == 1


def test_classes_are_chosen_for_as_well() -> None:
    world = signal_world(0.3)
    sides = np.sign(dense(world, TARGET)) * (np.abs(dense(world, TARGET)) > 0.005)
    world = world.with_target("touch", sides, 1, "three_class", "barrier")
    result = select_features(world.data(), ["touch"], selection_config(leakage=LENIENT))
    assert result.selected["touch"][0] == "signal"


def test_order_of_the_features_does_not_matter() -> None:
    world = signal_world(0.1)
    turned = replace(
        world,
        feature_manifest=world.feature_manifest.iloc[::-1].reset_index(drop=True),
    )
    options = {"model_families": ("ridge",), "family_parameters": RIDGE}
    config = selection_config(
        **options, require_min_models=1, importance_methods=("native",)
    )
    first, second = (
        select_features(one.data(), [TARGET], config) for one in (world, turned)
    )
    assert first.selected == second.selected
    np.testing.assert_allclose(
        first.consensus["consensus_score"], second.consensus["consensus_score"]
    )


def test_noise_features_do_not_agree_beyond_chance() -> None:
    world = empty_world(400, 30, 20, 3)
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.normal(size=(400, 30))
    world = world.with_target(TARGET, returns, 1, "regression", "forward_return")
    config = selection_config(
        top_m_features=5, require_min_models=1, importance_methods=("permutation",)
    )
    result = select_features(world.data(), [TARGET], config)
    lists = result.family_scores.pivot(
        index="feature", columns="family", values="in_top"
    ).astype(float)
    both = int((lists.sum(axis=1) == 2).sum())
    # hypergeometric: 5 of 21 twice has 1.19 in common, and 4 or more in 0.7 %
    assert both <= 3


def test_blocked_features_are_never_selected() -> None:
    data = leaking_world().data()
    result = select_features(data, [TARGET], selection_config(top_m_features=9))
    assert "peek" not in result.selected[TARGET]
    row = result.consensus.set_index("feature").loc["peek"]
    assert row["reason"].startswith("BLOCKED")
    manual = selection_config(auto=False, manual_features=("signal", "peek"))
    with pytest.raises(UserError, match="peek leaks"):
        select_features(data, [TARGET], manual)


def test_manual_features_keep_their_order() -> None:
    data = signal_world(0.1).data()
    manual = selection_config(auto=False, manual_features=("vol_20", "signal"))
    result = select_features(data, [TARGET], manual)
    assert result.selected[TARGET] == ["vol_20", "signal"]
    assert result.outcomes["status"].to_list() == ["manual"]
    for wrong, text in (
        ("unheard", "unheard is not in feature_manifest"),
        (None, "empty"),
    ):
        names = () if wrong is None else (wrong,)
        config = selection_config(auto=False, manual_features=names)
        with pytest.raises(UserError, match=text):
            select_features(data, [TARGET], config)


@pytest.mark.parametrize("linkage", ["average", "complete"])
def test_exactly_one_of_two_equal_features_survives(linkage: str) -> None:
    world = signal_world(0.1)
    data = world.with_feature("twin", np.exp(dense(world, "signal"))).data()
    free = selection_config(top_m_features=7, require_min_models=1)
    both = select_features(data, [TARGET], free).selected[TARGET]
    assert {"signal", "twin"} <= set(both)
    pruned = free.model_copy(
        update={"max_redundancy": 0.95, "cluster_linkage": linkage}
    )
    result = select_features(data, [TARGET], pruned)
    (kept,) = {"signal", "twin"} & set(result.selected[TARGET])
    rows = result.consensus.set_index("feature")
    assert rows["cluster"]["signal"] == rows["cluster"]["twin"]
    assert rows["cluster"].nunique() == len(rows) - 1
    (lost,) = {"signal", "twin"} - {kept}
    assert rows["reason"][lost].startswith(f"redundant: {kept} leads cluster")
    assert rows["consensus_score"][kept] >= rows["consensus_score"][lost]


def test_a_filtered_feature_is_neither_measured_nor_selected() -> None:
    world = signal_world(0.1).with_feature("flat", np.ones((500, 40)))
    filters = {**selection_config().filters.model_dump(), "min_rank_variance": 0.5}
    config = selection_config(filters=filters, top_m_features=9)
    result = select_features(world.data(), [TARGET], config)
    row = result.consensus.set_index("feature").loc["flat"]
    assert row["reason"].startswith("filter: variance of ranks")
    assert not row["selected"]
    assert "flat" not in set(result.importance["feature"])
    assert result.filters["reason"].ne("").sum() == 1


def test_stability_is_reported_over_folds_seeds_and_noise() -> None:
    config = selection_config(stability_seeds=2, stability_null=True, stability_top=2)
    (row,) = select_features(
        signal_world(0.1).data(), [TARGET], config
    ).stability.to_dict("records")
    assert (row["n_folds"], row["n_seeds"]) == (2, 2)
    for name in ("jaccard", "seed_jaccard", "null_jaccard"):
        assert 0 <= row[name] <= 1
    for name in ("kendall_tau", "seed_kendall_tau", "null_kendall_tau"):
        assert -1 <= row[name] <= 1
    assert row["state"] in {"STABLE", "DRIFTING", "DIVERGED"}


def break_importances(monkeypatch: pytest.MonkeyPatch, only: str | None = None) -> None:
    measure = target_choice.importance.measure_importances

    def broken(problem: Any, *rest: Any) -> Any:
        if only in (None, problem.target):
            raise ZeroDivisionError("no trees grew")
        return measure(problem, *rest)

    monkeypatch.setattr(target_choice.importance, "measure_importances", broken)


def test_fallback_is_flagged_capped_and_leak_screened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = leaking_world().data()
    break_importances(monkeypatch)
    config = selection_config(allow_fallback=True, top_m_features=2)
    result = select_features(data, [TARGET], config)
    chosen = result.selected[TARGET]
    assert chosen[0] == "signal"
    assert len(chosen) == 2
    assert "peek" not in chosen
    flagged = result.consensus[result.consensus["selected"]]["reason"]
    assert flagged.str.startswith("selection_fallback").all()
    assert result.outcomes["status"].to_list() == ["selection_fallback"]
    with pytest.raises(UserError, match=r"every target.*no trees grew"):
        select_features(data, [TARGET], selection_config())
    with pytest.raises(ZeroDivisionError):
        select_features(data, [TARGET], selection_config(strict=True))


def test_a_target_that_fails_is_recorded_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = signal_world(0.1)
    world = world.with_target(
        "fwd_ret_2d", dense(world, TARGET), 2, "regression", "forward_return"
    )
    break_importances(monkeypatch, only="fwd_ret_2d")
    targets = [TARGET, "fwd_ret_2d"]
    result = select_features(world.data(), targets, selection_config())
    assert list(result.selected) == [TARGET]
    outcomes = result.outcomes.set_index("target")
    assert outcomes["status"].to_dict() == {TARGET: "chosen", "fwd_ret_2d": "failed"}
    assert outcomes["reason"]["fwd_ret_2d"] == "ZeroDivisionError: no trees grew"
    assert set(result.leakage["target"]) == set(targets)


def test_only_what_went_well_is_kept_for_later() -> None:
    kept = {status: Choice(TARGET, status, "", []).cacheable for status in STATUSES}
    assert kept == dict(zip(STATUSES, (True, True, False, False), strict=True))


@pytest.mark.parametrize("n_symbols", [1, 5])
def test_a_handful_of_symbols_is_chosen_for_over_time(n_symbols: int) -> None:
    world = signal_world(0.4, n_bars=900, n_symbols=n_symbols)
    config = selection_config(
        leakage=LENIENT, max_redundancy=0.95, stability_null=True,
        symbol_importance={"max_symbols": 3, "min_rows": 50, "relative_threshold": 0.1},
    )  # fmt: skip
    problem = world.data().problem(TARGET, config)
    assert problem.view == "time_series"
    result = select_features(world.data(), [TARGET], config)
    assert result.selected[TARGET][0] == "signal"
    assert result.symbol_importance["symbol"].nunique() == min(3, n_symbols)


def test_no_targets_give_empty_tables() -> None:
    result = select_features(signal_world(0.1).data(), [], selection_config())
    assert result.selected == {}
    for name, columns in COLUMNS.items():
        table = getattr(result, name)
        assert list(table.columns) == list(columns)
        assert table.empty
