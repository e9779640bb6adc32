"""Evidence: reversed symbols are found, others are not, and the future plays no part."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_world import World, signal_world
from routing_examples import NO_LEAKAGE, NO_STABILITY, routing_config

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.candidates import COLUMNS, collect_candidates
from ranking_pipeline.routing.symbol_scores import paired_products

REVERSED = [3, 17, 30]
TARGET = "fwd_ret_1d"


def mirrored_world(seed: int = 0) -> World:
    """Forty symbols, of which three answer the other way and twice as much."""
    loading = np.ones(40)
    loading[REVERSED] = -2.0
    return signal_world(
        0.12, n_bars=900, n_symbols=40, n_features=2, seed=seed, loading=loading
    )


def collect(world: World, **changes) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    features = {TARGET: ["signal", "noise_00", "noise_01", "vol_20"]}
    return collect_candidates(
        world.data(),
        [TARGET],
        features,
        NO_LEAKAGE,
        NO_STABILITY,
        routing_config(**changes),
    )


def test_reversed_symbols_get_models_of_their_own() -> None:
    hits, false = 0, 0
    for seed in range(3):
        frame = collect(mirrored_world(seed))
        good = frame[frame["state"].isin(["STRONG", "OK"]) & (frame["symbol"] != "")]
        wanted = {f"S{k:03d}" for k in REVERSED}
        hits += len(wanted & set(good["symbol"]))
        false += len(set(good["symbol"]) - wanted)
    assert hits >= 8
    assert false <= 2


def test_table_of_candidates() -> None:
    frame = collect(mirrored_world())
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 41
    pooled = frame.iloc[0]
    assert (pooled["symbol"], pooled["state"]) == ("", "STRONG")
    assert pooled["ci_low"] < pooled["score"] < pooled["ci_high"]
    symbols = frame.iloc[1:]
    np.testing.assert_allclose(
        symbols["delta"], symbols["score"] - symbols["pooled_score"]
    )
    assert (symbols["q"] >= symbols["p"]).all()
    assert (symbols["n_bars"] == symbols["n_rows"]).all()  # every row is out of fold


def test_all_alike_gives_no_symbol_routes() -> None:
    frame = collect(signal_world(0.12, n_bars=900, n_symbols=40, n_features=2))
    assert (frame["state"].iloc[1:] == "DISALLOWED").mean() > 0.9
    assert not frame["state"].iloc[1:].isin(["STRONG", "OK"]).any()


def test_symbol_routes_are_off_above_the_limit_and_when_forced_pooled() -> None:
    world = signal_world(0.1, n_bars=400)
    assert len(collect(world, max_symbols_for_symbol_routes=39)) == 1
    assert len(collect(world, mode="cross_sectional")) == 1
    with pytest.raises(UserError, match="max_symbols_for_symbol_routes"):
        collect(world, mode="symbol_specific", max_symbols_for_symbol_routes=39)


def test_symbols_with_few_rows_are_listed_but_not_measured() -> None:
    frame = collect(signal_world(0.1, n_bars=400), min_symbol_rows=10_000)
    assert (frame["state"].iloc[1:] == "DISALLOWED").all()
    assert frame["score"].iloc[1:].isna().all()
    assert frame["reason"].iloc[1:].str.contains("needs 10000").all()


def test_leak_closes_every_route_of_the_target() -> None:
    world = signal_world(0.9, n_bars=400)
    frame = collect(world)
    assert (frame["leakage_status"] == "BLOCKED").all()
    assert (frame["state"] == "DISALLOWED").all()


def test_classes_are_scored_as_auc() -> None:
    world = mirrored_world()
    returns = np.full((900, 40), np.nan)
    returns[world.panel.rows()] = world.labels[TARGET]
    up = (returns > 0).astype(float)
    world = world.with_target("y_up_1d", up, 1, "binary", "path")
    frame = collect_candidates(
        world.data(),
        ["y_up_1d"],
        {"y_up_1d": ["signal", "noise_00"]},
        NO_LEAKAGE,
        NO_STABILITY,
        routing_config(),
    )
    assert set(frame["metric"]) == {"auc"}
    assert 0.5 < frame["score"].iloc[0] < 0.6
    own = frame.set_index("symbol")["score"]
    assert own["S003"] > 0.52


def test_paired_products_are_correlations() -> None:
    rng = np.random.default_rng(0)
    own, pooled, outcome = rng.normal(size=(3, 200))
    own[:20] = np.nan
    found = paired_products(own, pooled, outcome)
    assert found is not None
    for product, score in zip(found, (own, pooled), strict=True):
        expected = np.corrcoef(score[20:], outcome[20:])[0, 1]
        assert np.nanmean(product) == pytest.approx(expected)
        assert np.isnan(product[:20]).all()
    assert paired_products(np.full(200, 0.1), pooled, outcome) is None
    assert paired_products(np.full(200, np.nan), pooled, outcome) is None


def test_the_future_changes_nothing() -> None:
    world = signal_world(0.1, n_bars=500, n_symbols=20)
    last = world.splits.train.last_bar
    stamp = pd.Timestamp(world.panel.timestamps[last]).tz_localize("UTC")
    features, labels = world.features.copy(), world.labels.copy()
    features.loc[features["timestamp"] > stamp, "signal"] = 7.0
    labels.loc[~(labels[f"{TARGET}__end"] <= stamp), TARGET] = -3.0
    other = replace(world, features=features, labels=labels)
    pd.testing.assert_frame_equal(collect(world), collect(other), check_exact=True)


def test_no_features_is_refused_and_no_targets_is_empty() -> None:
    data = signal_world(0.1, n_bars=300).data()
    config = routing_config()
    with pytest.raises(UserError, match="selected_features has nothing"):
        collect_candidates(data, [TARGET], {}, NO_LEAKAGE, NO_STABILITY, config)
    frame = collect_candidates(data, [], {}, NO_LEAKAGE, NO_STABILITY, config)
    assert list(frame.columns) == list(COLUMNS)
    assert frame.empty


def test_stability_and_leakage_come_from_the_selection() -> None:
    world = signal_world(0.1, n_bars=400)
    stability = pd.DataFrame({"target": [TARGET], "state": ["DRIFTING"]})
    report = pd.DataFrame(
        {"target": [TARGET], "feature": ["signal"], "status": ["SUSPECT"]}
    )
    frame = collect_candidates(
        world.data(), [TARGET], {TARGET: ["signal"]}, report, stability,
        routing_config(mode="cross_sectional"),
    )  # fmt: skip
    assert frame["stability"].iloc[0] == "DRIFTING"
    assert frame["leakage_status"].iloc[0] == "SUSPECT"
