"""Evidence: reversed symbols are found, others are not, and the future plays no part."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from planted_world import World, signal_world
from routing_examples import NO_LEAKAGE, NO_STABILITY, routing_config

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.candidates import (
    COLUMNS,
    collect_candidates,
    feature_set_id,
)
from ranking_pipeline.routing.router import make_routing_plan
from ranking_pipeline.routing.states import PARTIAL, SYMBOL
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


@lru_cache(maxsize=1)
def mirrored_table() -> pd.DataFrame:
    """All rows of the first mirrored world; not to be changed."""
    return whole(mirrored_world())


FEATURES = {TARGET: ["signal", "noise_00", "noise_01", "vol_20"]}


def whole(world: World, **changes) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    return collect_candidates(
        world.data(),
        [TARGET],
        FEATURES,
        NO_LEAKAGE,
        NO_STABILITY,
        routing_config(**changes),
    )


def collect(world: World, **changes) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    """Rows that are decided on."""
    frame = whole(world, **changes)
    return frame[frame["mode"] != PARTIAL]


def test_reversed_symbols_get_models_of_their_own() -> None:
    hits, false = 0, 0
    for seed in range(2):
        frame = collect(mirrored_world(seed))
        good = frame[frame["state"].isin(["STRONG", "OK"]) & (frame["symbol"] != "")]
        wanted = {f"S{k:03d}" for k in REVERSED}
        hits += len(wanted & set(good["symbol"]))
        false += len(set(good["symbol"]) - wanted)
    assert hits >= 5
    assert false <= 1


def test_table_of_candidates() -> None:
    frame = mirrored_table()
    assert list(frame.columns) == list(COLUMNS)
    frame = frame[frame["mode"] != PARTIAL]
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
    assert (symbols["own_q"] >= symbols["own_p"]).all()
    assert (symbols["misleads_q"] >= symbols["misleads_p"]).all()
    misleads = symbols["misleads_p"] < 0.5
    np.testing.assert_array_equal(misleads, symbols["pooled_t"] < 0)
    assert set(frame["feature_set_id"]) == {feature_set_id(FEATURES[TARGET])}
    assert set(frame["view"]) == {"cross_section"}
    assert set(frame["model_status"]) == {"measured"}
    assert (frame["failed_model_families"] == "").all()
    assert (pooled["n_symbols"], set(symbols["n_symbols"])) == (40, {1})
    assert pooled["stability"] == "UNKNOWN"  # the selection gave none
    assert "UNKNOWN" not in set(symbols["stability"])  # four folds each


def test_expected_gains_part_the_reversed_from_the_others() -> None:
    symbols = mirrored_table().query("mode == 'symbol_specific'").set_index("symbol")
    turned = symbols.index.isin([f"S{k:03d}" for k in REVERSED])
    gain = symbols["expected_gain"]
    assert (gain[turned] > 0.1).all()
    assert (gain[~turned] < 0.05).all()
    # the posterior lies within the estimates, and is drawn together
    assert gain[~turned].std() < symbols["delta"][~turned].std()


def test_partial_pooling_has_a_slope_per_symbol() -> None:
    rows = mirrored_table().query("mode == 'partial_pooling'")
    summary, slopes = rows.iloc[0], rows.iloc[1:].set_index("symbol")["slope"]
    assert summary["symbol"] == ""
    assert summary["delta"] == pytest.approx(summary["score"] - summary["pooled_score"])
    assert summary["delta_t"] > 2
    assert len(slopes) == 40
    turned = slopes.index.isin([f"S{k:03d}" for k in REVERSED])
    assert slopes[turned].max() < 0 < slopes[~turned].median()
    assert (rows["state"] == "").all()


def test_one_feature_is_stable_because_two_folds_know_its_place() -> None:
    config = routing_config()
    frame = collect_candidates(
        signal_world(0.1, n_bars=400, n_symbols=12).data(), [TARGET],
        {TARGET: ["signal"]}, NO_LEAKAGE, NO_STABILITY, config,
    )  # fmt: skip
    symbols = frame[frame["mode"] == SYMBOL]
    assert set(symbols["stability"]) == {"STABLE"}
    assert (symbols["jaccard"] == 1).all()
    assert (symbols["kendall_tau"] == 1).all()


def test_feature_set_id_follows_the_order() -> None:
    assert feature_set_id(["a", "b"]) != feature_set_id(["b", "a"])
    assert len(feature_set_id(["a"])) == 12


def test_a_family_that_fails_is_told_of_and_all_failing_is_refused() -> None:
    blocks = {
        "ridge": {"expected_r2": 0.05, "clip_sigma": 3.0},
        "lightgbm": {"n_rounds": -1},
    }
    changes = {
        "mode": "cross_sectional",
        "family_parameters": blocks,
        "model_families": ("lightgbm", "ridge"),
    }
    world = signal_world(0.1, n_bars=300)
    frame = whole(world, **changes)
    assert frame["failed_model_families"].tolist() == ["lightgbm"]
    assert frame["score"].iloc[0] > 0.05
    with pytest.raises(UserError, match="every family failed"):
        whole(world, **{**changes, "model_families": ("lightgbm",)})


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
    assert set(frame["task"]) == {"binary"}
    assert 0.5 < frame["score"].iloc[0] < 0.6
    own = frame[frame["mode"] == SYMBOL].set_index("symbol")["score"]
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


def few_symbols(n_symbols: int, n_bars: int = 1500) -> World:
    return signal_world(0.2, n_bars=n_bars, n_symbols=n_symbols, n_features=2)


@pytest.mark.parametrize("n_symbols", [1, 3])
def test_a_handful_of_symbols_is_measured_over_time(n_symbols: int) -> None:
    world = few_symbols(n_symbols)
    config = routing_config(min_pooled_rows=5000)
    frame = whole(world, min_pooled_rows=5000)
    assert set(frame["view"]) == {"time_series"}
    assert set(frame["metric"]) == {"time_series_ic"}
    assert set(frame["mode"]) == {"cross_sectional", "symbol_specific"}
    pooled, symbols = frame.iloc[0], frame.iloc[1:]
    assert (pooled["state"], pooled["rule"]) == ("DISALLOWED", "few_rows")
    assert set(symbols["compared_with"]) == {"nothing"}
    assert symbols["state"].isin(["OK", "STRONG"]).all()
    selection = {"status": "selected", "targets": [TARGET], "reason": ""}
    plan = make_routing_plan(frame, selection, config)["targets"][TARGET]
    assert plan["route"] == "SYMBOL_SPECIFIC"
    assert {v["route"] for v in plan["symbols"].values()} == {"SYMBOL_SPECIFIC"}
    assert f"has {n_symbols} symbols, fewer than routing.min" in plan["view_note"]


def test_the_own_score_of_a_lone_symbol_is_its_correlation_over_time() -> None:
    frame = whole(few_symbols(1))
    pooled, own = frame.iloc[0], frame.iloc[1]
    # the same family on the same rows: rank correlation against normal scores
    assert own["score"] == pytest.approx(pooled["score"], abs=0.03)
    assert 0.1 < own["score"] < 0.3
    assert pooled["rule"] == "one_symbol"


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
