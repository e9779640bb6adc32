"""Models confirm leaks that no column shows alone, and let honest dominance be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks.leak_columns import coded, noisy, normal_ranks
from planted_world import (
    LEAKAGE,
    SMALL_TREES,
    World,
    empty_world,
    leakage_config,
    selection_config,
)

from ranking_pipeline.models.samples import Samples
from ranking_pipeline.selection.leakage import screen_features, usable_features
from ranking_pipeline.selection.model_skill import Questioned, dominant
from ranking_pipeline.selection.sentinels import confirm_leaks, time_shuffled

N_BARS, N_SYMBOLS = 300, 60
TARGET = "fwd_ret_1d"


def market(returns: np.ndarray, columns: dict[str, np.ndarray]) -> World:
    world = empty_world(*returns.shape, 6, 0)
    world = world.with_target(TARGET, returns, 1, "regression", "forward_return")
    for name, values in columns.items():
        world = world.with_feature(name, values)
    return world


def confirmed(world: World, **leakage: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the screen, and the rows that the models add."""
    config = config_with(**leakage)
    data = world.data()
    problem = data.problem(TARGET, config)
    report = screen_features(problem, data.label_columns, config.leakage)
    whole = confirm_leaks(problem, report, config)
    assert whole[: len(report)].equals(report)
    return report, whole[len(report) :].reset_index(drop=True)


def config_with(**leakage: Any) -> Any:
    return selection_config(
        model_families=("lightgbm",),
        family_parameters={"lightgbm": SMALL_TREES["lightgbm"]},
        leakage={**LEAKAGE, **leakage},
    )


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 41]).normal(size=(N_BARS, N_SYMBOLS))


def row(added: pd.DataFrame, rule: str, feature: str = "") -> pd.Series:
    found = added[(added["rule"] == rule) & (added["feature"] == feature)]
    assert len(found) == 1, added
    return found.iloc[0]


def test_a_coded_label_dominates_and_is_blocked() -> None:
    returns = noise(0)
    code = coded(np.random.default_rng(0), normal_ranks(returns))
    report, added = confirmed(market(returns, {"code": code}))
    assert set(report["status"]) == {"SAFE"}
    found = row(added, "dominance", "code")
    assert found["status"] == "BLOCKED"
    assert found["lower_bound"] > 0.5
    whole = pd.concat([report, added])
    assert "code" not in usable_features(whole, allow_suspect=True)
    assert "noise_00" in usable_features(whole, allow_suspect=False)


@pytest.mark.parametrize("ic", [0.05, 0.08])
def test_an_honest_feature_may_dominate(ic: float) -> None:
    returns = noise(1)
    signal = noisy(np.random.default_rng(1), normal_ranks(returns), ic)
    config = {"dominance_share": 0.05, "dominance_ratio": 1.01}
    _, added = confirmed(market(returns, {"signal": signal}), **config)
    suspects = added[added["rule"] == "dominance"]
    # whatever leads is asked about, and nothing is refused
    assert (suspects["feature"] != "").all()
    assert set(added["status"]) == {"SAFE"}


def test_all_the_skill_of_an_honest_feature_is_lost_and_yet_it_is_safe() -> None:
    returns = noise(2)
    signal = noisy(np.random.default_rng(2), normal_ranks(returns), 0.09)
    _, added = confirmed(
        market(returns, {"signal": signal}), dominance_share=0.1, dominance_ratio=1.2
    )
    found = row(added, "dominance", "signal")
    assert found["value"] > 0.03  # far more than a quarter of the skill
    assert found["status"] == "SAFE"
    assert "honest level" in found["evidence"]


def test_the_judgement_of_a_loss() -> None:
    world = market(noise(3), {})
    problem = world.data().problem(TARGET, config_with())
    asked = Questioned.of(problem, ("noise_00",), "lightgbm", config_with())
    nan = float("nan")
    verdicts = {
        (0.9, 0.8, 0.5): "BLOCKED",  # large, and surely beyond honest
        (0.9, 0.2, 0.11): "BLOCKED",  # 0.15 absolute, though less than a quarter
        (0.3, 0.14, 0.11): "BLOCKED",  # a quarter, though less than 0.15
        (0.9, 0.14, 0.11): "SAFE",  # neither
        (0.08, 0.08, 0.05): "SAFE",  # all of it, at an honest level
        (0.9, 0.8, nan): "SUSPECT",  # too few blocks to be sure
        (0.1, 0.1, nan): "SAFE",
        (-0.2, 0.1, 0.2): "SAFE",  # nothing was there to be lost
    }
    for (start, loss, low), status in verdicts.items():
        assert asked.judge_loss(start, loss, low)[0] == status, (start, loss, low)


