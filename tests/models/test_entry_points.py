"""Families that other packages bring: found, listed, refused, never in the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.entry_points import plug_ins

FAMILY = """
from pathlib import Path
from typing import ClassVar

import numpy as np

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import BaseModel, PredictionOutput


class Constant(BaseModel):
    family: ClassVar[str] = "{name}"
    description: ClassVar[str] = "the mean of what was learned"
    device: ClassVar[str] = "cpu"
    tasks = frozenset({{"regression"}})
    experimental = True
    config_type: ClassVar[type[Config]] = Config

    def fit(self, train, validation):
        self.mean = float(train.target.mean())

    def predict(self, rows):
        return PredictionOutput(np.full(len(rows), self.mean, dtype=np.float32))

    def save(self, folder):
        (folder / "mean.txt").write_text(repr(self.mean))

    @classmethod
    def load(cls, folder, config, *, seed, threads):
        model = cls(config, seed=seed, threads=threads)
        model.mean = float((folder / "mean.txt").read_text())
        return model
"""
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with entry points and one module of that text."""
    before = dict(registry._registered)
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def make(package: str, points: dict[str, str], source: str) -> Path:
        info = tmp_path / f"{package}-1.2.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n"
        (info / "METADATA").write_text(text)
        lines = [f"{name} = {value}" for name, value in points.items()]
        listed = "\n".join(["[ranking_pipeline.families]", *lines, ""])
        (info / "entry_points.txt").write_text(listed)
        (tmp_path / f"{package}.py").write_text(source)
        modules.append(package)
        plug_ins.cache_clear()
        return tmp_path / f"{package}.py"

    yield make
    for module in modules:
        sys.modules.pop(module, None)
    # families of ours that were imported meanwhile register no second time
    for name, cls in [*registry._registered.items()]:
        if not cls.__module__.startswith("ranking_pipeline."):
            del registry._registered[name]
    registry._registered.update(before)
    monkeypatch.undo()
    plug_ins.cache_clear()


def test_a_family_of_another_package_is_listed_unseen_and_then_used(
    install: Install, samples: Callable[..., tuple], tmp_path: Path
) -> None:
    install("foo", {"constant": "foo:Constant"}, FAMILY.format(name="constant"))
    info = registry.list_models()["constant"]
    assert "foo" not in sys.modules
    assert (info.group, info.device, info.experimental) == ("plugin", "cpu", True)
    assert info.description == "the mean of what was learned"
    assert (info.tasks, info.installed) == (frozenset({"regression"}), True)
    assert info.place == "foo:Constant (package foo 1.2)"
    assert registry.canonical("plugin:Constant") == "constant"
    train, _, later = samples("regression")
    model = registry.create("constant", {}, 1, 1)
    model.fit(train, None)
    assert model.predict(later).score[0] == pytest.approx(train.target.mean())
    assert registry.listing("constant").module == "foo"
    assert registry.list_models()["constant"] == info


def test_a_family_tells_unseen_what_its_base_in_our_package_declares(
    install: Install,
) -> None:
    text = """
from ranking_pipeline.models.linear import LinearModel


class Lean(LinearModel):
    family = "lean"
    description = "another linear model"
"""
    install("leanest", {"lean": "leanest:Lean"}, text)
    info = registry.list_models()["lean"]
    assert (info.device, info.description) == ("cpu", "another linear model")
    assert "leanest" not in sys.modules


def test_a_module_may_register_its_family_itself(install: Install) -> None:
    source = FAMILY.format(name="constant")
    source += "\nfrom ranking_pipeline.models.registry import register\n"
    install("foo", {"constant": "foo"}, source + "register(Constant)\n")
    assert registry.family_type("constant").__module__ == "foo"


@pytest.mark.parametrize("claimed", ["ridge", "lightgbm"])
def test_a_name_of_ours_is_refused_with_both_places(
    install: Install, claimed: str
) -> None:
    install("foo", {claimed: "foo:Constant"}, FAMILY.format(name=claimed))
    ours = registry.LISTINGS[claimed].module
    with pytest.raises(UserError, match=rf"twice: by {ours} and by foo:Constant \("):
        registry.canonical(claimed)
    assert registry.canonical("xgboost") == "xgboost"
    assert registry.list_models()[claimed].place.endswith("(package foo 1.2)")


def test_two_packages_of_one_name_are_refused(install: Install) -> None:
    install("foo", {"constant": "foo:Constant"}, FAMILY.format(name="constant"))
    install("bar", {"constant": "bar:Constant"}, FAMILY.format(name="constant"))
    with pytest.raises(UserError, match=r"package bar 1\.2\) and by .*package foo 1\."):
        registry.family_type("constant")


def test_an_alias_of_ours_becomes_ambiguous(install: Install) -> None:
    install("foo", {"rf": "foo:Constant"}, FAMILY.format(name="rf"))
    with pytest.raises(UserError, match=r"short for forest:random_forest, plugin:rf"):
        registry.canonical("RF")
    assert registry.canonical("forest:rf") == "random_forest"
    assert registry.canonical("plugin:rf") == "rf"


@pytest.mark.parametrize(
    ("value", "source", "text"),
    [
        ("foo:Constant", "import not_there\n", r"foo 1\.2\).*ModuleNotFoundError: No"),
        ("foo:Absent", "x = 1\n", "AttributeError.*Mend or uninstall"),
        ("absent.module:X", "", "No module named 'absent'"),
        ("foo:x", "x = 1\n", "does not derive from BaseModel"),
        ("foo:Constant", FAMILY.format(name="else"), "promises .*'mine'.*'else'"),
        ("foo", "x = 1\n", "promises the model family 'mine' and brings none"),
    ],
)
def test_a_broken_package_is_told_and_is_in_nobodys_way(
    install: Install, value: str, source: str, text: str
) -> None:
    install("foo", {"mine": value}, source)
    assert "mine" in registry.names()
    assert registry.list_models()["mine"].group == "plugin"
    assert registry.family_type("ridge").family == "ridge"
    with pytest.raises(UserError, match=text):
        registry.family_type("mine")


def test_a_broken_package_is_no_traceback_and_not_installed(install: Install) -> None:
    from click.testing import CliRunner

    from ranking_pipeline.cli import cli
    from ranking_pipeline.hooks.consistency import _blocks

    install("foo", {"mine": "foo:Constant"}, "import not_there\n")
    [(key, problem)] = _blocks("families", ("mine",), {"mine": {}})
    assert key == "families"
    assert "cannot be loaded from foo:Constant (package foo 1.2)" in problem
    done = CliRunner().invoke(cli, ["models", "list", "--group=plugin"])
    [row] = (line for line in done.output.splitlines() if line.startswith("mine"))
    assert "no: broken" in row
    assert "ModuleNotFoundError" in done.output


def test_a_job_of_a_family_of_another_package_runs_and_loads(
    install: Install, job: Callable[..., object]
) -> None:
    from ranking_pipeline.models.store import ModelStore
    from ranking_pipeline.training.fit import run_training_job

    place = install("foo", {"constant": "foo:Constant"}, FAMILY.format(name="constant"))
    made = job(family="constant", parameters={})
    key = run_training_job(made)["key"]
    assert ModelStore(Path(made.store_root)).load_model(key).family == "constant"
    place.write_text(place.read_text() + "# edited\n")
    assert made.key != key  # the key follows the package's source
