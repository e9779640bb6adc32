"""Every sequence network is a family, and every loss of scores trains it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neural_world import OWN, PARAMETERS, SEQUENCES, samples, skill, split

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks import network_names
from ranking_pipeline.models import registry
from ranking_pipeline.models.rank_metric import MeanRankIC
from ranking_pipeline.models.rank_scale import ScoreScale
from ranking_pipeline.models.registry import create, family_type
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel

EACH = pytest.mark.parametrize("family", SEQUENCES)
CROSSING = ["cross_stock"]
ALONE = [family for family in SEQUENCES if family not in CROSSING]
TAILS = {"top_pct": 0.4, "bottom_pct": 0.4}  # of eight names
RANKING: dict[str, dict[str, Any]] = {
    "pairwise": TAILS,
    "pairwise_hinge": TAILS,
    "listwise": {"temperature": 0.5},
    "ic": {},
}


def made(family: str, seed: int = 1, threads: int = 1, **changes: Any) -> Any:
    return create(family, PARAMETERS[family] | changes, seed=seed, threads=threads)


def with_bars_changed(
    rows: Samples, bars: slice, symbols: Any = slice(None)
) -> Samples:
    """The same rows on a panel in which some bars are other bars."""
    panel = rows.panel
    values = panel.values.copy()
    noise = np.random.default_rng(9).uniform(0.9, 1.1, values[symbols, bars].shape)
    values[symbols, bars] *= noise.astype(np.float32)
    names = (panel.symbols, panel.timestamps, panel.fields)
    return replace(rows, panel=Panel(*names, values, panel.tradable))


def test_every_sequence_network_is_a_family() -> None:
    families = {name for name in registry.names() if registry.listing(name).sequence}
    networks = set(network_names()) - {"linear", "mlp", "tab_transformer"}
    assert families - {"timesfm"} == networks == set(OWN)
    for name in families:
        cls = family_type(name)
        assert (cls.family, cls.device, cls.sequence) == (name, "gpu", True)
        assert cls.tasks == {"regression", "binary", "three_class"}
        assert cls.description != family_type("mlp").description
    assert len({family_type(name).description for name in families}) == len(families)


@EACH
@pytest.mark.parametrize("task", ["regression", "binary", "three_class"])
def test_every_task_is_learned_and_survives_the_disk(
    family: str, task: str, tmp_path: Path
) -> None:
    train, validation, test = split(samples(task))
    model = made(family)
    model.fit(train, validation)
    output = model.predict(test)
    assert skill(output.score, test.target) > 0.5
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=1, threads=1)
    loaded = again.predict(test)
    np.testing.assert_array_equal(loaded.score, output.score)
    if task != "regression":
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(loaded.probabilities, output.probabilities)
    assert model.importance() is None
    assert {"epoch", "train_loss", "validation_score"} <= set(model.history()[0])


@EACH
def test_the_seed_fixes_every_bit_and_threads_change_none(
    family: str, tmp_path: Path
) -> None:
    train, validation, _ = split(samples("regression"))
    files = []
    for place, (seed, threads) in enumerate([(1, 1), (1, 2), (2, 1)]):
        model = made(family, seed, threads, epochs=2)
        model.fit(train, validation)
        folder = tmp_path / str(place)
        folder.mkdir()
        model.save(folder)
        files.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert files[0] == files[1]
    assert files[0][1] != files[2][1]


@EACH
def test_windows_of_other_bars_change_nothing(family: str) -> None:
    train, validation, test = split(samples("regression"))
    model = made(family, epochs=2, normalization="zscore")
    model.fit(train, validation)
    before = model.predict(test).score
    after = model.predict(with_bars_changed(test, slice(125, 130))).score
    # The window of bar t holds t - 4 ... t.
    touched = (test.bars >= 125) & (test.bars <= 133)
    np.testing.assert_allclose(after[~touched], before[~touched], atol=1e-5)
    assert (after[touched] != before[touched]).mean() > 0.8


@pytest.mark.parametrize("family", ALONE)
def test_other_names_change_nothing(family: str) -> None:
    train, validation, test = split(samples("regression"))
    model = made(family, epochs=2, normalization="zscore")
    model.fit(train, validation)
    before, others = model.predict(test).score, test.symbols != 2
    after = model.predict(with_bars_changed(test, slice(None), slice(2, 3))).score
    np.testing.assert_allclose(after[others], before[others], atol=1e-5)
    some = np.isin(test.symbols, [1, 5])
    np.testing.assert_allclose(
        model.predict(test.take(some)).score, before[some], atol=1e-5
    )


@pytest.mark.parametrize("family", CROSSING)
def test_crossing_names_see_the_same_bar_alone(family: str) -> None:
    train, validation, test = split(samples("regression"))
    model = made(family, epochs=2, normalization="zscore", sequence_length=2)
    model.fit(train, validation)
    before, others = model.predict(test).score, test.symbols != 2
    changed = with_bars_changed(test, slice(127, 128), slice(2, 3))
    differs = model.predict(changed).score != before
    assert set(test.bars[differs & others]) == {127, 128}


@EACH
def test_a_row_without_a_window_has_no_score(family: str) -> None:
    train, validation, _ = split(samples("binary"))
    model = made(family, epochs=1)
    model.fit(train, validation)
    rows = samples("binary")
    early = rows.take(rows.bars < 40)
    output = model.predict(early)
    # 20 returns for the volatility, then five bars.
    np.testing.assert_array_equal(np.isnan(output.score), early.bars < 24)
    assert np.isnan(output.probabilities[early.bars < 24]).all()


@pytest.mark.parametrize("family", ["mlp", "tcn", "cross_stock"])
@pytest.mark.parametrize("loss", RANKING)
def test_a_ranking_loss_learns_the_order_on_the_scale_of_the_target(
    family: str, loss: str, tmp_path: Path
) -> None:
    train, validation, test = split(samples("regression"))
    train = replace(train, target=(train.target / 100 + 3).astype(np.float32))
    changes = {"regression_loss": loss, "loss_parameters": RANKING[loss]}
    model = made(family, **changes, epochs=16, patience=16)
    model.fit(train, validation)
    score = model.predict(test).score
    assert MeanRankIC(test.target, test.bars)(score) > 0.5
    learned = train.take(np.isfinite(model.predict(train).score))
    own = model.predict(learned).score
    slope = ScoreScale.fit(own, learned.target, learned.bars).slope
    assert slope == pytest.approx(1, abs=1e-3)
    assert own.mean() == pytest.approx(learned.target.mean(), abs=1e-3)
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=1, threads=1)
    np.testing.assert_array_equal(again.predict(test).score, score)


def test_a_ranking_loss_asks_for_company() -> None:
    rows = samples("regression")
    train, validation, test = split(rows.take(rows.symbols == 2))
    for loss in RANKING:
        with pytest.raises(UserError, match=rf"lstm.*{loss}.*two.*huber or mse"):
            made("lstm", regression_loss=loss).fit(train, validation)
    for loss in ("huber", "mse"):
        model = made("lstm", regression_loss=loss, epochs=1)
        model.fit(train, validation)
        assert np.isfinite(model.predict(test).score).all()
    classes = samples("binary")
    alone = split(classes.take(classes.symbols == 2))
    # Classes learn by cross-entropy, whatever the loss of a regression.
    made("lstm", regression_loss="pairwise", epochs=1).fit(*alone[:2])


def test_bars_of_one_name_and_a_lonely_validation_change_nothing() -> None:
    train, validation, _ = split(samples("regression"))
    alone = np.zeros(len(train), dtype=bool)
    alone[np.unique(train.bars, return_index=True)[1]] = True
    full = train.bars % 3 > 0
    lonely = validation.take(np.unique(validation.bars, return_index=True)[1])
    changes = {"regression_loss": "pairwise", "loss_parameters": TAILS}
    changes |= {"normalization": "zscore", "epochs": 3}
    weights = []
    for mask, held_out in ((full, None), (full | alone, lonely)):
        model = made("tcn", **changes)
        model.fit(train.take(mask), held_out)
        assert len(model.history()) == 3
        weights.append(torch.cat([w.ravel() for w in model._network.parameters()]))
    assert (full | alone).sum() > full.sum()
    assert torch.equal(weights[0], weights[1])


def test_sizes_of_a_kind_reach_its_network() -> None:
    train, _, _ = split(samples("regression"))
    for family, changes in {
        "tcn": {"kernel_size": 5, "sequence_length": 9},
        "cross_stock": {"market_tokens": 5},
        "gru": {"layers": 2},
        "stock_transformer": {"prediction_layers": 2},
        "cnn1d": {"kernel_size": 5},
        "nhits": {"horizon": 9},
        "patchtst": {"patch_stride": 1},
    }.items():
        sizes = []
        for changed in (PARAMETERS[family], PARAMETERS[family] | changes):
            model: Any = create(family, changed | {"epochs": 1}, seed=1, threads=1)
            model.fit(train, None)
            sizes.append(sum(w.numel() for w in model._network.parameters()))
        assert sizes[0] != sizes[1], family
    heads: Any = made("transformer", heads=4, epochs=1)
    heads.fit(train, None)
    assert heads._network.body.blocks[0].attention.heads == 4


@pytest.mark.parametrize(
    ("family", "key", "value", "text"),
    [
        ("gru", "heads", 2, "heads: unknown key"),
        ("tcn", "market_tokens", 2, "market_tokens: unknown key"),
        ("transformer", "heads", 3, "hidden is 8, which 3 heads do not divide"),
        ("tab_transformer", "heads", 3, "hidden is 8, which 3 heads do not divide"),
        ("nhits", "pooling", [], r"pooling: \[\] given, must be a list of at least 1"),
        ("nhits", "pooling", [4, 0], "pooling.*0 given, must be above 0"),
        ("patchtst", "patch_stride", 0, "patch_stride: 0 given, must be above 0"),
        ("tcn", "kernel_size", 2, "kernel_size: 2 given, must be at least 3"),
        ("lstm", "regression_loss", "pairwize", "regression_loss: .*pairwise"),
        ("lstm", "regression_loss", "cross_entropy", "is the loss of classes"),
        ("lstm", "loss_parameters", {"margn": 1}, "loss_parameters: .*margn"),
        ("lstm", "normalization", "ranks", "normalization: 'ranks' given, must be"),
    ],
)
def test_parameters_are_typed_and_closed(
    family: str, key: str, value: Any, text: str
) -> None:
    with pytest.raises(UserError, match=text):
        made(family, **{key: value})


def test_loss_parameters_reach_the_loss() -> None:
    model = made("gru", regression_loss="listwise", loss_parameters={"temperature": 7})
    model._task = "regression"
    assert model._loss().temperature == 7