def test_what_dominates() -> None:
    config = leakage_config()

    def of(*shares: float) -> list[int]:
        return dominant(np.array(shares), config)

    assert of(0.31, 0.1, 0.1, 0.1) == [0]
    assert of(0.1, 0.31, 0.11) == []  # not three times the next
    assert of(0.29, 0.01, 0.01) == []
    assert of(0.35) == [0]
    assert of(0.4, 0.35, 0.25) == [0]
    assert of(0.45, 0.1, 0.45) == [0, 2]
    assert of(0.05, 0.3, 0.3, 0.05) == [1, 2]  # twins
    assert of(0.05, 0.2, 0.2, 0.2, 0.05) == [1, 2, 3]
    assert of(0.2, 0.2, 0.2, 0.2) == []
    assert of(0.25, 0.02, 0.02, 0.02, 0.02) == []


def test_shuffled_times_keep_symbols_and_break_bars() -> None:
    world = market(noise(4), {})
    problem = world.data().problem(TARGET, config_with())
    shuffled = time_shuffled(problem, 3)
    rows = shuffled.samples
    own = dict(zip(keys(problem.samples), problem.outcome, strict=True))
    outcomes = dict(zip(keys(rows), shuffled.outcome, strict=True))
    moved = [own[key] != outcome for key, outcome in outcomes.items()]
    assert np.mean(moved) > 0.8
    by_symbol: dict[int, Counter[float]] = {}
    for (_, symbol), outcome in own.items():
        by_symbol.setdefault(symbol, Counter())[outcome] += 1
    for (_, symbol), outcome in outcomes.items():
        assert by_symbol[symbol][outcome] > 0
    assert time_shuffled(problem, 3).outcome.tolist() == shuffled.outcome.tolist()
    assert time_shuffled(problem, 4).outcome.tolist() != shuffled.outcome.tolist()
    assert len(rows.features) == len(shuffled.ranks) == len(shuffled.outcome)


def keys(samples: Samples) -> list[tuple[int, int]]:
    bars, symbols = samples.bars.tolist(), samples.symbols.tolist()
    return list(zip(bars, symbols, strict=True))


def levels_world() -> World:
    """Symbols differ in their mean return, and a code without order names them."""
    rng = np.random.default_rng(5)
    level = rng.normal(size=N_SYMBOLS)
    returns = 0.7 * level + rng.normal(size=(N_BARS, N_SYMBOLS))
    code = np.ones((N_BARS, 1)) * np.arange(N_SYMBOLS)
    return market(returns, {"code": code})


def test_controls_show_that_a_model_knows_symbols() -> None:
    _, added = confirmed(levels_world())
    assert row(added, "time_shuffle")["status"] == "SUSPECT"
    assert row(added, "time_shuffle", "code")["status"] == "SUSPECT"
    assert row(added, "symbol_holdout")["status"] == "SUSPECT"
    assert row(added, "symbol_holdout", "code")["status"] == "SUSPECT"
    assert row(added, "symbol_holdout")["lower_bound"] > 0.1


def test_controls_let_an_honest_market_pass() -> None:
    returns = noise(6)
    signal = noisy(np.random.default_rng(6), normal_ranks(returns), 0.1)
    _, added = confirmed(market(returns, {"signal": signal}))
    assert row(added, "time_shuffle")["status"] == "SAFE"
    assert row(added, "symbol_holdout")["status"] == "SAFE"
    assert abs(row(added, "time_shuffle")["value"]) < 0.05


def test_controls_can_be_left_out() -> None:
    _, added = confirmed(levels_world(), sentinels=())
    assert set(added["rule"]) == {"dominance"}


@pytest.mark.parametrize(
    "least", [{"min_confirm_rows": 10**6}, {"min_confirm_symbols": 61}]
)
def test_too_little_is_not_asked(least: dict[str, int]) -> None:
    _, added = confirmed(levels_world(), **least)
    assert list(added["status"]) == ["SAFE"]
    assert "not asked" in added["evidence"][0]
    assert str(next(iter(least.values()))) in added["evidence"][0]
