"""The stock transformer: its input, its gaps, its loss, and nothing from tomorrow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from neural_world import PARAMETERS, samples, skill, split

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.registry import create
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.scaled_levels import scaled_levels
from ranking_pipeline.panel import Panel

CONF = Path(__file__).parents[2] / "conf/base/parameters_model_training.yml"
OURS = PARAMETERS["stock_transformer"] | {
    "sequence_length": 10,
    "normalization": "scaled_levels",
    "max_missing_share": 0.1,
    "regression_loss": "mixture",
    "loss_parameters": {"terms": {"mse": 1.0, "pairwise": 5.0}, "pairs": "all"},
    "epochs": 2,
}


def shipped() -> dict[str, Any]:
    text = CONF.read_text("utf-8").replace("${", "$ {")
    blocks = yaml.safe_load(text)["model_training"]["parameters"]
    found: dict[str, Any] = blocks["stock_transformer"]
    return found


def made(seed: int = 1, **changes: Any) -> Any:
    return create("stock_transformer", OURS | changes, seed=seed, threads=1)


def with_bars(rows: Samples, panel: Panel) -> Samples:
    return replace(rows, panel=panel)


def of_the_level(rows: Samples) -> Samples:
    """Rows whose target follows the last of the 20 channels of prices."""
    level = scaled_levels(rows.panel, np.arange(8))[rows.symbols, rows.bars, 19]
    noise = np.random.default_rng(3).normal(size=len(rows))
    target = np.nan_to_num(level - np.nanmean(level)) / np.nanstd(level) + 0.5 * noise
    return replace(rows, target=target.astype(np.float32))


def gappy(rows: Samples, share: float = 0.04) -> Samples:
    """The same rows where some bars of their symbols are missing."""
    panel = rows.panel
    values = panel.values.copy()
    gaps = np.random.default_rng(7).random(values.shape[:2]) < share
    values[gaps] = np.nan
    return with_bars(rows, replace(panel, values=values))


def fitted(**changes: Any) -> tuple[Any, Samples]:
    train, validation, test = split(samples("regression"))
    model = made(**changes)
    model.fit(train, validation)
    return model, test


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Samples]:
    return fitted()


def test_the_shipped_sizes_are_those_of_the_source() -> None:
    block = shipped()
    model: Any = create("stock_transformer", block, seed=1, threads=1)
    model._task = "regression"
    network = model._new_network((block["sequence_length"], 25))
    assert sum(weight.numel() for weight in network.parameters()) == 403_073
    assert (block["sequence_length"], block["heads"], block["dropout"]) == (32, 4, 0.1)
    assert (block["layers"], block["prediction_layers"]) == (1, 1)
    # 90 % of 32 days: three may be missing.
    assert model._max_missing == 3
    assert block["normalization"] == "scaled_levels"


def test_it_sees_25_channels_and_learns(tmp_path: Path) -> None:
    train, validation, test = split(of_the_level(samples("regression")))
    model = made(epochs=8)
    model.fit(train, validation)
    assert model._facts["sample_shape"] == [10, 25]
    assert model._facts["channel_scale"] is None
    output = model.predict(test).score
    assert skill(output, test.target) > 0.5
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=1, threads=1)
    np.testing.assert_array_equal(again.predict(test).score, output)


@pytest.mark.parametrize("bar", [125, 135])
def test_bars_after_t_change_no_score(trained: tuple[Any, Samples], bar: int) -> None:
    """Neither other bars nor none: the highest level is the one known at t."""
    model, test = trained
    rows = test.take(test.bars <= bar)
    expected = model.predict(rows).score
    panel = rows.panel
    values = panel.values.copy()
    values[:, bar + 1 :] *= 50
    values[2, bar + 1 :] = np.nan
    later = with_bars(rows, replace(panel, values=values))
    np.testing.assert_array_equal(model.predict(later).score, expected)
    ended = with_bars(rows, panel.cut(slice(0, bar + 1)))
    np.testing.assert_array_equal(model.predict(ended).score, expected)
    assert np.isfinite(expected).all()
    moved = with_bars(test, later.panel)
    after = test.bars > bar
    assert (model.predict(moved).score[after] != model.predict(test).score[after]).any()


def test_a_tenth_of_the_window_may_be_missing(trained: tuple[Any, Samples]) -> None:
    model, test = trained
    rows = gappy(test)
    there = np.isfinite(rows.panel.values).all(axis=2)
    expected = []
    for bar, symbol in zip(rows.bars, rows.symbols, strict=True):
        window = there[symbol, bar - 9 : bar + 1]
        expected.append(bool(window[-1]) and int((~window).sum()) <= 1)
    score = model.predict(rows).score
    np.testing.assert_array_equal(np.isfinite(score), expected)
    assert 0.5 < np.mean(expected) < 0.97
    whole = made(max_missing_share=0.0)
    whole._task, whole._facts = model._task, model._facts
    whole._network = model._network
    strict = whole.predict(rows).score
    assert np.isfinite(strict).sum() < np.isfinite(score).sum()
    both = np.isfinite(strict)
    np.testing.assert_allclose(strict[both], score[both], atol=1e-5)


def test_numbers_of_a_bar_that_is_not_whole_change_nothing(
    trained: tuple[Any, Samples],
) -> None:
    model, test = trained
    rows = gappy(test)
    expected = model.predict(rows).score
    values = rows.panel.values.copy()
    gaps = np.isnan(values).any(axis=2)
    for other in (-1234.0, 1e6):
        filled = values.copy()
        filled[gaps] = other
        filled[gaps, 1] = np.nan  # what says that the bar is not there
        changed = with_bars(rows, replace(rows.panel, values=filled))
        np.testing.assert_array_equal(model.predict(changed).score, expected)


def test_gaps_in_the_training_rows_are_learned_around() -> None:
    train, validation, test = split(samples("regression"))
    kept = []
    for share in (0.1, 0.0):
        model = made(max_missing_share=share, epochs=1)
        model.fit(gappy(train), gappy(validation))
        kept.append(np.isfinite(model.predict(gappy(train)).score).sum())
        assert np.isfinite(model.predict(test).score).all()
    assert kept[0] > kept[1]


def test_the_seed_fixes_every_bit_of_the_drawn_rows(tmp_path: Path) -> None:
    train, validation, _ = split(samples("regression"))
    files = []
    for place, seed in enumerate((1, 1, 2)):
        model = made(seed, symbols_per_timestamp=4, timestamps_per_epoch=20)
        model.fit(train, validation)
        folder = tmp_path / str(place)
        folder.mkdir()
        model.save(folder)
        files.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_caps_reach_the_loop_and_the_validation(monkeypatch: Any) -> None:
    train, validation, _ = split(samples("regression"))
    model = made(symbols_per_timestamp=3, timestamps_per_epoch=7)
    loop = model._loop()
    assert (loop.symbols_per_timestamp, loop.timestamps_per_epoch) == (3, 7)
    seen: list[tuple[int, int]] = []
    for most in (40, None):
        model = made(max_validation_rows=most, epochs=1)
        original = model._train

        def spy(rows: Samples, held_out: Samples, run: Any = original) -> None:
            seen.append((len(rows), len(held_out)))
            run(rows, held_out)

        monkeypatch.setattr(model, "_train", spy)
        model.fit(train, validation)
    assert seen == [(len(train), 40), (len(train), len(validation))]


@pytest.mark.parametrize("normalization", ["log_anchored", "returns", "zscore"])
def test_gaps_need_channels_of_the_bar_alone(normalization: str) -> None:
    with pytest.raises(UserError, match=f"{normalization} needs whole windows; use 0"):
        made(normalization=normalization)
    made(normalization=normalization, max_missing_share=0.0)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("heads", 3, "hidden is 8, which 3 heads do not divide"),
        ("max_missing_share", 1.0, "max_missing_share: "),
        ("max_missing_share", -0.1, "max_missing_share: "),
        ("symbols_per_timestamp", 1, "symbols_per_timestamp: "),
        ("loss_parameters", {"terms": {"mse": -1}}, "use a weight above 0"),
        ("loss_parameters", {"terms": {"msee": 1}}, "loss.type is 'msee'"),
    ],
)
def test_parameters_are_typed(key: str, value: Any, text: str) -> None:
    with pytest.raises(UserError, match=text):
        made(**{key: value})


def test_other_families_take_whole_windows_and_may_see_the_levels() -> None:
    train, validation, test = split(samples("regression"))
    for family in ("gru", "tcn", "nhits", "cross_stock"):
        block = PARAMETERS[family] | {"normalization": "scaled_levels", "epochs": 1}
        model: Any = create(family, block, seed=1, threads=1)
        model.fit(train, validation)
        assert model._max_missing == 0
        rows = gappy(test)
        there = np.isfinite(rows.panel.values).all(axis=2)
        expected = [
            bool(there[symbol, bar - 4 : bar + 1].all())
            for bar, symbol in zip(rows.bars, rows.symbols, strict=True)
        ]
        np.testing.assert_array_equal(
            np.isfinite(model.predict(rows).score), expected, err_msg=family
        )
        with pytest.raises(UserError, match="max_missing_share: unknown key"):
            create(family, block | {"max_missing_share": 0.1}, seed=1, threads=1)
