"""The leaderboard: what is compared, on which rows, and which row is chosen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.baselines import BASELINES, forward_returns
from ranking_pipeline.evaluation.inference import block_test, newey_west_t
from ranking_pipeline.evaluation.leaderboard import evaluate
from ranking_pipeline.evaluation.measure import fill_with_median
from ranking_pipeline.evaluation.outcomes import neutral_payoff
from ranking_pipeline.portfolio.backtest import backtest
from ranking_pipeline.portfolio.returns import panel_returns

FIRST_VALIDATION, FIRST_TEST = 160, 280


def noisy(world, seed, weight=1.0):
    noise = np.random.default_rng(seed).normal(size=world.signal.shape)
    return weight * world.signal + noise


def row(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.fixture(scope="module")
def result(world):
    better = noisy(world, 1, 1.0)
    worse = noisy(world, 2, 0.5)
    # the worse model shines on the test split only: it must not be chosen
    worse[FIRST_TEST:] = world.signal[FIRST_TEST:]
    better[FIRST_TEST:] = noisy(world, 3, 0.3)[FIRST_TEST:]
    full = (
        world.score("better", better)
        .score("worse", worse, family="mlp")
        .score("five", noisy(world, 4), "fwd_ret_5d")
        .score("direction", noisy(world, 5), "direction_5d")
    )
    return evaluate(**full.inputs(market_truth=full.truth()))


def test_choice_is_made_on_validation(result) -> None:
    board = result.leaderboard
    own = board[board["target"] == "fwd_ret_1d"].set_index("model_id")
    assert own.loc["worse", "rank_ic"] > own.loc["better", "rank_ic"]
    assert board[board["chosen"]]["model_id"].tolist() == ["better"]
    assert result.summary["chosen"]["model_id"] == "better"


def test_board_is_sorted_by_validation_with_the_primary_target_first(result) -> None:
    board = result.leaderboard
    assert board["target"].iloc[0] == "fwd_ret_1d"
    for _, rows in board.groupby("target"):
        values = rows["validation_ic"].dropna().to_numpy()
        assert (np.diff(values) <= 0).all()
    validation = row(
        result.metrics, model_id="better", target="fwd_ret_1d", split="validation"
    )
    assert row(board, model_id="better")["validation_ic"] == validation["rank_ic"]


def test_baselines_stand_beside_every_target(result) -> None:
    board = result.leaderboard
    for _, rows in board.groupby("target"):
        assert set(BASELINES) <= set(rows["model_id"])
        assert not rows[rows["kind"] == "baseline"]["chosen"].any()
    oracles = board[board["kind"] == "oracle"]
    assert oracles["target"].tolist() == ["fwd_ret_1d"]


def test_ic_equals_a_plain_loop_over_purged_rows(result, world) -> None:
    labels = world.labels.merge(
        world.score("x", world.signal).predictions[0], on=["timestamp", "symbol"]
    )
    stamps = pd.DatetimeIndex(world.panel.timestamps).tz_localize("UTC")
    for split, first, last in (
        ("validation", FIRST_VALIDATION, FIRST_TEST - 1),
        ("test", FIRST_TEST, world.panel.n_bars - 1),
    ):
        rows = labels[labels["timestamp"].between(stamps[first], stamps[last])]
        rows = rows[rows["fwd_ret_1d__end"] <= stamps[last]]
        ics = [
            stats.spearmanr(bar["score"], bar["fwd_ret_1d"]).statistic
            for _, bar in rows.groupby("timestamp")
        ]
        got = row(result.metrics, model_id="oracle", target="fwd_ret_1d", split=split)
        assert got["rank_ic"] == pytest.approx(np.mean(ics), abs=1e-12)
        assert got["n_bars"] == len(ics)
        bars = last - first + 1
        assert got["n_bars_unmeasured"] == bars - len(ics) == 2


def test_share_of_oracle(result) -> None:
    own = result.metrics[
        (result.metrics["target"] == "fwd_ret_1d") & (result.metrics["split"] == "test")
    ].set_index("model_id")
    assert own.loc["oracle", "share_of_oracle"] == 1.0
    assert own.loc["better", "share_of_oracle"] == pytest.approx(
        own.loc["better", "rank_ic"] / own.loc["oracle", "rank_ic"]
    )
    others = result.metrics[result.metrics["target"] != "fwd_ret_1d"]
    assert others["share_of_oracle"].isna().all()


def test_money_is_that_of_the_backtest(result, world) -> None:
    score = np.where(world.panel.tradable.T, world.signal, np.nan)[FIRST_TEST:]
    book = backtest(
        score, panel_returns(world.panel)[FIRST_TEST:], horizon_bars=1, lag_bars=1,
        tail_share=0.1, cost_bps_per_side=5.0, min_symbols=10,
    )  # fmt: skip
    got = row(result.leaderboard, model_id="oracle")
    assert got["net_bps_per_bar"] == pytest.approx(1e4 * np.nanmean(book.net))
    difference = got["gross_bps_per_bar"] - got["net_bps_per_bar"]
    assert difference == pytest.approx(got["cost_bps_per_bar"])
    assert got["cost_bps_per_bar"] < 20.0


def test_classes_are_measured_by_auc_and_by_payoff(result) -> None:
    got = row(result.leaderboard, model_id="direction")
    assert got["payoff"] == "fwd_ret_5d"
    assert got["auc_skill"] > 0.05
    assert np.isnan(got["accuracy"])
    assert np.isnan(row(result.leaderboard, model_id="five")["auc_skill"])


def test_paired_comparison_is_on_the_test_split(result) -> None:
    raw, neutral = result.paired.iloc[0], result.paired.iloc[1]
    own = row(result.leaderboard, model_id="better", target="fwd_ret_1d")
    rival = row(result.leaderboard, model_id=raw["baseline"], target="fwd_ret_1d")
    assert raw["difference"] == pytest.approx(own["rank_ic"] - rival["rank_ic"])
    assert raw["minimum_detectable_effect"] > raw["standard_error"]
    assert neutral["payoff"].startswith("sector-neutral")
    best = result.leaderboard[result.leaderboard["target"] == "fwd_ret_1d"]
    best = best[best["kind"] == "baseline"].sort_values("validation_ic")
    assert raw["baseline"] == best["model_id"].iloc[-1]


def test_books_and_deciles(result, world) -> None:
    assert set(result.books["model_id"]) >= {"better", "random"}
    last = result.books[result.books["model_id"] == "better"].iloc[-1]
    own = row(result.metrics, model_id="better", target="fwd_ret_1d", split="test")
    held = own["n_bars_held"]
    assert last["net"] * 1e4 == pytest.approx(own["net_bps_per_bar"] * held)
    deciles = result.decile_returns.query("model_id == 'better'")
    assert deciles["decile"].tolist() == list(range(1, 11))
    assert (deciles["n_bars"] == own["n_bars"]).all()


def test_baseline_lags_cover_both_lags_and_the_oracle(result) -> None:
    table = result.baseline_lags
    assert len(table) == 2 * 2 * (len(BASELINES) + 1)
    oracle = table[(table["model_id"] == "oracle") & (table["split"] == "test")]
    ic = oracle.set_index("entry_lag_bars")["rank_ic"]
    assert ic[1] > 0.2
    assert abs(ic[0]) < 0.05


def test_nothing_trained_still_gives_baselines(world) -> None:
    got = evaluate(**world.inputs())
    assert got.summary["status"] == "no_model"
    assert set(got.leaderboard["model_id"]) == set(BASELINES)
    assert got.paired.empty
    assert not got.leaderboard["chosen"].any()
    late = got.leaderboard.set_index("model_id").loc["momentum_250_20"]
    assert late["n_bars"] > 0


def test_another_target_is_shown_where_the_primary_has_no_model(world) -> None:
    got = evaluate(**world.score("five", noisy(world, 1), "fwd_ret_5d").inputs())
    assert got.summary["target"] == "fwd_ret_5d"
    assert got.summary["chosen"]["model_id"] == "five"
    assert set(got.leaderboard["target"]) == {"fwd_ret_1d", "fwd_ret_5d"}


def test_result_does_not_depend_on_the_order_of_tables(world) -> None:
    full = world.score("a", noisy(world, 1)).score("b", noisy(world, 2))
    first = evaluate(**full.inputs())
    turned = full.inputs(
        predictions=[f.sample(frac=1, random_state=0) for f in full.predictions[::-1]],
        models=full.models[::-1],
    )
    pd.testing.assert_frame_equal(first.leaderboard, evaluate(**turned).leaderboard)


def test_symbol_models_form_one_row(world) -> None:
    joined = world
    matrix = noisy(world, 1)
    for index in range(24):
        alone = np.full_like(matrix, np.nan)
        alone[:, index] = matrix[:, index]
        name = world.panel.symbols[index]
        joined = joined.score(f"m{index}", alone, route="symbol_specific", symbol=name)
    got = evaluate(**joined.inputs())
    models = got.leaderboard[got.leaderboard["kind"] == "model"]
    assert models["model_id"].tolist() == ["ridge per symbol"]
    assert models["n_models"].tolist() == [24]
    assert models["coverage"].iloc[0] == pytest.approx(24 / 40, abs=0.005)
    few = evaluate(**joined.inputs(config=world.configured(min_coverage=0.7)))
    assert "model" not in set(few.leaderboard["kind"])


def test_each_window_of_a_walk_forward_counts_as_a_model(world) -> None:
    made = world.score("m", noisy(world, 1))
    windows = pd.concat(made.models * 3, ignore_index=True).assign(window=[1, 2, 3])
    got = evaluate(**made.inputs(models=[windows])).leaderboard
    assert got.loc[got["model_id"] == "m", "n_models"].tolist() == [3]


def test_cells_without_a_score_get_the_median() -> None:
    score = np.array([[1.0, 2.0, 9.0, np.nan, np.nan], [np.nan] * 5])
    cells = np.array([[True, True, True, True, False], [True] * 5])
    got = fill_with_median(score, cells)
    np.testing.assert_array_equal(got[0], [1.0, 2.0, 9.0, 2.0, np.nan])
    assert np.isnan(got[1]).all()


def test_a_partial_model_is_measured_on_all_cells(world) -> None:
    """Leaving out the hard half does not help: those names count as the median."""
    half = world.signal.copy()
    half[:, ::2] = np.nan
    config = world.configured(min_coverage=0.4)
    got = evaluate(**world.score("half", half).inputs(config=config))
    own = row(got.leaderboard, model_id="half")
    whole = row(got.leaderboard, model_id="random", target="fwd_ret_1d")
    assert own["n_symbols_mean"] == whole["n_symbols_mean"]
    assert own["coverage"] == pytest.approx(0.5, abs=0.01)
    tradable = world.panel.tradable.T
    ics = []
    payoff = forward_returns(world.panel, 1, 1)
    for bar in range(FIRST_TEST, world.panel.n_bars - 2):
        cells = tradable[bar]
        score = pd.Series(half[bar, cells].astype(np.float32))
        score = score.fillna(score.median())
        kept = np.isfinite(payoff[bar, cells])
        pairs = score[kept], payoff[bar, cells][kept].astype(np.float32)
        ics.append(stats.spearmanr(*pairs).statistic)
    assert own["rank_ic"] == pytest.approx(np.mean(ics), abs=1e-12)


def test_newey_west_covers_the_overlap(result) -> None:
    own = {"model_id": "five", "target": "fwd_ret_5d"}
    series = result.ic_by_bar.query(
        "model_id == 'five' and target == 'fwd_ret_5d' and split == 'test'"
    )["ic"].to_numpy()
    got = row(result.metrics, split="test", **own)
    assert got["ic_t_newey_west"] == pytest.approx(newey_west_t(series, 12))
    assert got["ic_t"] == pytest.approx(block_test(series, 12).t)


def test_neutral_payoff_by_hand(world) -> None:
    shape = (world.panel.n_bars, world.panel.n_symbols)
    rng = np.random.default_rng(0)
    returns, payoff = rng.normal(size=shape), rng.normal(size=shape)
    codes = np.arange(world.panel.n_symbols) % 2
    sectors = np.repeat(codes[:, None], world.panel.n_bars, axis=1).astype(np.int16)
    sectors[0, 220:] = 1  # a change of sector counts from its date on
    panel = replace(world.panel, sectors=sectors, sector_names=("even", "odd"))
    got = neutral_payoff(payoff, returns, panel, 60)
    bar = 200
    scaled = payoff[bar] / returns[bar - 59 : bar + 1].std(axis=0, ddof=1)
    for group in (slice(0, None, 2), slice(1, None, 2)):
        expected = scaled[group] - scaled[group].mean()
        np.testing.assert_allclose(got[bar, group], expected)
    scaled = payoff[230] / returns[171:231].std(axis=0, ddof=1)
    joined = np.r_[0, np.arange(1, panel.n_symbols, 2)]
    expected = scaled[joined] - scaled[joined].mean()
    np.testing.assert_allclose(got[230, joined], expected)
    assert np.isnan(got[30]).all()


def test_scaling_scores_and_transforming_labels_leaves_the_spread(world) -> None:
    """The spread is of payoffs: neither the scale of scores nor a label's matters."""
    plain = world.score("m", world.signal, "direction_5d")
    other = world.score("m", np.exp(world.signal), "direction_5d")
    labels = world.labels.assign(direction_5d=1 - world.labels["direction_5d"])
    first = evaluate(**plain.inputs())
    second = evaluate(**other.inputs(labels=labels))
    names = ["decile_spread_bps", "net_bps_per_bar", "rank_ic", "turnover"]
    one, two = (row(r.leaderboard, model_id="m") for r in (first, second))
    np.testing.assert_allclose(
        one[names].to_numpy(float), two[names].to_numpy(float), rtol=1e-12
    )
    assert one["auc_skill"] == pytest.approx(-two["auc_skill"], abs=1e-12)


