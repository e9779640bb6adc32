"""The train span: nothing that comes after it changes anything."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_world import World, ranking_config, selection_config, signal_world

from ranking_pipeline.errors import UserError
from ranking_pipeline.selection.feature_choice import select_features
from ranking_pipeline.selection.predictability import rank_targets


def perturbed(world: World) -> World:
    """Another future: every later bar, feature and label that ends later changed."""
    rng = np.random.default_rng(99)
    last = world.splits.train.last_bar
    stamp = pd.Timestamp(world.panel.timestamps[last]).tz_localize("UTC")
    values, tradable = world.panel.values.copy(), world.panel.tradable.copy()
    values[:, last + 1 :] *= 3.0
    features, labels = world.features.copy(), world.labels.copy()
    later = (features["timestamp"] > stamp).to_numpy()
    for name in world.feature_manifest["name"]:
        features.loc[later, name] = rng.normal(size=later.sum()).astype(np.float32)
    for name in world.target_manifest["target"]:
        ends_later = ~(labels[f"{name}__end"] <= stamp).to_numpy()
        noise = rng.normal(size=ends_later.sum()).astype(np.float32)
        labels.loc[ends_later, name] = noise
        labels.loc[later, f"{name}__end"] = pd.NaT
    panel = replace(world.panel, values=values, tradable=tradable)
    return replace(world, panel=panel, features=features, labels=labels)


def test_the_future_changes_nothing() -> None:
    world = signal_world(0.12, n_bars=400)
    noise = np.random.default_rng(6).normal(size=(400, 40))
    world = world.with_target("fwd_ret_5d", noise, 5, "regression", "forward_return")
    other = perturbed(world)
    before, after = (rank_targets(w.data(), ranking_config()) for w in (world, other))
    pd.testing.assert_frame_equal(before.rankings, after.rankings, check_exact=True)
    pd.testing.assert_frame_equal(before.family_scores, after.family_scores)
    assert before.selected == after.selected
    chosen = [
        select_features(w.data(), ["fwd_ret_1d"], selection_config())
        for w in (world, other)
    ]
    for name in ("importance", "consensus", "agreement", "stability", "leakage"):
        pd.testing.assert_frame_equal(
            getattr(chosen[0], name), getattr(chosen[1], name), check_exact=True
        )
    assert chosen[0].selected == chosen[1].selected


def test_undeclared_feature_column_is_refused() -> None:
    world = signal_world(0.1, n_bars=200)
    stray = replace(world, features=world.features.assign(mfe_h5=1.0))
    with pytest.raises(UserError, match="mfe_h5"):
        stray.data()


def test_two_sided_folds_are_purged_on_both_sides() -> None:
    world = signal_world(0.1, n_bars=300)
    noise = np.random.default_rng(6).normal(size=(300, 40))
    world = world.with_target("fwd_ret_5d", noise, 5, "regression", "forward_return")
    problem = world.data().problem("fwd_ret_5d", ranking_config())
    samples = problem.samples
    folds = problem.two_sided_folds(4)
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(samples)))
    for train, test in folds:
        first, last = samples.bars[test].min(), samples.label_end[test].max()
        overlap = (samples.label_end[train] >= first) & (samples.bars[train] <= last)
        assert not overlap.any()
        assert len(train) > 0.5 * len(samples)


def test_only_the_most_recent_bars_are_looked_at() -> None:
    data = signal_world(0.1, n_bars=300).data()
    config = ranking_config(max_samples_per_symbol=100)
    bars = data.problem("fwd_ret_1d", config).samples.bars
    assert bars.min() == data.panel.n_bars - 100


def test_models_see_normal_scores_of_ranks() -> None:
    problem = signal_world(0.1).data().problem("fwd_ret_1d", ranking_config())
    scaled = problem.for_models(("signal", "noise_00")).samples
    assert scaled.feature_names == ("signal", "noise_00")
    bar = scaled.bars == scaled.bars[0]
    raw = problem.samples.features[bar, problem.samples.feature_names.index("signal")]
    np.testing.assert_array_equal(np.argsort(raw), np.argsort(scaled.features[bar, 0]))
    assert abs(scaled.features[:, 0].mean()) < 0.01
