"""The registry: names, faults told at once, and no heavy import before its time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel, PredictionOutput
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
    assert "expected_r2: Input should be less than 1 (given: 2.0)" in text
    assert "Valid keys: expected_r2, clip_sigma" in text


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


def test_names_and_tabular_families_import_no_library() -> None:
    code = (
        "import sys\n"
        "from ranking_pipeline.models import registry\n"
        "from ranking_pipeline.training import collect, fit, plan, routed\n"
        "registry.listing('lstm')\n"
        "for f in ('lightgbm', 'xgboost', 'random_forest', 'ridge',\n"
        "          'lightgbm_rank', 'xgboost_rank'):\n"
        "    registry.family_type(f)\n"
        "heavy = {'torch', 'sklearn', 'lightgbm', 'xgboost', 'scipy', 'skops',\n"
        "         'pyarrow', 'loky', 'kedro'}\n"
        "found = heavy & set(sys.modules) - {'pyarrow'}\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
