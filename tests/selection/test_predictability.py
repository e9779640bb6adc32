"""Targets: what is there is found, noise and volatility in disguise are not."""

import numpy as np
import pandas as pd
import pytest
from planted_world import (
    LENIENT,
    World,
    empty_world,
    persistent,
    ranking_config,
    signal_world,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import benjamini_hochberg
from ranking_pipeline.selection import target_evidence
from ranking_pipeline.selection.out_of_fold import combine
from ranking_pipeline.selection.predictability import rank_targets, skill_of


def noise_target(world: World, name: str, seed: int, horizon: int = 1) -> World:
    shape = (world.panel.n_bars, world.panel.n_symbols)
    values = np.random.default_rng([seed, 77]).normal(size=shape)
    return world.with_target(name, values, horizon, "regression", "forward_return")


def row(frame: pd.DataFrame, target: str) -> pd.Series:
    return frame.set_index("target").loc[target]


def test_planted_target_is_selected_and_noise_is_not() -> None:
    world = noise_target(signal_world(0.1), "fwd_ret_2d", 5, horizon=2)
    result = rank_targets(world.data(), ranking_config())
    assert result.selected["targets"] == ["fwd_ret_1d"]
    planted = row(result.rankings, "fwd_ret_1d")
    assert 0.06 < planted["mean"] < 0.14
    assert planted["skill"] == pytest.approx(np.tanh(planted["z"] / 6))
    assert not row(result.rankings, "fwd_ret_2d")["selected"]
    # 350 train bars less 2 of the window, in 4 blocks, the first is only trained on
    assert planted["n_bars"] == 261
    scores = result.family_scores
    assert list(scores["fold"]) == [0, 1, 2, 0, 1, 2]
    folds = scores[scores["target"] == "fwd_ret_1d"]
    weighted = np.average(folds["mean"], weights=folds["n_bars"])
    # one family: its percentile ranks order a bar exactly as its scores do
    assert weighted == pytest.approx(planted["mean"])


def test_size_of_the_test_on_noise() -> None:
    rejected, skilled = 0, 0
    world = empty_world(300, 24, 3, seed=8)
    for seed in range(40):
        world = noise_target(world, f"fwd_ret_{seed}d", seed)
    frame = rank_targets(world.data(), ranking_config()).rankings
    rejected = int((frame["p"] < 0.1).sum())
    skilled = int(frame["selected"].sum())
    assert rejected <= 10  # binomial(40, 0.1): P(more than 10) = 0.002
    assert skilled <= 1
    assert frame["skill"].min() == 0.0


def test_nothing_predictable_is_a_finished_result() -> None:
    world = noise_target(empty_world(300, 20, 3, seed=1), "fwd_ret_1d", 3)
    result = rank_targets(world.data(), ranking_config())
    assert result.selected["status"] == "nothing_predictable"
    assert result.selected["targets"] == []
    assert len(result.rankings) == 1


@pytest.mark.parametrize(("z", "skill"), [(0.0, 0.0), (-3.0, 0.0), (6.0, 0.761594)])
def test_skill_starts_at_zero(z: float, skill: float) -> None:
    assert skill_of(z) == pytest.approx(skill, abs=1e-6)


def test_false_discovery_rate_by_hand() -> None:
    # p m / rank from the top down: .04, min(.04, .06), .08, -, .9
    p = np.array([0.01, 0.03, 0.06, np.nan, 0.9])
    q = benjamini_hochberg(p)
    np.testing.assert_allclose(q, [0.04, 0.06, 0.08, np.nan, 0.9])


def test_strong_targets_are_ordered_by_unclipped_z() -> None:
    world = signal_world(0.2, n_features=2)
    signal = world.features["signal"].to_numpy()
    bars, symbols = world.panel.rows()
    matrix = np.full((world.panel.n_bars, world.panel.n_symbols), np.nan)
    matrix[bars, symbols] = signal
    noise = np.random.default_rng(4).normal(size=matrix.shape)
    world = world.with_target(
        "fwd_ret_2d", 0.25 * matrix + noise, 2, "regression", "forward_return"
    )
    frame = rank_targets(world.data(), ranking_config(leakage=LENIENT)).rankings
    assert list(frame["z"]) == sorted(frame["z"], reverse=True)
    assert (frame["skill"] > 0.8).all()
    assert frame["z"].nunique() == 2


def test_too_few_blocks_are_not_rankable_and_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = noise_target(empty_world(600, 20, 2, seed=2), "fwd_ret_60d", 1, horizon=60)

    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be fitted")

    monkeypatch.setattr(target_evidence, "cross_fit", refuse)
    frame = rank_targets(world.data(), ranking_config()).rankings
    only = frame.iloc[0]
    assert not only["rankable"]
    assert not only["selected"]
    assert np.isnan(only["p"])
    assert "blocks of 122 bars" in only["reason"]


def volatility_world(direction: float) -> World:
    """A binary target that volatile symbols reach more often, plus some direction."""
    world = signal_world(0.0, n_bars=500, n_symbols=40)
    volatility = persistent(500, 40, seed=0)
    rng = np.random.default_rng(12)
    bars, symbols = world.panel.rows()
    signal = np.full((500, 40), np.nan)
    signal[bars, symbols] = world.features["signal"]
    push = 1.2 * volatility + direction * np.nan_to_num(signal)
    reached = (push + rng.logistic(size=push.shape) > 1.0).astype(float)
    return world.with_target("y_will_peak_1d_0.5", reached, 1, "binary", "path")


def test_volatility_in_disguise_is_rejected() -> None:
    config = ranking_config(leakage=LENIENT)
    plain = rank_targets(volatility_world(0.0).data(), config).rankings
    disguised = row(plain, "y_will_peak_1d_0.5")
    assert disguised["reference_mean"] > 0.3
    assert not disguised["selected"]
    honest = rank_targets(volatility_world(0.8).data(), config).rankings
    assert row(honest, "y_will_peak_1d_0.5")["selected"]


def test_path_target_without_volatility_columns_is_not_rankable() -> None:
    world = volatility_world(0.5)
    features = world.features.drop(columns="vol_20")
    manifest = world.feature_manifest[world.feature_manifest["name"] != "vol_20"]
    from dataclasses import replace

    bare = replace(world, features=features, feature_manifest=manifest)
    frame = rank_targets(bare.data(), ranking_config()).rankings
    assert not row(frame, "y_will_peak_1d_0.5")["rankable"]
    assert "volatility" in row(frame, "y_will_peak_1d_0.5")["reason"]


def test_three_classes_measure_up_against_down() -> None:
    world = signal_world(0.3, n_symbols=40)
    returns = np.full((500, 40), np.nan)
    returns[world.panel.rows()] = world.labels["fwd_ret_1d"]
    classes = np.where(np.abs(returns) < 0.005, 0.0, np.sign(returns))
    world = world.with_target("label_h1", classes, 1, "three_class", "triple_barrier")
    frame = rank_targets(world.data(), ranking_config(leakage=LENIENT)).rankings
    found = row(frame, "label_h1")
    assert found["selected"]
    # of a normal pair with correlation .3 the tails beyond half a deviation
    assert 0.25 < found["mean"] + found["reference_mean"] < 0.45


def test_leaked_column_does_not_lift_a_target() -> None:
    world = noise_target(empty_world(400, 30, 3, seed=3), "fwd_ret_1d", 3)
    truth = np.full((400, 30), np.nan)
    truth[world.panel.rows()] = world.labels["fwd_ret_1d"]
    noise = np.random.default_rng(1).normal(size=truth.shape)
    leaked = world.with_feature("peek", np.nan_to_num(truth) + noise)
    frame = rank_targets(leaked.data(), ranking_config()).rankings
    assert not frame["selected"].any()
    assert "peek" in frame["reason"].iloc[0]


def test_degenerate_target_is_refused_with_a_reason() -> None:
    world = signal_world(0.1)
    ones = np.ones((500, 40))
    world = world.with_target("y_will_peak_1d_9", ones, 1, "binary", "path")
    frame = rank_targets(world.data(), ranking_config()).rankings
    assert "only the class 1" in row(frame, "y_will_peak_1d_9")["reason"]


def test_manual_targets_override_the_gates() -> None:
    world = noise_target(signal_world(0.1), "fwd_ret_2d", 5, horizon=2)
    config = ranking_config(auto=False, manual_targets=("fwd_ret_2d",))
    result = rank_targets(world.data(), config)
    assert result.selected["targets"] == ["fwd_ret_2d"]
    for names, message in (((), "is empty"), (("nope",), "nope do not exist")):
        with pytest.raises(UserError, match=message):
            rank_targets(world.data(), ranking_config(auto=False, manual_targets=names))


def test_a_failing_target_is_recorded_and_all_failing_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = noise_target(signal_world(0.1), "fwd_ret_2d", 5, horizon=2)
    real = target_evidence.cross_fit

    def fragile(problem, *rest):  # type: ignore[no-untyped-def]
        if problem.target == "fwd_ret_2d":
            raise ZeroDivisionError("broken")
        return real(problem, *rest)

    monkeypatch.setattr(target_evidence, "cross_fit", fragile)
    result = rank_targets(world.data(), ranking_config(strict=False))
    assert result.selected["targets"] == ["fwd_ret_1d"]
    assert "ZeroDivisionError" in row(result.rankings, "fwd_ret_2d")["reason"]
    with pytest.raises(ZeroDivisionError):
        rank_targets(world.data(), ranking_config(strict=True))
    monkeypatch.setattr(target_evidence, "cross_fit", lambda *_: 1 / 0)
    with pytest.raises(UserError, match="every target failed"):
        rank_targets(world.data(), ranking_config(strict=False))


def test_carried_payoffs_are_no_candidates() -> None:
    world = noise_target(signal_world(0.1), "fwd_ret_2d", 5, horizon=2)
    world.target_manifest.loc[
        world.target_manifest["target"] == "fwd_ret_2d", "is_target"
    ] = False
    frame = rank_targets(world.data(), ranking_config()).rankings
    assert list(frame["target"]) == ["fwd_ret_1d"]


def test_combined_score_is_a_mean_and_not_the_best() -> None:
    problem = signal_world(0.1).data().problem("fwd_ret_1d", ranking_config())
    n = len(problem.samples)
    up, down = np.arange(n, dtype=float), -np.arange(n, dtype=float)
    np.testing.assert_allclose(combine({"a": up, "b": down}, problem), 0.5, atol=1e-12)
    missing = np.where(np.arange(n) % 2, up, np.nan)
    mixed = combine({"a": up, "b": missing}, problem)
    assert np.array_equal(np.isnan(mixed), np.isnan(missing))
