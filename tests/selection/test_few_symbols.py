"""A handful of symbols: ranked, fitted and tested along time."""

import numpy as np
import pytest
from planted_world import LENIENT, persistent, ranking_config, signal_world

from ranking_pipeline.selection.out_of_fold import combine, cross_fit, fit_family
from ranking_pipeline.selection.predictability import rank_targets
from ranking_pipeline.selection.problem import view_of


def test_the_view_follows_the_number_of_symbols() -> None:
    assert view_of(9, 10) == "time_series"
    assert view_of(10, 10) == "cross_section"
    few = signal_world(0.3, n_symbols=5).data().problem("fwd_ret_1d", ranking_config())
    many = signal_world(0.3).data().problem("fwd_ret_1d", ranking_config())
    assert (few.view, few.metric) == ("time_series", "time_series_ic")
    assert (many.view, many.metric) == ("cross_section", "rank_ic")
    np.testing.assert_array_equal(few.samples.target, few.outcome.astype(np.float32))
    names = ("signal", "noise_00")
    columns = [few.samples.feature_names.index(name) for name in names]
    np.testing.assert_array_equal(
        few.for_models(names).samples.features, few.samples.features[:, columns]
    )


def test_ranks_of_few_symbols_are_along_time() -> None:
    problem = signal_world(0.3, n_symbols=3).data()
    problem = problem.problem("fwd_ret_1d", ranking_config())
    rows = problem.samples.symbols == 1
    column = problem.samples.feature_names.index("signal")
    values = problem.samples.features[rows, column]
    np.testing.assert_array_equal(
        np.argsort(values), np.argsort(problem.ranks[rows, column])
    )
    assert problem.ranks[rows, column].max() > 0.98


def test_scores_over_time_are_counted_from_what_the_model_says_of_its_past() -> None:
    config = ranking_config()
    problem = signal_world(0.2, n_symbols=2).data().problem("fwd_ret_1d", config)
    fitted = problem.for_models(problem.samples.feature_names)
    folds = fitted.folds(3)
    scores = cross_fit(fitted, ("ridge",), config, folds).scores
    train, test = folds[1]
    model = fit_family(fitted.samples.take(train), "ridge", config)
    past, later = fitted.samples.take(train), fitted.samples.take(test)
    for symbol in (0, 1):
        known = model.predict(past).score[past.symbols == symbol].astype(float)
        told = model.predict(later).score[later.symbols == symbol]
        expected = (told - known.mean()) / known.std()
        found = scores["ridge"][test][later.symbols == symbol]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    combined = combine({"a": scores["ridge"], "b": 0 * scores["ridge"]}, fitted)
    limited = np.clip(scores["ridge"], -3, 3) / 2
    np.testing.assert_allclose(combined, limited)


@pytest.mark.parametrize("n_symbols", [1, 5])
def test_few_symbols_find_what_is_planted_and_nothing_else(n_symbols: int) -> None:
    world = signal_world(0.3, n_symbols=n_symbols, n_bars=900)
    noise = np.random.default_rng(5).normal(size=(900, n_symbols))
    world = world.with_target("fwd_ret_2d", noise, 2, "regression", "forward_return")
    returns = np.full((900, n_symbols), np.nan)
    returns[world.panel.rows()] = world.labels["fwd_ret_1d"]
    classes = np.where(np.abs(returns) < 0.003, 0.0, np.sign(returns))
    world = world.with_target("label_h1", classes, 1, "three_class", "triple_barrier")
    result = rank_targets(world.data(), ranking_config(leakage=LENIENT))
    assert set(result.selected["targets"]) == {"fwd_ret_1d", "label_h1"}
    frame = result.rankings.set_index("target")
    assert set(frame["view"]) == {"time_series"}
    assert 0.15 < frame.loc["fwd_ret_1d", "mean"] < 0.45
    assert frame.loc["label_h1", "metric"] == "time_series_auc_skill"


def test_volatility_in_disguise_is_rejected_over_time_too() -> None:
    volatility = persistent(900, 5, seed=0)
    world = signal_world(0.0, n_bars=900, n_symbols=5)
    world = world.with_feature("vol_60", volatility)
    noise = np.random.default_rng(12).logistic(size=(900, 5))
    reached = (1.2 * volatility + noise > 1.0).astype(float)
    world = world.with_target("y_will_peak_1d_0.5", reached, 1, "binary", "path")
    frame = rank_targets(world.data(), ranking_config(leakage=LENIENT)).rankings
    disguised = frame.set_index("target").loc["y_will_peak_1d_0.5"]
    assert disguised["reference_mean"] > 0.3
    assert not disguised["selected"]
