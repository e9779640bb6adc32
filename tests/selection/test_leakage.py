"""Leaks are blocked, honest features are not."""

import numpy as np
import pandas as pd
import pytest
from planted_world import (
    World,
    empty_world,
    leakage_config,
    persistent,
    ranking_config,
    signal_world,
)
from scipy.stats import rankdata

from ranking_pipeline.selection.leakage import (
    partial_ic,
    screen_features,
    usable_features,
)

N_BARS, N_SYMBOLS = 420, 60


def world_with(ics: dict[str, float], seed: int = 0, n_bars: int = N_BARS) -> World:
    """``fwd_ret_1d`` is noise; each feature knows it with the rank IC asked for."""
    rng = np.random.default_rng([seed, 21])
    world = empty_world(n_bars, N_SYMBOLS, 1, seed)
    returns = rng.normal(size=(n_bars, N_SYMBOLS))
    world = world.with_target("fwd_ret_1d", returns, 1, "regression", "forward_return")
    for name, ic in ics.items():
        # of a normal pair, Spearman = 6/pi asin(rho/2)
        rho = 2 * np.sin(np.pi * ic / 6)
        noise = rng.normal(size=returns.shape)
        world = world.with_feature(name, rho * returns + np.sqrt(1 - rho**2) * noise)
    return world


def report(world: World, target: str = "fwd_ret_1d") -> pd.DataFrame:
    data = world.data()
    problem = data.problem(target, ranking_config())
    frame = screen_features(problem, data.label_columns, leakage_config())
    return frame.set_index("feature")


def test_leaks_are_blocked_and_honest_features_are_safe() -> None:
    frame = report(world_with({"a": 0.9, "b": 0.5, "c": 0.2, "honest": 0.1}))
    assert list(frame.loc[["a", "b", "c"], "status"]) == ["BLOCKED"] * 3
    assert frame.loc["honest", "status"] == "SAFE"
    assert frame.loc["c", "value"] == pytest.approx(0.2, abs=0.03)
    assert frame.loc["c", "lower_bound"] > 0.1
    assert "rank IC" in frame.loc["c", "evidence"]
    safe = usable_features(frame.reset_index(), allow_suspect=False)
    assert set(safe) == {"noise_00", "vol_20", "honest"}


def test_leaks_are_found_on_a_short_train_span() -> None:
    # 60 train bars, as in a smoke run
    found = [
        report(world_with({"leak": 0.3, "honest": 0.05}, seed, n_bars=86))["status"]
        for seed in range(10)
    ]
    assert sum(status["leak"] == "BLOCKED" for status in found) >= 9
    assert not any(status["honest"] == "BLOCKED" for status in found)


def test_honest_strong_features_are_not_flagged() -> None:
    flagged = [
        report(world_with({f"f{k}": 0.1 for k in range(10)}, seed))["status"]
        for seed in range(5)
    ]
    assert sum((status == "BLOCKED").sum() for status in flagged) == 0


def test_the_label_itself_and_its_end_are_blocked_by_name() -> None:
    world = world_with({"fwd_ret_1d": 0.0, "fwd_ret_9d__end": 0.0})
    # the feature table may not have a label's column at all
    frame = report(world)
    assert frame.loc["fwd_ret_1d", "rule"] == "role"
    assert frame.loc["fwd_ret_9d__end", "status"] == "BLOCKED"


def test_near_copy_is_blocked() -> None:
    world = world_with({})
    returns = np.full((N_BARS, N_SYMBOLS), np.nan)
    returns[world.panel.rows()] = world.labels["fwd_ret_1d"]
    frame = report(world.with_feature("copy", -3 * returns + 1))
    assert (frame.loc["copy", "rule"], frame.loc["copy", "status"]) == (
        "near_copy",
        "BLOCKED",
    )


def test_timestamp_in_disguise_is_suspect_and_dropped_unless_allowed() -> None:
    world = world_with({})
    clock = np.repeat(np.sqrt(np.arange(N_BARS))[:, None], N_SYMBOLS, axis=1)
    market = np.random.default_rng(3).normal(size=(N_BARS, 1)) * np.ones(N_SYMBOLS)
    world = world.with_feature("clock", clock).with_feature("market", market)
    frame = report(world)
    assert frame.loc["clock", "status"] == "SUSPECT"
    assert frame.loc["market", "status"] == "SAFE"
    table = frame.reset_index()
    assert "clock" not in usable_features(table, allow_suspect=False)
    assert "clock" in usable_features(table, allow_suspect=True)


def test_honest_volatility_is_no_leak_of_a_range_target() -> None:
    world = empty_world(N_BARS, N_SYMBOLS, 1, seed=0)
    volatility = persistent(N_BARS, N_SYMBOLS, seed=0)
    rng = np.random.default_rng(2)
    size = np.abs(np.exp(0.5 * volatility) * rng.normal(size=volatility.shape))
    world = world.with_target("y_range_1d", size, 1, "regression", "path")
    world = world.with_feature(
        "range_20", volatility + 0.3 * rng.normal(size=size.shape)
    )
    data = world.data()
    problem = data.problem("y_range_1d", ranking_config())

    def status(columns: tuple[str, ...]) -> str:
        config = leakage_config(volatility_columns=columns)
        frame = screen_features(problem, data.label_columns, config)
        return str(frame.set_index("feature").loc["range_20", "status"])

    assert status(()) == "BLOCKED"
    assert status(("vol_20",)) == "SAFE"


def test_partial_ic_equals_regression_on_ranks() -> None:
    rng = np.random.default_rng(0)
    bars = np.repeat(np.arange(3), 40)
    columns = rng.normal(size=(120, 4))
    columns[:, 0] += columns[:, 2]
    ranks = np.vstack([rankdata(columns[bars == b], axis=0) for b in range(3)])
    ranks[5, 0] = np.nan
    found = partial_ic(ranks[:, 0], ranks[:, 1], ranks[:, 2:], bars, 4, 5)
    for bar in range(3):
        rows = (bars == bar) & np.isfinite(ranks[:, 0])
        design = np.column_stack([np.ones(rows.sum()), ranks[rows, 2:]])
        x, y = (
            ranks[rows, k] - design @ np.linalg.lstsq(design, ranks[rows, k])[0]
            for k in (0, 1)
        )
        assert found[bar] == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)))
    assert np.isnan(found[3])
    spanned = partial_ic(ranks[:, 2], ranks[:, 1], ranks[:, 2:], bars, 4, 5)
    assert np.isnan(spanned).all()


def test_unmeasurable_feature_is_safe_with_words() -> None:
    world = signal_world(0.1)
    empty = np.full((500, 40), np.nan)
    frame = report(world.with_feature("unborn", empty))
    assert frame.loc["unborn", "status"] == "SAFE"
    assert "nothing to correlate" in frame.loc["unborn", "evidence"]
