"""The registry: names, faults told at once, and no heavy import before its time."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from click.testing import CliRunner

from ranking_pipeline.cli import cli
from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras, registry
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.family_list import FamilyInfo, describe, table
from ranking_pipeline.models.samples import Samples


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    # A module registers its families once, when it is first imported.
    before = dict(registry.families())
    yield
    registry._registered.clear()
    registry._registered.update(before)


class Whole(BaseModel):
    """A family that is complete, for tests that spoil one thing."""

    family: ClassVar[str] = "whole"
    description: ClassVar[str] = "for tests"
    device: ClassVar[str] = "cpu"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    config_type: ClassVar[type[Config]] = Config

    def fit(self, train: Samples, validation: Samples | None) -> None: ...

    def predict(self, rows: Samples) -> PredictionOutput:
        raise AssertionError

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        return cls(config, seed=seed, threads=threads)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("lightgbm", "lightgbm"),
        ("LightGBM", "lightgbm"),
        ("lgbm", "lightgbm"),
        ("boosting:lightgbm", "lightgbm"),
        ("XGBoost", "xgboost"),
        ("RF", "random_forest"),
        ("Random Forest", "random_forest"),
        ("randomforest", "random_forest"),
        ("Ridge", "ridge"),
        ("NeuralNetwork", "mlp"),
        ("LSTM", "lstm"),
        ("LambdaRank", "lightgbm_rank"),
        ("lightgbm-rank", "lightgbm_rank"),
        ("boosting:LambdaMART", "lightgbm_rank"),
        ("XGBRanker", "xgboost_rank"),
        ("GRU", "gru"),
        ("neural:TCN", "tcn"),
        ("StockTransformer", "stock_transformer"),
        ("cross-stock", "cross_stock"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert registry.canonical(spelling) == name


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(UserError, match=r"'lightgbn' .*mean 'lightgbm'.*random_forest"):
        registry.canonical("lightgbn")
    with pytest.raises(UserError, match="does not exist"):
        registry.canonical("forest:lightgbm")


def test_all_faults_of_parameters_are_told_at_once(parameters: Any) -> None:
    block = {**parameters["ridge"], "expected_r2": 2.0, "alpha": 1}
    del block["clip_sigma"]
    with pytest.raises(UserError) as caught:
        registry.create("ridge", block, 0, 1)
    text = str(caught.value)
    assert "alpha: unknown key" in text
    assert "clip_sigma: missing" in text
    assert "expected_r2: 2.0 given, must be below 1.0" in text
    assert "Valid keys: clip_sigma, expected_r2" in text


def test_a_family_of_ones_own_is_found() -> None:
    registry.register(Whole)
    assert registry.canonical("Whole") == "whole"
    assert registry.listing("whole").device == "cpu"
    assert isinstance(registry.create("whole", {}, 1, 2), Whole)
    registry.register(Whole)  # a reload of the same definition


def test_a_second_family_of_a_name_is_refused_with_both_places() -> None:
    registry.register(Whole)

    class Other(Whole):
        pass

    with pytest.raises(ValueError, match=r"twice: by Whole \(.*\) and by .*Other \("):
        registry.register(Other)


def test_an_open_method_and_a_missing_attribute_are_both_told() -> None:
    class Half(BaseModel):
        family = "half"
        device = "cpu"

    with pytest.raises(TypeError, match=r"'fit'.*'save'.*'description'.*'tasks'"):
        registry.register(Half)


@pytest.mark.parametrize(
    ("attribute", "value", "text"),
    [
        ("device", "tpu", "neither 'cpu' nor 'gpu'"),
        ("tasks", frozenset({"ranking"}), "are not among"),
        ("tasks", frozenset(), "are not among"),
        ("config_type", dict, "does not derive from Config"),
        ("family", "lstm", "differs from the listing"),
    ],
)
def test_wrong_attributes_are_refused(attribute: str, value: Any, text: str) -> None:
    spoilt = type("Spoilt", (Whole,), {attribute: value})
    with pytest.raises(TypeError, match=text):
        registry.register(spoilt)


def test_a_class_that_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="does not derive from BaseModel"):
        registry.register(dict)  # type: ignore[type-var]


def test_listings_say_what_the_families_say() -> None:
    for name in registry.LISTINGS:
        cls = registry.family_type(name)
        listing = registry.listing(name)
        assert (cls.family, cls.device) == (name, listing.device)
        assert cls.tasks == listing.tasks
        assert cls.sequence == listing.sequence
        assert cls.weighted == listing.weighted


def test_every_name_is_a_spelling_of_itself_alone() -> None:
    for name in registry.names():
        assert registry.canonical(name) == name
        assert registry.canonical(f"{registry.group_of(name)}:{name}") == name
    for name, listing in registry.LISTINGS.items():
        for alias in listing.aliases:
            assert registry.canonical(alias) == name


def test_an_alias_of_two_families_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(registry.LISTINGS["lightgbm"], aliases=("linear",))
    monkeypatch.setitem(registry.LISTINGS, "lightgbm", other)
    with pytest.raises(UserError, match="short for boosting:lightgbm, linear:ridge"):
        registry.canonical("Linear")
    assert registry.canonical("linear:linear") == "ridge"


def test_the_list_says_what_the_classes_say() -> None:
    rows = registry.list_models()
    assert tuple(rows) == registry.names()
    keys = ("description", "device", "tasks", "sequence")
    for name in registry.LISTINGS:
        unseen = _unloaded(name)
        cls = registry.family_type(name)
        for key in (*keys, "experimental", "extra"):
            assert getattr(unseen, key) == getattr(cls, key), (name, key)
        assert unseen.description
        assert unseen == rows[name]


def _unloaded(name: str) -> FamilyInfo:
    """What is told of a family that was never imported."""
    known = registry._registered.pop(name)
    try:
        return describe(name)
    finally:
        registry._registered[name] = known


def test_a_group_is_listed_alone_and_an_unknown_one_names_the_others() -> None:
    linear = registry.list_models("linear")
    assert {"ridge", "low_rank"} <= set(linear)
    assert {row.group for row in linear.values()} == {"linear"}
    with pytest.raises(UserError, match=r"no group 'trees'.*boosting, .*linear"):
        registry.list_models("trees")


def test_families_on_windows_are_a_group_of_their_own_besides() -> None:
    windows = registry.list_models("sequence")
    assert {"lstm", "patchtst", "timesfm"} <= set(windows)
    assert all(row.sequence and row.group == "neural" for row in windows.values())
    assert registry.canonical("sequence:LSTM") == registry.canonical("neural:lstm")
    with pytest.raises(UserError, match="'sequence:mlp' does not exist"):
        registry.canonical("sequence:mlp")


def test_the_list_tells_who_ranks_and_who_learns_several_targets() -> None:
    rows = registry.list_models()
    ranks = {name for name, row in rows.items() if row.ranks}
    assert ranks == {"lightgbm_rank", "xgboost_rank"}
    assert {name for name, row in rows.items() if row.multi_target} == {"multi_task"}
    lines = table(rows.values()).splitlines()
    assert "several targets" in next(one for one in lines if "multi_task" in one)
    assert "  ranks  " in next(one for one in lines if "xgboost_rank" in one)


@pytest.mark.parametrize(
    ("family", "parameters", "told"),
    [
        ("lightgbm", {"n_rounds": True}, "n_rounds: True given, but true"),
        ("lightgbm", {"max_depth": False}, "max_depth: False given, but true"),
        ("ridge", {"clip_sigma": True}, "clip_sigma: True given, but true"),
        ("nhits", {"pooling": [True, 2]}, "pooling: .* are no numbers"),
        ("patchtst", {"patch_length": 64}, "64: a window has 32 bars"),
    ],
)
def test_a_bool_is_no_number_and_a_patch_fits_its_window(
    family: str, parameters: Any, told: str, quick_parameters: Any
) -> None:
    block = {**quick_parameters[family], **parameters}
    if family == "patchtst":
        block["sequence_length"] = 32
    with pytest.raises(UserError, match=told):
        registry.validate(family, block)


def test_the_command_prints_the_list() -> None:
    done = CliRunner().invoke(cli, ["models", "list", "--group=linear"])
    lines = done.output.splitlines()
    assert lines[0].split()[:3] == ["name", "group", "stage"]
    (row,) = (line for line in lines if line.startswith("ridge"))
    assert row.split()[1:3] == ["linear", "cpu"]
    assert "ridge regression" in row
    names = CliRunner().invoke(cli, ["models", "list", "--names"]).output.split()
    assert names == list(registry.names())
    wrong = CliRunner().invoke(cli, ["models", "list", "--group=x"])
    assert wrong.exit_code == 1
    assert "there is no group 'x'" in wrong.output


def test_an_absent_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.PACKAGES, "gone", ("no_such_package",))
    registry.register(type("Needy", (Whole,), {"family": "needy", "extra": "gone"}))
    with pytest.raises(UserError) as caught:
        registry.create("needy", {}, 1, 1)
    assert "pip install 'ranking_pipeline[gone]'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not registry.list_models()["needy"].installed


def test_every_extra_is_one_that_the_project_declares() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    declared = tomllib.loads(text)["project"]["optional-dependencies"]
    for extra, packages in extras.PACKAGES.items():
        assert any(line.startswith(packages[0]) for line in declared[extra])
    for name, row in registry.list_models().items():
        assert row.extra in {"", *extras.PACKAGES}, name


def test_an_unsuitable_task_and_missing_features_are_refused_at_once(
    parameters: Any,
) -> None:
    block = {**parameters["ridge"], "alpha": 1}
    with pytest.raises(UserError) as caught:
        registry.create("ridge", block, 0, 1, task="ranking", features=())
    text = str(caught.value)
    assert "task 'ranking' is not one of" in text
    assert "there are no features" in text
    assert "alpha: unknown key" in text
    good = parameters["ridge"]
    with pytest.raises(UserError, match="features given twice: a"):
        registry.create("ridge", good, 0, 1, task="binary", features=("a", "b", "a"))
    assert registry.create("ridge", good, 0, 1, task="binary", features=("a",))


def test_names_and_tabular_families_import_no_library() -> None:
    code = (
        "import sys\n"
        "from ranking_pipeline.models import registry\n"
        "from ranking_pipeline.training import collect, fit, plan, routed\n"
        "registry.listing('lstm')\n"
        "assert registry.list_models()['lstm'].description\n"
        "for f in ('lightgbm', 'xgboost', 'random_forest', 'ridge',\n"
        "          'lightgbm_rank', 'xgboost_rank'):\n"
        "    registry.family_type(f)\n"
        "heavy = {'torch', 'sklearn', 'lightgbm', 'xgboost', 'scipy', 'skops',\n"
        "         'pyarrow', 'loky', 'kedro'}\n"
        "found = heavy & set(sys.modules) - {'pyarrow'}\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
