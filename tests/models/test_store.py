"""The model store: nothing unfinished, altered or hostile is ever opened."""

from __future__ import annotations

import json
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.cache.origin import reached
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import forest_file, model_meta, registry
from ranking_pipeline.models import store as store_module
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import MANIFEST, ModelStore, content_key
from ranking_pipeline.storage import atomic_write, sha256_file
from ranking_pipeline.training.fit import TrainingJob, run_training_job

KEY = "ab" + "0" * 62


def _fill(folder: Path) -> None:
    (folder / "one.txt").write_text("1")
    (folder / "two.txt").write_text("22")


def test_an_entry_is_what_was_written(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    assert store.find(KEY) is None
    entry = store.write(KEY, _fill, {"family": "ridge", "features": ["a"]})
    assert entry.folder == tmp_path / "store" / "ab" / KEY
    assert store.find(KEY) == entry
    assert entry.files["two.txt"] == sha256_file(entry.folder / "two.txt")
    names = sorted(p.name for p in (tmp_path / "store").rglob("*") if p.is_file())
    assert names == sorted([MANIFEST, "one.txt", "two.txt"])


def test_a_file_that_the_manifest_does_not_list_is_not_opened(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    folder = store.write(KEY, _fill, {}).folder
    (folder / ".DS_Store").write_text("of a file manager")
    assert store.find(KEY) is not None
    (folder / "model.txt").write_text("tree")
    with pytest.raises(UserError, match=r"model\.txt is not listed.*Train it again"):
        store.verified(KEY)


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)

    def fail(folder: Path) -> None:
        _fill(folder)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write(KEY, fail, {})
    assert store.find(KEY) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", ["manifest", "file", "bytes", "json", "outside"])
def test_a_damaged_entry_does_not_exist_and_is_made_again(
    tmp_path: Path, harm: str
) -> None:
    store = ModelStore(tmp_path)
    folder = store.write(KEY, _fill, {}).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    if harm == "manifest":
        (folder / MANIFEST).unlink()
    elif harm == "file":
        (folder / "one.txt").unlink()
    elif harm == "bytes":
        (folder / "two.txt").write_text("23")
    elif harm == "json":
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-5])
    else:
        (tmp_path / "secret").write_text("1")
        manifest["files"] = {"../../secret": sha256_file(tmp_path / "secret")}
        (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="rain"):
        store.verified(KEY)
    assert store.find(KEY) is None
    store.write(KEY, _fill, {})
    assert store.find(KEY) is not None


@pytest.mark.parametrize("key", ["../../etc", "", "A" * 64, "0" * 63, "/" + "0" * 63])
def test_a_key_cannot_leave_the_store(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match="no key"):
        ModelStore(tmp_path).folder(key)


def test_the_key_changes_with_every_part_and_not_with_the_order() -> None:
    base = {"seed": 1, "features": ["a", "b"]}
    assert content_key(base) == content_key({"features": ["a", "b"], "seed": 1})
    assert content_key(base) != content_key({**base, "seed": 2})
    assert content_key(base) != content_key({**base, "features": ["b", "a"]})


