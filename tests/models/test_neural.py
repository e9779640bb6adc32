"""The neural families: tasks, missing values, windows, files and repeatability."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from neural_world import COMMON, PARAMETERS, samples, skill, split

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.registry import create, family_type
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import OHLCV, Panel

TASKS = ["regression", "binary", "three_class"]


@pytest.mark.parametrize("family", ["mlp", "tab_transformer", "lstm"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_learned_and_survives_the_disk(
    family: str, task: str, tmp_path: Path
) -> None:
    train, validation, test = split(samples(task))
    model = create(family, PARAMETERS[family], seed=1, threads=1)
    model.fit(train, validation)
    output = model.predict(test)
    assert output.score.dtype == np.float32
    assert skill(output.score, test.target) > 0.5
    if task == "regression":
        assert output.probabilities is None
    else:
        assert output.probabilities is not None
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-5)
        low = output.probabilities[:, 0] if task == "three_class" else 0
        np.testing.assert_allclose(
            output.score, output.probabilities[:, -1] - low, atol=1e-6
        )
    model.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.json",
        "model.safetensors",
    ]
    again = type(model).load(tmp_path, model.config, seed=1, threads=1)
    np.testing.assert_array_equal(again.predict(test).score, output.score)
    assert again.history() == []
    assert {"epoch", "train_loss", "validation_score"} <= set(model.history()[0])


@pytest.mark.parametrize("family", ["mlp", "tab_transformer", "lstm"])
def test_the_seed_fixes_every_bit_and_threads_change_none(
    family: str, tmp_path: Path
) -> None:
    train, validation, test = split(samples("regression"))
    written = []
    for place, (seed, threads) in enumerate([(1, 1), (1, 2), (2, 1)]):
        model = create(family, PARAMETERS[family], seed=seed, threads=threads)
        model.fit(train, validation)
        folder = tmp_path / str(place)
        folder.mkdir()
        model.save(folder)
        files = [
            (folder / name).read_bytes() for name in ("model.json", "model.safetensors")
        ]
        written.append((files, model.predict(test).score.tobytes()))
    assert written[0] == written[1]
    assert written[0] != written[2]


@pytest.mark.parametrize("family", ["mlp", "tab_transformer", "lstm"])
def test_predictions_do_not_look_at_targets_or_later_bars(family: str) -> None:
    rows = samples("regression")
    train, validation, test = split(rows)
    model = create(family, PARAMETERS[family], seed=1, threads=1)
    model.fit(train, validation)
    expected = model.predict(test).score
    blind = Samples(
        **{f: getattr(test, f) for f in test.__dataclass_fields__}
        | {"target": np.full_like(test.target, np.nan)}
    )
    np.testing.assert_array_equal(model.predict(blind).score, expected)
    values = rows.panel.values.copy()
    values[:, 131:] *= 2
    changed = Panel(
        rows.panel.symbols, rows.panel.timestamps, OHLCV, values, rows.panel.tradable
    )
    later = Samples(
        **{f: getattr(test, f) for f in test.__dataclass_fields__} | {"panel": changed}
    )
    before = test.bars <= 130
    np.testing.assert_allclose(
        model.predict(later).score[before], expected[before], atol=1e-6
    )


def test_early_stopping_keeps_the_best_epoch_of_validation() -> None:
    train, validation, _ = split(samples("regression"))
    parameters = PARAMETERS["mlp"] | {
        "epochs": 60,
        "patience": 2,
        "learning_rate": 0.05,
    }
    model = create("mlp", parameters, seed=1, threads=1)
    model.fit(train, validation)
    history = model.history()
    assert len(history) < 60
    best = max(history, key=lambda row: row["validation_score"])
    assert len(history) - best["epoch"] == 2


def test_rows_of_one_symbol_are_enough() -> None:
    rows = samples("regression")
    alone = rows.take(rows.symbols == 2)
    train, validation, test = split(alone)
    model = create("mlp", PARAMETERS["mlp"] | {"epochs": 30}, seed=1, threads=1)
    model.fit(train, validation)
    assert skill(model.predict(test).score, test.target) > 0.5


@pytest.mark.parametrize("family", ["mlp", "tab_transformer", "lstm"])
def test_no_validation_is_no_obstacle(family: str) -> None:
    train, _, test = split(samples("binary"))
    model = create(family, PARAMETERS[family], seed=1, threads=1)
    model.fit(train, train.take(np.zeros(len(train), dtype=bool)))
    assert len(model.history()) == COMMON["epochs"]
    assert np.isfinite(model.predict(test).score).all()


def test_the_scale_of_a_regression_comes_back() -> None:
    train, validation, test = split(samples("regression"))
    scores = []
    for factor, shift in ((1.0, 0.0), (0.01, 5.0)):
        parts = []
        for rows in (train, validation):
            fields = {f: getattr(rows, f) for f in rows.__dataclass_fields__}
            target = (rows.target.astype(np.float64) * factor + shift).astype(
                np.float32
            )
            parts.append(Samples(**fields | {"target": target}))
        model = create("mlp", PARAMETERS["mlp"], seed=1, threads=1)
        model.fit(*parts)
        scores.append((model.predict(test).score - shift) / factor)
    np.testing.assert_allclose(scores[0], scores[1], atol=0.02)


@pytest.mark.parametrize("family", ["mlp", "tab_transformer"])
def test_an_unknown_factor_is_told_from_an_average_one(family: str) -> None:
    rows = samples("regression")
    unknown = np.isnan(rows.features[:, 1])
    fields = {f: getattr(rows, f) for f in rows.__dataclass_fields__}
    target = np.where(unknown, 2.0, 0.0).astype(np.float32)
    train, validation, test = split(Samples(**fields | {"target": target}))
    model = create(family, PARAMETERS[family] | {"epochs": 30}, seed=1, threads=1)
    model.fit(train, validation)
    score = model.predict(test).score
    missing = np.isnan(test.features[:, 1])
    assert score[missing].min() > score[~missing].max()


def test_features_never_seen_missing_or_all_missing_are_no_obstacle() -> None:
    rows = samples("regression")
    train, validation, test = split(rows)
    train.features[:, 2] = np.nan
    test.features[:3] = np.nan
    model = create("mlp", PARAMETERS["mlp"], seed=1, threads=1)
    model.fit(train, validation)
    assert np.isfinite(model.predict(test).score).all()


def test_a_row_without_a_window_has_no_lstm_score() -> None:
    train, validation, _ = split(samples("three_class"))
    model = create("lstm", PARAMETERS["lstm"], seed=1, threads=1)
    model.fit(train, validation)
    rows = samples("three_class")
    early = model.predict(rows.take(rows.bars < 40))
    # 20 returns for the volatility, then five bars.
    bars = rows.bars[rows.bars < 40]
    np.testing.assert_array_equal(np.isnan(early.score), bars < 24)
    assert early.probabilities is not None
    assert np.isnan(early.probabilities[bars < 24]).all()
    gap = model.predict(rows.take((rows.symbols == 4) & (rows.bars < 80))).score
    assert np.isnan(gap[-20:]).sum() == 5  # a return over the gap is in five windows


def test_scores_do_not_depend_on_which_rows_are_asked_for() -> None:
    train, validation, test = split(samples("regression"))
    for family in ("mlp", "lstm"):
        model = create(family, PARAMETERS[family], seed=1, threads=1)
        model.fit(train, validation)
        some = np.isin(test.symbols, [1, 5])
        np.testing.assert_allclose(
            model.predict(test.take(some)).score,
            model.predict(test).score[some],
            atol=1e-6,
        )


@pytest.mark.parametrize("family", ["mlp", "tab_transformer", "lstm"])
def test_parameters_are_typed_and_closed(family: str) -> None:
    with pytest.raises(UserError, match="hiden"):
        create(family, PARAMETERS[family] | {"hiden": 4}, seed=1, threads=1)
    missing = {k: v for k, v in PARAMETERS[family].items() if k != "epochs"}
    with pytest.raises(UserError, match="epochs"):
        create(family, missing, seed=1, threads=1)
    assert family_type(family).device == "gpu"


def test_the_stored_facts_are_plain_json(tmp_path: Path) -> None:
    train, validation, _ = split(samples("binary"))
    model = create("lstm", PARAMETERS["lstm"], seed=1, threads=1)
    model.fit(train, validation)
    model.save(tmp_path)
    meta = json.loads((tmp_path / "model.json").read_text())
    assert meta["task"] == "binary"
    assert meta["facts"]["sample_shape"] == [5, 5]
    assert set(meta["facts"]["channel_scale"]) == {"mean", "deviation"}
    # Classes have no rank IC, and a NaN cannot be stored.
    history = json.loads(json.dumps(model.history(), allow_nan=False))
    assert len(history) > 0
    assert {"epoch", "train_loss", "validation_score"} <= set(history[0])
    assert "train_ic" not in history[0]


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("family", ["mlp", "tcn"])
def test_rows_of_no_weight_are_not_learned(family: str, task: str) -> None:
    train, _, test = split(samples(task))
    wrong = train.symbols % 3 > 0
    flipped = -train.target if task == "regression" else 1 - train.target
    mixed = np.where(wrong, flipped, train.target).astype(np.float32)
    weight = np.where(wrong, 0, 2).astype(np.float32)
    skills = []
    for given in (weight, None):
        model = create(family, PARAMETERS[family], seed=1, threads=1)
        model.fit(replace(train, target=mixed, weight=given), None)
        skills.append(skill(model.predict(test).score, test.target))
    assert skills[0] > 0.5
    assert skills[1] < 0


def test_weights_of_one_change_no_bit_and_validation_has_its_own() -> None:
    train, validation, test = split(samples("regression"))
    ones, uneven = np.ones(len(validation)), np.linspace(0, 2, len(validation))
    scores, measured = [], []
    for own, held_out in ((None, None), (np.ones(len(train)), ones), (None, uneven)):
        rows = [
            part if w is None else replace(part, weight=w.astype(np.float32))
            for part, w in ((train, own), (validation, held_out))
        ]
        model = create("mlp", PARAMETERS["mlp"], seed=1, threads=1)
        model.fit(*rows)
        scores.append(model.predict(test).score)
        measured.append([row["validation_score"] for row in model.history()])
    np.testing.assert_array_equal(scores[0], scores[1])
    assert measured[0] == measured[1] != measured[2]


def test_factors_far_from_zero_are_standardised_by_their_mean() -> None:
    """A mean of 400,000 prices summed in 32 bits is off by 0.8 of their deviation."""
    rows = samples("regression")
    far = np.full((400_000, 2), 1000.1, dtype=np.float32)
    far[::2] += 2.0
    places = np.zeros(len(far), dtype=np.intp)
    many = replace(
        rows,
        bars=places,
        symbols=places,
        features=far,
        feature_names=("price", "again"),
        target=np.zeros(len(far), dtype=np.float32),
        label_end=places + 1,
    )
    model = create("mlp", PARAMETERS["mlp"], seed=1, threads=1)
    np.testing.assert_allclose(
        model._fit_inputs(many)["feature_mean"], far.mean(0, np.float64), rtol=1e-9
    )
