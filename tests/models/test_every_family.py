"""One contract for every family of the registry: what ``models/base.py`` promises.

A family is held to it from the moment that it has a line in ``registry.LISTINGS``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras, registry
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.models.tasks import CLASSES
from ranking_pipeline.training.fit import prediction_table

FAMILIES = tuple(registry.LISTINGS)
TASKS = [
    (name, task)
    for name in FAMILIES
    for task in ("regression", "binary", "three_class")
    if task in registry.LISTINGS[name].tasks
]
# Names of a bar see each other: a score depends on who else is scored.
SEES_OTHERS = {"cross_stock"}
# Families that cannot weigh rows say so instead of ignoring the weights.
REFUSES_WEIGHTS: set[str] = {"low_rank"}
SUFFIXES = {".txt", ".json", ".ubj", ".cbm", ".safetensors", ".skops", ".npz"}
KEY = "cd" * 32
Rows = tuple[Samples, Samples, Samples]
Fit = Callable[..., BaseModel]


@pytest.fixture(scope="module")
def rows(samples: Callable[[str], Rows]) -> Callable[[str], Rows]:
    """Train, validation and later rows: few bars, and two further targets."""

    @cache
    def make(task: str) -> Rows:
        train, validation, later = samples(task)
        kept = (train.bars >= 25, validation.bars >= 0, later.bars < 100)
        blocks = zip((train, validation, later), kept, strict=True)
        return tuple(_with_auxiliary(block.take(mask)) for block, mask in blocks)

    return make


def _with_auxiliary(block: Samples) -> Samples:
    noise = np.random.default_rng(len(block)).standard_normal((len(block), 2))
    further = (0.5 * noise + block.target[:, None]).astype(np.float32)
    names = ("fwd_ret_5d", "fwd_ret_9d")
    return replace(block, auxiliary=further, auxiliary_names=names)


@pytest.fixture(scope="module")
def fit(
    rows: Callable[[str], Rows],
    quick_parameters: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Fit:
    """Fitted models by family and task, made once; keywords change the fit."""

    @cache
    def made(family: str, task: str, seed: int = 5, threads: int = 1) -> BaseModel:
        train, validation, _ = rows(task)
        model = new(family, seed, threads)
        model.fit(train, validation)
        return model

    def new(family: str, seed: int, threads: int) -> BaseModel:
        _skip_absent(family)
        block = _complete(family, quick_parameters[family], tmp_path_factory)
        return registry.create(family, block, seed, threads)

    made.new = new  # type: ignore[attr-defined]
    return made


def _skip_absent(family: str) -> None:
    info = registry.list_models()[family]
    if not info.installed:
        pytest.skip(f"{family} needs {', '.join(extras.missing(info.extra))}")


def _complete(family: str, block: dict[str, Any], factory: Any) -> dict[str, Any]:
    """A block that can be fitted here: pretrained weights are made, tiny and random."""
    if family != "timesfm":
        return block
    return {**block, **_timesfm(str(factory.getbasetemp()))}


@cache
def _timesfm(folder: str) -> dict[str, Any]:
    """A checkpoint of two layers with random weights: nothing is downloaded."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "head_dim": 8}
    lengths = {"patch_length": 4, "context_length": 8, "horizon_length": 4}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.TimesFmConfig(**sizes, **lengths, **heads)
    weights = Path(folder) / "timesfm-every-family"
    transformers.TimesFmModelForPrediction(config).save_pretrained(weights)
    return {"weights": str(weights)}


def _equal(one: PredictionOutput, other: PredictionOutput) -> None:
    np.testing.assert_array_equal(one.score, other.score)
    if one.probabilities is not None or other.probabilities is not None:
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_block_of_the_configuration_is_complete_and_closed(
    family: str, quick_parameters: dict[str, dict[str, Any]]
) -> None:
    _skip_absent(family)
    block = quick_parameters[family]
    assert registry.validate(family, block)
    with pytest.raises(UserError, match=f"(?s)'{family}'.*no_such_key: unknown key"):
        registry.validate(family, {**block, "no_such_key": 1})
    fields = registry.family_type(family).config_type.model_fields
    assert all(field.description for field in fields.values())
    assert all(field.is_required() for field in fields.values())


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_a_fitted_model_scores_every_row_and_survives_its_files(
    family: str, task: str, fit: Fit, rows: Callable[[str], Rows], tmp_path: Path
) -> None:
    model, later = fit(family, task), rows(task)[2]
    output = model.predict(later)
    _check_output(output, later)
    assert np.isfinite(output.score).mean() > 0.5
    blind = replace(later, target=np.full_like(later.target, np.nan), auxiliary=None)
    blind = replace(blind, auxiliary_names=())
    _equal(model.predict(blind), output)  # the target is not looked at
    model.save(tmp_path)
    _check_files(tmp_path)
    cls, config = registry.family_type(family), model.config
    loaded = cls.load(tmp_path, config, seed=model.seed, threads=1)
    _equal(loaded.predict(later), output)
    table = prediction_table(later, output)
    known = np.isfinite(output.score)
    stamps = later.panel.timestamps[later.bars[known]]
    assert (table["timestamp"].dt.tz_localize(None).to_numpy() == stamps).all()
    names = np.array(later.panel.symbols)[later.symbols[known]]
    assert (table["symbol"].astype("str").to_numpy() == names).all()