def test_sweeping_removes_what_killed_writers_left(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.write(KEY, _fill, {})
    (tmp_path / ".scratch-1").mkdir()
    (tmp_path / ".scratch-1" / "x").write_text("")
    store.sweep()
    assert store.find(KEY) is not None
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {MANIFEST, "one.txt", "two.txt"}


def test_a_sweep_of_another_run_leaves_a_living_writer_alone(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        with atomic_write(folder / "one.txt") as temporary:
            temporary.write_text("1")
            ModelStore(tmp_path).sweep()  # what another run on this store begins with

    store = ModelStore(tmp_path)
    store.write(KEY, fill, {})
    assert (store.verified(KEY).folder / "one.txt").read_text() == "1"


FIT = """
import json, sys
from ranking_pipeline.models import registry
from ranking_pipeline.training.rows import training_rows
from ranking_pipeline.training import fit as training
for name in sys.argv[1:]:
    registry.family_type(name)
print(json.dumps([name for name in sys.modules if name.startswith("ranking_pipeline")]))
"""


def test_the_key_follows_every_module_that_a_fit_loads() -> None:
    command = [sys.executable, "-c", FIT, *registry.LISTINGS]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert "ranking_pipeline.evaluation.inference" in loaded  # slopes, calibration
    assert loaded <= set(reached(store_module._FIT))


def test_an_edit_of_what_a_fit_depends_on_changes_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = content_key({})
    monkeypatch.setattr(store_module, "code_of", lambda module: {"sources": module})
    assert content_key({}) != before


def test_the_key_follows_a_family_of_the_users_own(
    tmp_path: Path,
    job: Callable[..., TrainingJob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "own_family.py"
    source.write_text("SLOPE = 1\n")
    module = types.ModuleType("own_family")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "own_family", module)
    own = registry.Listing("own_family", "own", "cpu", False)
    made = job(family="ridge")
    monkeypatch.setitem(registry.LISTINGS, "ridge", own)
    before = made.key
    assert made.key == before
    source.write_text("SLOPE = 2\n")
    assert made.key != before


@pytest.mark.parametrize("family", ["lightgbm", "xgboost", "random_forest", "ridge"])
def test_altered_model_bytes_are_refused_before_the_parser(
    family: str,
    job: Callable[..., TrainingJob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = job(family=family)
    key = run_training_job(made)["key"]
    store = ModelStore(Path(made.store_root))
    assert store.load_model(key).family == family
    (path,) = store.folder(key).glob("model.*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    def parser(*_: Any, **__: Any) -> None:
        raise AssertionError("the parser saw damaged bytes")

    monkeypatch.setattr(registry.family_type(family), "load", parser)
    with pytest.raises(UserError, match="damaged or was altered"):
        store.load_model(key)


def test_a_hostile_forest_file_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    import skops.io

    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    skops.io.dump({"model": Hostile()}, tmp_path / "model.skops")
    with pytest.raises(UserError, match="refused"):
        forest_file.read(tmp_path / "model.skops")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_or_another_object_is_no_forest(tmp_path: Path) -> None:
    import pickle

    import skops.io

    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match="no forest file"):
        forest_file.read(path)
    skops.io.dump({"a": np.arange(3)}, path)
    with pytest.raises(UserError, match="holds a dict"):
        forest_file.read(path)


def test_a_forest_file_has_no_clock_and_no_addresses(
    tmp_path: Path,
    samples: Callable[[str], tuple[Samples, Samples, Samples]],
    parameters: Any,
) -> None:
    train, _, _ = samples("regression")
    model = registry.create("random_forest", parameters["random_forest"], 1, 1)
    model.fit(train, None)
    model.save(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.skops") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {
            (1980, 1, 1, 0, 0, 0)
        }
        schema = archive.read("schema.json").decode()
    assert '"__id__": 1,' in schema or '"__id__": 1}' in schema
    assert str(id(model)) not in schema


SCHEMA = Path(model_meta.__file__).with_name("model_meta.schema.json")


@pytest.mark.parametrize("family", ["ridge", "mlp", "lstm"])
def test_the_meta_document_of_a_stored_model_fits_its_schema(
    family: str,
    job: Callable[..., TrainingJob],
    quick_parameters: dict[str, dict[str, Any]],
) -> None:
    import jsonschema

    made = job(family=family, parameters=quick_parameters[family])
    key = run_training_job(made)["key"]
    store = ModelStore(Path(made.store_root))
    meta = json.loads((store.folder(key) / "model_meta.json").read_text())
    jsonschema.validate(meta, json.loads(SCHEMA.read_text()))
    names = {path.name for path in store.folder(key).iterdir()}
    assert set(meta["files"]) == names - {"model_meta.json"}
    raw = registry.listing(family).sequence
    assert meta["input_mode"] == ("raw_sequence" if raw else "features")
    assert meta["feature_list"] == ([] if raw else list(made.features))
    assert meta["libraries"]["numpy"] == np.__version__


def _as_version_1(store: ModelStore, key: str) -> None:
    """Turn an entry into what the first version of the store wrote."""
    path = store.folder(key) / MANIFEST
    entry = store.listed(key)
    path.unlink()
    document = {"files": dict(entry.files), "facts": dict(entry.facts)}
    (store.folder(key) / "manifest.json").write_text(json.dumps(document))


def test_an_entry_of_the_first_version_still_loads(
    job: Callable[..., TrainingJob], samples: Any
) -> None:
    made = job(family="ridge")
    key = run_training_job(made)["key"]
    store, (_, _, later) = ModelStore(Path(made.store_root)), samples("regression")
    before = store.load_model(key).predict(later).score
    _as_version_1(store, key)
    entry = store.verified(key)
    assert entry.facts["features"] == list(made.features)
    np.testing.assert_array_equal(store.load_model(key).predict(later).score, before)
    content = bytearray((entry.folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (entry.folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged or was altered"):
        store.load_model(key)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"schema_version": 3, "files": {}}, "schema version 3.*update"),
        ({"schema_version": "x"}, "schema version 'x'"),
        ({"schema_version": 2}, "no finished model"),
        ({"schema_version": 2, "files": [], "feature_list": []}, "is not listed"),
        ([1], "no model meta"),
        (None, "no model meta"),
    ],
)
def test_a_meta_document_that_is_none_of_ours_is_refused(
    tmp_path: Path, document: Any, text: str
) -> None:
    store = ModelStore(tmp_path)
    folder = store.write(KEY, _fill, {}).folder
    (folder / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(UserError, match=text):
        store.load_model(KEY)


FUZZ = """
import json, sys
from pathlib import Path
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.storage import sha256_bytes

store, refused = ModelStore(Path(sys.argv[1])), 0
for key in sys.argv[2:]:
    folder = store.folder(key)
    for path in sorted(folder.glob("model.*")):
        content = path.read_bytes()
        last = len(content) - 1
        harmed = [content[:k] for k in (0, 1, 8, 100, last // 2, last)]
        harmed += [content[:k] + bytes([content[k] ^ 255]) + content[k + 1 :]
                   for k in range(0, last, max(1, last // 8))]
        harmed += [content + b"x", b"\\x80\\x04" + content, bytes(64)]
        for damaged in harmed:
            path.write_bytes(damaged)
            try:
                store.load_model(key)
            except UserError:
                refused += 1
            else:
                sys.exit(f"{path} of {len(damaged)} bytes was opened")
        meta = folder / "model_meta.json"
        told = meta.read_text()
        for share in (0.0, 0.05, 0.3, 0.5, 0.8, 0.95, 0.99):
            cut = content[: int(len(content) * share)]
            path.write_bytes(cut)
            files = {**json.loads(told)["files"], path.name: sha256_bytes(cut)}
            for listed in (files, {n: h for n, h in files.items() if n != path.name}):
                meta.write_text(json.dumps({**json.loads(told), "files": listed}))
                try:
                    store.load_model(key)
                except UserError:
                    refused += 1
                else:
                    sys.exit(f"{path}, cut at {share}, was opened")
        path.write_bytes(content)
        meta.write_text(told)
    store.load_model(key)
print(refused)
"""
BY_PARSER = ("lightgbm", "xgboost", "catboost", "mlp", "ridge", "random_forest")
OF_OTHER_ROWS = (
    "multi_task",
    "logistic",
    "timesfm",
)  # several targets, classes, weights


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(BY_PARSER, id="one family for each parser"),
        pytest.param(
            tuple(sorted({*registry.LISTINGS} - {*BY_PARSER, *OF_OTHER_ROWS})),
            id="the others",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_damaged_files_never_reach_a_parser_nor_end_the_process(
    wanted: tuple[str, ...],
    job: Callable[..., TrainingJob],
    quick_parameters: dict[str, dict[str, Any]],
) -> None:
    """Neither where the manifest knows the files as they were, nor where it fits."""
    made = [
        job(family=name, parameters=quick_parameters[name], max_train_rows=300)
        for name in wanted
        if registry.list_models()[name].installed
    ]
    keys = [run_training_job(one)["key"] for one in made]
    command = [sys.executable, "-c", FUZZ, made[0].store_root, *keys]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 25 * len(keys)


def test_files_of_another_family_are_refused(job: Callable[..., TrainingJob]) -> None:
    """Even when somebody has made the hashes fit."""
    made = [job(family=name) for name in ("lightgbm", "ridge")]
    trees, line = (run_training_job(one)["key"] for one in made)
    store = ModelStore(Path(made[0].store_root))
    path = store.folder(trees) / MANIFEST
    meta = json.loads(path.read_text())
    other = json.loads((store.folder(line) / MANIFEST).read_text())
    meta |= {"family": "ridge", "parameters": other["parameters"]}
    path.write_text(json.dumps(meta))
    with pytest.raises(UserError, match="cannot be read as a model of family 'ridge'"):
        store.load_model(trees)