def test_accuracy_stands_beside_the_majority_of_train(world) -> None:
    full = world.score("m", world.signal, "direction_5d")
    frame = full.predictions[0]
    frame["prob_short"] = 1 / (1 + np.exp(frame["score"]))
    frame["prob_long"] = 1 - frame["prob_short"]
    got = row(evaluate(**full.inputs()).leaderboard, model_id="m")
    merged = frame.merge(world.labels, on=["timestamp", "symbol"])
    stamps = pd.DatetimeIndex(world.panel.timestamps).tz_localize("UTC")
    rows = merged[(merged["timestamp"] >= stamps[FIRST_TEST])].dropna(
        subset=["direction_5d"]
    )
    right = (rows["score"] > 0) == (rows["direction_5d"] == 1)
    assert got["accuracy"] == pytest.approx(right.mean())
    assert got["accuracy"] > got["class_prior_accuracy"]


def test_unknown_names_are_refused(world) -> None:
    full = world.score("m", world.signal)
    with pytest.raises(UserError, match="'m' is not in the table of models"):
        evaluate(**full.inputs(models=[]))
    with pytest.raises(UserError, match="primary_target"):
        evaluate(**world.inputs(config=world.configured(primary_target="fwd_ret_9d")))
    stray = world.score("m", world.signal, "fwd_ret_9d")
    with pytest.raises(UserError, match="fwd_ret_9d"):
        evaluate(**stray.inputs())