def _check_output(output: PredictionOutput, later: Samples) -> None:
    assert output.score.shape == (len(later),)
    assert output.score.dtype == np.float32
    if later.task == "regression":
        assert output.probabilities is None
        assert output.classes is None
        return
    classes = CLASSES[later.task]
    assert output.probabilities is not None
    assert output.probabilities.shape == (len(later), len(classes))
    known = np.isfinite(output.probabilities).all(axis=1)
    total = output.probabilities[known].sum(axis=1)
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert output.probabilities[known].min() >= 0
    assert output.classes is not None
    assert set(output.classes[known]) <= set(classes)
    assert np.isnan(output.classes[~known]).all()


def _check_files(folder: Path) -> None:
    files = sorted(folder.iterdir())
    assert files
    for path in files:
        assert path.suffix in SUFFIXES, path.name
        content = path.read_bytes()
        assert not re.match(rb"\x80[\x02-\x05]", content), f"{path.name} is a pickle"
        if zipfile.is_zipfile(path):
            inner = zipfile.ZipFile(path).namelist()
            assert not [name for name in inner if name.endswith((".pkl", ".pickle"))]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_seed_gives_one_model_whatever_the_threads(
    family: str, fit: Fit, rows: Callable[[str], Rows], tmp_path: Path
) -> None:
    later = rows("regression")[2] if _regresses(family) else rows("binary")[2]
    one = fit(family, later.task)
    other = fit(family, later.task, threads=2)
    _equal(one.predict(later), other.predict(later))
    contents = []
    for name, model in (("one", one), ("other", other)):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
        files = sorted((tmp_path / name).iterdir())
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1]


def _regresses(family: str) -> bool:
    return "regression" in registry.LISTINGS[family].tasks


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - SEES_OTHERS))
def test_a_score_does_not_depend_on_the_other_rows(
    family: str, fit: Fit, rows: Callable[[str], Rows]
) -> None:
    later = rows("regression")[2] if _regresses(family) else rows("binary")[2]
    model = fit(family, later.task)
    half = np.random.default_rng(0).random(len(later)) < 0.5
    whole, part = model.predict(later).score[half], model.predict(later.take(half))
    assert (np.isfinite(whole) == np.isfinite(part.score)).all()
    np.testing.assert_allclose(part.score, whole, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_respected_or_refused(
    family: str, fit: Fit, rows: Callable[[str], Rows]
) -> None:
    task = "regression" if _regresses(family) else "binary"
    train, validation, later = rows(task)
    if task == "regression":  # half of the symbols say more of the first feature
        slope = np.where(train.symbols % 2 == 0, 3.0, 1.0)
        clear = (slope * np.nan_to_num(train.features[:, 0])).astype(np.float32)
        train = replace(train, target=clear)
    heavy = np.where(train.symbols % 2 == 0, 1.95, 0.05)
    weight = (heavy / heavy.mean()).astype(np.float32)
    plain, weighed = (fit.new(family, 5, 1) for _ in "12")  # type: ignore[attr-defined]
    plain.fit(train, validation)
    if family in REFUSES_WEIGHTS:
        with pytest.raises(UserError, match="weight"):
            weighed.fit(replace(train, weight=weight), validation)
        return
    weighed.fit(replace(train, weight=weight), validation)
    scores = [model.predict(later).score for model in (plain, weighed)]
    assert not np.array_equal(*scores, equal_nan=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_teach_nothing_are_refused_with_every_fault(
    family: str, fit: Fit, rows: Callable[[str], Rows]
) -> None:
    task = "regression" if _regresses(family) else "binary"
    train, validation, _ = rows(task)
    features: npt.NDArray[np.float32] = train.features.copy()
    features[3, 1] = np.inf
    weight = np.full(len(train), -1.0, dtype=np.float32)
    spoilt = replace(train, features=features, weight=weight, task="ranking")
    with pytest.raises(UserError) as caught:
        fit.new(family, 5, 1).fit(spoilt, validation)  # type: ignore[attr-defined]
    text = str(caught.value)
    assert family in text
    for part in ("task 'ranking'", "infinite values: beta", "weights are to be finite"):
        assert part in text
    with pytest.raises(UserError, match="no labelled rows"):
        fit.new(family, 5, 1).fit(  # type: ignore[attr-defined]
            train.take(np.zeros(len(train), dtype=np.bool_)), None
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_harmed_files_are_refused_before_a_parser_sees_them(
    family: str,
    fit: Fit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = fit(family, "regression" if _regresses(family) else "binary")
    block = model.config.model_dump(mode="json")
    store, facts = ModelStore(tmp_path), {"family": family, "seed": 5}
    folder = store.write(KEY, model.save, {**facts, "parameters": block}).folder
    assert store.load_model(KEY).family == family

    def parser(*_: Any, **__: Any) -> None:
        raise AssertionError("the parser saw harmed bytes")

    monkeypatch.setattr(registry.family_type(family), "load", parser)
    for name in store.listed(KEY).files:
        content = (folder / name).read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1])
        for harmed in (flipped + content[middle + 1 :], content[:middle], b""):
            (folder / name).write_bytes(harmed)
            with pytest.raises(UserError, match="damaged or was altered"):
                store.load_model(KEY)
        (folder / name).write_bytes(content)
