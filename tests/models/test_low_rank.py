"""The low-rank family finds what symbols share, and keeps the promises of a family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.families.low_rank import LowRankModel
from ranking_pipeline.models.reduced_rank import find_directions, moments
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel

PARAMETERS: dict[str, Any] = {
    "max_rank": 3,
    "floor": 0.1,
    "sign_draws": 10,
    "min_symbol_rows": 60,
    "clip_sigma": 3.0,
}
TRUE = np.array([0.6, -0.3, 0.0, 0.2, 0.0])


def market(
    loading: np.ndarray, n_bars: int = 400, seed: int = 0, strength: float = 0.3
) -> Samples:
    """Rows whose target is ``strength`` x loading x (TRUE · features) plus noise."""
    rng = np.random.default_rng(seed)
    n_symbols = len(loading)
    panel = Panel(
        tuple(f"S{k:03d}" for k in range(n_symbols)),
        np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D"),
        ("close",),
        np.ones((n_symbols, n_bars, 1), dtype=np.float32),
        np.ones((n_symbols, n_bars), dtype=bool),
    )
    bars, symbols = panel.rows()
    features = rng.normal(size=(len(bars), len(TRUE)))
    features[:, 4] = 2.0  # a constant column
    signal = features @ TRUE / np.linalg.norm(TRUE)
    target = strength * loading[symbols] * signal + rng.normal(size=len(bars))
    names = tuple("abcde")
    return Samples(
        panel, bars, symbols, features.astype(np.float32), names,
        target.astype(np.float32), bars + 1, "regression",
    )  # fmt: skip


def fitted(rows: Samples, seed: int = 5, threads: int = 1, **changes: Any) -> Any:
    model = registry.create("low_rank", {**PARAMETERS, **changes}, seed, threads)
    model.fit(rows, None)
    return model


MIXED = np.tile([0.0, 1.0, -1.0], 14)


def test_opposed_loadings_and_their_direction_are_recovered() -> None:
    model = fitted(market(MIXED))
    loadings = model.loadings()
    assert loadings["loadings"].shape == (42, 1)  # one direction stands out
    assert abs(np.corrcoef(loadings["loadings"][:, 0], MIXED)[0, 1]) > 0.97
    t = np.abs(loadings["raw"] / loadings["errors"])[:, 0]
    assert (t[MIXED != 0] > 2).all()
    assert (t[MIXED == 0] < 2).mean() > 0.9
    vector = model._state["vectors"][:, 0]
    cosine = vector @ TRUE / np.linalg.norm(vector) / np.linalg.norm(TRUE)
    assert abs(cosine) > 0.98
    np.testing.assert_allclose(model.importance()[[2, 4]], 0, atol=0.05)


def test_it_beats_both_a_pooled_model_and_one_per_symbol() -> None:
    train, later = market(MIXED, strength=0.15), market(MIXED, seed=1)
    signal = MIXED[later.symbols] * (later.features[:, :4] @ TRUE[:4])
    ridge = {"expected_r2": 0.05, "clip_sigma": 3.0}
    pooled = registry.create("ridge", ridge, 1, 1)
    pooled.fit(train, None)
    own = np.zeros(len(later))
    for symbol in range(len(MIXED)):
        model = registry.create("ridge", ridge, 1, 1)
        model.fit(train.take(train.symbols == symbol), None)
        mine = later.symbols == symbol
        own[mine] = model.predict(later.take(mine)).score
    shared = fitted(train).predict(later).score
    found = [
        np.corrcoef(score, signal)[0, 1]
        for score in (shared, own, pooled.predict(later).score)
    ]
    assert found[0] > found[1] + 0.1
    assert found[1] > found[2] + 0.1


def test_equal_loadings_are_one_pooled_model() -> None:
    train, later = market(np.ones(40), strength=0.2), market(np.ones(40), seed=1)
    model = fitted(train)
    loadings = model.loadings()["loadings"]
    assert np.ptp(loadings) < 0.25 * loadings.mean()
    pooled = registry.create("ridge", {"expected_r2": 0.05, "clip_sigma": 3.0}, 1, 1)
    pooled.fit(train, None)
    scores = model.predict(later).score, pooled.predict(later).score
    assert np.corrcoef(*scores)[0, 1] > 0.97


def test_full_rank_without_shrinkage_is_one_regression_per_symbol() -> None:
    rng = np.random.default_rng(3)
    n_symbols, n_bars = 6, 50
    shared = rng.normal(size=(n_bars, 4))  # the same features for all symbols
    outcome = rng.normal(size=(n_bars, n_symbols))
    bars = np.repeat(np.arange(n_bars), n_symbols)
    symbols = np.tile(np.arange(n_symbols), n_bars)
    found = moments(
        shared[bars], outcome.ravel(), symbols, n_symbols, bars, np.empty((0, n_bars))
    )
    directions = find_directions(found, 1e-12, 4)
    assert directions.vectors.shape == (4, 4)
    centred = shared - shared.mean(axis=0)
    factors = centred @ directions.vectors
    loadings = np.linalg.lstsq(factors, outcome - outcome.mean(axis=0), rcond=None)[0]
    own = np.linalg.lstsq(centred, outcome - outcome.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(directions.vectors @ loadings, own, atol=1e-8)
    # factors are uncorrelated, so that loadings found one by one are the same
    single = (factors.T @ outcome) / (factors**2).sum(axis=0)[:, None]
    np.testing.assert_allclose(single, loadings, atol=1e-8)


def test_moments_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    design, outcome = rng.normal(size=(90, 3)), rng.normal(size=90)
    symbols, blocks = rng.integers(0, 4, 90), np.arange(90) // 10
    signs = rng.choice([-1.0, 1.0], (2, 9))
    found = moments(design, outcome, symbols, 5, blocks, signs)
    for symbol in range(5):
        mine = symbols == symbol
        x = design[mine] - design[mine].mean(axis=0) if mine.any() else design[:0]
        y = outcome[mine] - outcome[mine].mean() if mine.any() else outcome[:0]
        np.testing.assert_allclose(found.cross[symbol], y @ x, atol=1e-10)
        turned = y * signs[1, blocks[mine]]
        np.testing.assert_allclose(found.flipped[1, symbol], turned @ x, atol=1e-10)
        assert found.rows[symbol] == mine.sum()


def test_noise_rarely_gives_a_second_direction() -> None:
    ranks = [
        fitted(market(np.zeros(30), n_bars=200, seed=s)).loadings()["raw"].shape[1]
        for s in range(10)
    ]
    assert sum(ranks) <= 11
    assert fitted(market(MIXED), max_rank=1).loadings()["raw"].shape == (42, 1)


def test_two_directions_are_told() -> None:
    rows = market(np.zeros(40), n_bars=500)
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=(2, 40))
    x = rows.features
    extra = 0.3 * (first[rows.symbols] * x[:, 0] + second[rows.symbols] * x[:, 1])
    model = fitted(replace(rows, target=rows.target + extra.astype(np.float32)))
    assert model.loadings()["raw"].shape == (40, 2)
    later = model.predict(rows).score
    assert np.corrcoef(later, extra)[0, 1] > 0.95


def test_the_order_of_the_symbols_plays_no_part() -> None:
    rows = market(MIXED, n_bars=150)
    order = np.random.default_rng(1).permutation(len(MIXED))
    moved = rows.take(np.lexsort((order[rows.symbols], rows.bars)))
    names = tuple(rows.panel.symbols[k] for k in np.argsort(order))
    panel = replace(rows.panel, symbols=tuple(sorted(names)))
    other = replace(moved, symbols=order[moved.symbols], panel=panel)
    one, two = fitted(rows), fitted(other)
    score, again = one.predict(rows).score, two.predict(other).score
    back = np.lexsort((order[rows.symbols], rows.bars))
    np.testing.assert_allclose(score[back], again, atol=1e-5)


def test_unseen_and_short_symbols_get_the_mean_loading() -> None:
    rows = market(np.ones(30), n_bars=200)
    few = fitted(rows.take((rows.symbols != 3) | (rows.bars < 20)))
    loadings = few.loadings()
    assert np.isnan(loadings["raw"][3]).all()
    assert loadings["loadings"][3] == pytest.approx(few._state["mean_loading"])
    renamed = replace(rows.panel, symbols=tuple(f"T{k:03d}" for k in range(30)))
    score = few.predict(replace(rows, panel=renamed)).score
    expected = few._state["mean_loading"] * (
        few._design(rows.features) @ few._state["vectors"]
    ).sum(axis=1)
    np.testing.assert_allclose(score, expected + few._state["intercept"], atol=1e-5)


def test_loadings_follow_the_names_on_another_panel() -> None:
    rows = market(MIXED, n_bars=150)
    model = fitted(rows)
    kept = rows.panel.cut(slice(None), slice(10, None))
    mine = rows.symbols >= 10
    part = replace(rows.take(mine), symbols=rows.symbols[mine] - 10, panel=kept)
    np.testing.assert_array_equal(
        model.predict(part).score, model.predict(rows).score[mine]
    )


def test_one_symbol_alone_is_a_linear_model() -> None:
    rows = market(np.ones(1), n_bars=600, strength=0.5)
    model = fitted(rows)
    assert np.corrcoef(model.predict(rows).score, rows.features @ TRUE)[0, 1] > 0.9


def test_saved_and_loaded_gives_the_same_bits(tmp_path: Path) -> None:
    rows = market(MIXED, n_bars=100)
    rows.features[::7, 1] = np.nan
    model = fitted(rows)
    model.save(tmp_path)
    assert {p.suffix for p in tmp_path.iterdir()} == {".safetensors", ".json"}
    loaded = LowRankModel.load(tmp_path, model.config, seed=5, threads=2)
    np.testing.assert_array_equal(model.predict(rows).score, loaded.predict(rows).score)
    np.testing.assert_array_equal(model.importance(), loaded.importance())
    np.testing.assert_array_equal(
        fitted(rows, threads=2).predict(rows).score, model.predict(rows).score
    )


def test_scores_are_of_rows_alone_and_their_parts_add_up() -> None:
    rows = market(MIXED, n_bars=100)
    model = fitted(rows)
    whole = model.predict(rows).score
    np.testing.assert_array_equal(
        model.predict(rows.take(np.arange(5))).score, whole[:5]
    )
    parts = model.contributions(rows)
    level = float(model._state["intercept"][0])
    np.testing.assert_allclose(parts.sum(axis=1) + level, whole, atol=1e-5)
    assert model.importance().sum() == pytest.approx(1)
    assert model.importance()[4] == 0


def test_classes_are_refused() -> None:
    with pytest.raises(UserError, match="binary"):
        fitted(replace(market(MIXED, n_bars=60), task="binary"))
