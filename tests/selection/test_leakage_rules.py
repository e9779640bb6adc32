"""Each rule of the leak screen fires on what it is for, and on nothing honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmarks.leak_columns import Market, honest, leaks, market
from planted_world import World, empty_world, leakage_config, ranking_config

from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.selection.leakage import screen_features
from ranking_pipeline.selection.leakage_bounds import lower_bounds
from ranking_pipeline.selection.leakage_outcomes import futures
from ranking_pipeline.selection.leakage_report import (
    feature_status,
    report_of,
    usable_features,
)
from ranking_pipeline.selection.partial_ic import (
    RankColumns,
    partial_ics,
    partial_products,
)
from ranking_pipeline.selection.training_data import TrainingData

# what must find each planted column against a return of one bar
RULES = {
    "label itself": "near_copy",
    "label scaled, ranks only": "partial_ic",
    "label + noise IC 0.9": "partial_ic",
    "label + noise IC 0.5": "partial_ic",
    "label + noise IC 0.2": "partial_ic",
    "revised value": "partial_ic",
    "next open": "shifted",
    "centred window": "partial_ic",
    "centred window, one bar": "shifted",
    "by-product: best on the way": "partial_ic",
    "by-product: bars to hit": "partial_ic_size",
    "label of 2 % of the rows": "match",
    "symbol mean over all rows": "encodes_symbols",
    "timestamp id": "follows_time",
    "row number": "follows_time",
    "row number, symbol major": "follows_time",
    "market of the next bar": "bar_constant",
}
# leaks of a known IC are also found against classes, paths and long returns
GRADED = ("label itself", "label + noise IC 0.9", "label + noise IC 0.5", "row number")
VOLATILITY = ("vol_20", "vol_60", "parkinson_20")


@pytest.fixture(scope="module")
def made() -> Market:
    return market(250, 60, 1)


def screened(data: TrainingData, target: str, **changes: object) -> pd.DataFrame:
    problem = data.problem(target, ranking_config())
    config = leakage_config(**{"volatility_columns": VOLATILITY, **changes})
    report = screen_features(problem, data.label_columns, config)
    return report.set_index("feature")


def noise_world(n_symbols: int, n_bars: int = 300, seed: int = 0) -> World:
    rng = np.random.default_rng([seed, 31])
    world = empty_world(n_bars, n_symbols, 1, seed)
    returns = rng.normal(size=(n_bars, n_symbols))
    return world.with_target("fwd_ret_1d", returns, 1, "regression", "forward_return")


def label_of(world: World) -> np.ndarray:
    label = np.full((world.panel.n_bars, world.panel.n_symbols), np.nan)
    label[world.panel.rows()] = world.labels["fwd_ret_1d"]
    return label


def test_every_planted_leak_is_found_by_its_rule(made: Market) -> None:
    target = "fwd_ret_1d"
    planted = leaks(made, target, 1)
    report = screened(made.data(planted), target)
    for name, rule in RULES.items():
        assert report.loc[name, "rule"] == rule, name
        assert report.loc[name, "status"] != "SAFE", name
        assert report.loc[name, "evidence"], name
    # a code without order is no matter of ranks: models are asked about it
    assert report.loc["coded label", "status"] == "SAFE"


@pytest.mark.parametrize("target", ["fwd_ret_5d", "label_h5", "fwd_mdd_5d"])
def test_graded_leaks_are_found_against_other_targets(
    made: Market, target: str
) -> None:
    planted = leaks(made, target, 2)
    report = screened(made.data({name: planted[name] for name in GRADED}), target)
    assert (report.loc[list(GRADED), "status"] != "SAFE").all()


@pytest.mark.parametrize("target", ["fwd_ret_1d", "label_h5", "fwd_mdd_5d"])
def test_honest_features_are_not_flagged(made: Market, target: str) -> None:
    planted = honest(made, target, 100, seed=3)
    data = made.data({name: values for name, (_, values) in planted.items()})
    report = screened(data, target)
    flagged = report.index[report["status"] != "SAFE"]
    weak = [name for name in flagged if planted[name][0] != "IC 0.1"]
    assert not weak
    # of IC 0.1 one in a thousand is expected: 2 of 20 would be one in 5,000
    assert len(flagged) <= 1


def test_many_partial_ics_equal_least_squares_one_by_one() -> None:
    rng = np.random.default_rng(1)
    bars = np.repeat(np.arange(4), 30)
    features = rng.random((120, 5)).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    outcomes = rng.random((120, 2))
    outcomes[rng.random(120) < 0.2, 1] = np.nan
    reference = rng.random((120, 2))
    features[:, 0] += 0.5 * reference[:, 0].astype(np.float32)
    columns = RankColumns(features, outcomes, reference, bars, bars * 0, 5, 10)
    found = partial_ics(columns)
    assert np.isnan(found[4]).all()
    for bar in range(4):
        for f in range(5):
            for o in range(2):
                x, y = features[:, f].astype(float), outcomes[:, o]
                rx, ry = remainders(x, y, reference, bars == bar)
                expected = rx @ ry / np.sqrt((rx @ rx) * (ry @ ry))
                assert found[bar, f, o] == pytest.approx(expected, abs=1e-6)


def test_products_over_time_average_to_the_correlation_of_each_symbol() -> None:
    rng = np.random.default_rng(2)
    bars, symbols = np.repeat(np.arange(80), 2), np.tile([0, 1], 80)
    features = rng.random((160, 3)).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    outcomes, reference = rng.random((160, 1)), rng.random((160, 1))
    columns = RankColumns(features, outcomes, reference, bars, symbols, 80, 10)
    for f in range(3):
        whole = np.zeros((80, 2))
        for symbol in range(2):
            x, y = features[:, f].astype(float), outcomes[:, 0]
            rows = (symbols == symbol) & np.isfinite(x)
            rx, ry = remainders(x, y, reference, rows)
            product = rx * ry / np.sqrt((rx @ rx) * (ry @ ry)) * len(rx)
            assert product.mean() == pytest.approx(np.corrcoef(rx, ry)[0, 1], abs=1e-9)
            whole[:, symbol] = np.nan
            whole[bars[rows], symbol] = product
        expected = np.nanmean(whole, axis=1)
        np.testing.assert_allclose(
            partial_products(columns)[:, f, 0], expected, atol=1e-5
        )


def remainders(
    x: np.ndarray, y: np.ndarray, reference: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    rows = rows & np.isfinite(x) & np.isfinite(y)
    design = np.column_stack([np.ones(rows.sum()), reference[rows]])
    x, y = (v[rows] - design @ np.linalg.lstsq(design, v[rows])[0] for v in (x, y))
    return x, y


def test_bounds_equal_the_block_test_of_each_series() -> None:
    from scipy import stats

    rng = np.random.default_rng(4)
    series = rng.normal(0.2, 1, size=(130, 5))
    series[:7, 1] = np.nan
    series[rng.random(130) < 0.6, 2] = np.nan
    series[:, 3] = np.nan
    series[60:, 4] = np.nan
    bounds = lower_bounds(series, 10, 0.999)
    for column in range(5):
        test = block_test(series[:, column], 10)
        assert bounds.n_blocks[column] == test.n_blocks
        assert bounds.n_bars[column] == test.n_bars
        np.testing.assert_allclose(
            [bounds.mean[column], bounds.standard_error[column]],
            [test.mean, test.standard_error],
        )
        if test.n_blocks >= 8:
            quantile = stats.t.ppf(0.999, test.n_blocks - 1)
            low = max(0.0, abs(test.mean) - quantile * test.standard_error)
            assert bounds.low[column] == pytest.approx(low)
        else:
            assert np.isnan(bounds.low[column])


def test_futures_lie_where_they_say() -> None:
    world = noise_world(12, 60)
    problem = world.data().problem("fwd_ret_1d", ranking_config())
    label, size, before, later = futures(problem)
    assert [f.rule for f in (label, size, before, later)] == [
        "partial_ic",
        "partial_ic_size",
        "shifted",
        "shifted",
    ]
    rows = problem.samples
    for future, shift in ((before, -1), (later, 1)):
        keys = zip(rows.bars, rows.symbols, strict=True)
        place = {key: k for k, key in enumerate(keys)}
        for k in range(100, 120):
            other = place.get((rows.bars[k] + shift, rows.symbols[k]))
            assert np.isfinite(future.ranks[k]) == (other is not None)
    here = rows.bars == 20
    past = rows.bars == 19
    there = dict(zip(rows.symbols[past], label.ranks[past], strict=True))
    common = [s in there for s in rows.symbols[here]]
    ours = before.ranks[here][common]
    theirs = [there[s] for s in rows.symbols[here][common]]
    assert (np.argsort(ours) == np.argsort(theirs)).all()
    middle = np.median(problem.outcome[here])
    distance = np.abs(problem.outcome[here] - middle)
    assert (np.argsort(size.ranks[here]) == np.argsort(distance)).all()


def test_a_known_symbol_level_may_be_honest_but_its_luck_may_not() -> None:
    n_bars, n_symbols = 400, 80
    rng = np.random.default_rng(5)
    world = empty_world(n_bars, n_symbols, 1, 0)
    level = 0.08 * rng.normal(size=n_symbols)
    returns = level + rng.normal(size=(n_bars, n_symbols))
    world = world.with_target("fwd_ret_1d", returns, 1, "regression", "forward_return")
    still = np.ones((n_bars, 1))
    encoded = np.nanmean(label_of(world), axis=0)
    world = world.with_feature("true_level", still * level)
    world = world.with_feature("encoded", still * encoded)
    world = world.with_feature("sector", still * rng.integers(0, 9, n_symbols))
    report = screened(world.data(), "fwd_ret_1d")
    assert report.loc["encoded", "rule"] == "encodes_symbols"
    assert report.loc["encoded", "status"] == "BLOCKED"
    assert list(report.loc[["true_level", "sector"], "status"]) == ["SAFE"] * 2


def test_a_name_with_a_label_word_is_suspect() -> None:
    world = noise_world(12)
    shape = world.panel.n_bars, world.panel.n_symbols
    rng = np.random.default_rng(6)
    for name in ("mfe_h5", "x_bars_to_hit", "fwdness", "camfer"):
        world = world.with_feature(name, rng.normal(size=shape))
    report = screened(world.data(), "fwd_ret_1d")
    assert list(report.loc[["mfe_h5", "x_bars_to_hit"], "rule"]) == ["role"] * 2
    assert list(report.loc[["mfe_h5", "x_bars_to_hit"], "status"]) == ["SUSPECT"] * 2
    assert list(report.loc[["fwdness", "camfer"], "status"]) == ["SAFE"] * 2


def test_bar_constant_columns_are_harmless_unless_they_know_the_market() -> None:
    n_bars, n_symbols = 500, 30
    rng = np.random.default_rng(7)
    market_return = rng.normal(size=(n_bars, 1))
    returns = market_return + rng.normal(size=(n_bars, n_symbols))
    world = empty_world(n_bars, n_symbols, 1, 0)
    world = world.with_target("fwd_ret_1d", returns, 1, "regression", "forward_return")
    wide = np.ones(n_symbols)
    world = world.with_feature("weekday", (np.arange(n_bars) % 5)[:, None] * wide)
    hint = market_return + rng.normal(size=(n_bars, 1))
    world = world.with_feature("hint", hint * wide)
    report = screened(world.data(), "fwd_ret_1d")
    assert list(report.loc[["weekday", "hint"], "rule"]) == ["bar_constant"] * 2
    assert list(report.loc[["weekday", "hint"], "status"]) == ["SAFE", "BLOCKED"]


def test_the_screen_works_over_time_where_symbols_are_few() -> None:
    world = noise_world(3, 900)
    label = label_of(world)
    rng = np.random.default_rng(8)
    for name, rho in (("leak", 0.5), ("honest", 0.08)):
        noise = np.sqrt(1 - rho**2) * rng.normal(size=label.shape)
        world = world.with_feature(name, rho * np.nan_to_num(label) + noise)
    world = world.with_feature("clock", np.cumsum(rng.random(label.shape), axis=0))
    data = world.data()
    assert data.problem("fwd_ret_1d", ranking_config()).view == "time_series"
    report = screened(data, "fwd_ret_1d")
    assert report.loc["leak", "status"] == "BLOCKED"
    assert report.loc["leak", "rule"] == "partial_ic"
    # Spearman = 6/pi asin(rho/2)
    assert report.loc["leak", "value"] == pytest.approx(0.48, abs=0.06)
    assert report.loc["honest", "status"] == "SAFE"
    assert report.loc["clock", "rule"] == "follows_time"


def test_a_feature_has_the_worst_status_of_its_rows() -> None:
    from ranking_pipeline.selection.leakage_report import Finding

    def row(feature: str, status: str) -> Finding:
        return Finding(feature, "rule", 0.0, 0.0, 0.0, status, "words")

    rows = [
        row("b", "SAFE"),
        row("a", "BLOCKED"),
        row("c", "SAFE"),
        row("", "SUSPECT"),
        row("a", "SAFE"),
        row("c", "SUSPECT"),
    ]
    report = report_of("t", rows)
    assert feature_status(report) == {"b": "SAFE", "a": "BLOCKED", "c": "SUSPECT"}
    assert usable_features(report, allow_suspect=False) == ("b",)
    assert usable_features(report, allow_suspect=True) == ("b", "c")
