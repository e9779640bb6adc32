"""Promotion: immutable versions, an alias that means one of them, and no half of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.promoted import read_record
from ranking_pipeline.models.promotion import (
    Candidate,
    meant_version,
    promote,
    resolve,
)
from ranking_pipeline.models.store import PREDICTIONS, ModelStore
from ranking_pipeline.training.fit import TrainingJob, run_training_job


@pytest.fixture
def trained(
    job: Callable[..., TrainingJob],
) -> tuple[ModelStore, dict[str, str]]:
    """A store with two models; their keys by family."""
    made = {name: job(family=name) for name in ("ridge", "lightgbm")}
    keys = {name: run_training_job(one)["key"] for name, one in made.items()}
    return ModelStore(Path(made["ridge"].store_root)), keys


def _candidate(keys: dict[str, str], *names: str) -> Candidate:
    return Candidate(
        model_id="+".join(names),
        target="fwd_ret_2d",
        route="routed" if len(names) > 1 else "cross_sectional",
        parts=[{"model_id": name, "key": keys[name]} for name in names],
        routing_plan={"symbols": {}} if len(names) > 1 else None,
        validation={"rank_ic": 0.05, "ic_t": 2.5},
        provenance={"run_id": "r1", "data": {"panel": "ab"}},
    )


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_promoted_model_predicts_what_the_trained_one_did(
    trained: Any, samples: Any, tmp_path: Path
) -> None:
    store, keys = trained
    registry = tmp_path / "production"
    promote(_candidate(keys, "ridge"), store, registry, "production")
    later = samples("regression")[2]
    before = store.load_model(keys["ridge"]).predict(later).score
    shutil.rmtree(store.root)  # the registry needs nothing of the store
    found = resolve(registry, "production")
    np.testing.assert_array_equal(found.load_model().predict(later).score, before)
    assert found.meta()["family"] == "ridge"
    assert found.record["validation"] == {"rank_ic": 0.05, "ic_t": 2.5}
    assert found.record["provenance"] == {"run_id": "r1", "data": {"panel": "ab"}}
    assert found.folder == registry / "production" / found.version
    assert all(
        not path.stat().st_mode & 0o222
        for path in found.folder.rglob("*")
        if path.is_file()
    )


def test_the_same_promotion_again_changes_nothing(trained: Any, tmp_path: Path) -> None:
    store, keys = trained
    one = promote(_candidate(keys, "ridge"), store, tmp_path / "p", "production")
    before = _bytes(tmp_path / "p")
    other = replace(_candidate(keys, "ridge"), provenance={"run_id": "r2"})
    again = promote(other, store, tmp_path / "p", "production")
    assert (again.version, again.record) == (one.version, one.record)
    assert _bytes(tmp_path / "p") == before


def test_other_weights_of_an_ensemble_are_another_version(trained: Any) -> None:
    plain = _candidate(trained[1], "ridge", "lightgbm")
    versions = {plain.version}
    for weights in ((0.5, 0.5), (0.25, 0.75)):
        parts = [
            {**part, "weight": weight}
            for part, weight in zip(plain.parts, weights, strict=True)
        ]
        versions.add(replace(plain, parts=parts).version)
    assert len(versions) == 3


def test_an_alias_moves_on_and_remembers(trained: Any, tmp_path: Path) -> None:
    store, keys = trained
    registry = tmp_path / "p"
    first = promote(_candidate(keys, "ridge"), store, registry, "production")
    second = promote(_candidate(keys, "lightgbm"), store, registry, "production")
    assert resolve(registry, "production").meta()["family"] == "lightgbm"
    back = resolve(registry, "production", first.version)
    assert back.load_model().family == "ridge"
    third = promote(_candidate(keys, "ridge"), store, registry, "production")
    assert third.version == first.version
    history = json.loads((registry / "production.json").read_text())["history"]
    versions = [entry["version"] for entry in history]
    assert versions == [first.version, second.version, first.version]
    assert resolve(registry, "production").version == first.version
    with pytest.raises(UserError, match=f"never meant version 'x'; .*{second.version}"):
        resolve(registry, "production", "x")


def test_a_version_of_several_models_has_all_of_them(
    trained: Any, tmp_path: Path
) -> None:
    store, keys = trained
    found = promote(_candidate(keys, "ridge", "lightgbm"), store, tmp_path / "p", "a-1")
    assert found.parts == ("ridge", "lightgbm")
    assert [found.load_model(part).family for part in found.parts] == [*found.parts]
    assert found.record["routing_plan"] == {"symbols": {}}
    with pytest.raises(UserError, match="consists of 2 models; name one of: ridge, l"):
        found.load_model()


KILLED = """
import os, signal, sys
from pathlib import Path
from ranking_pipeline.models import promoted_copy, promotion
from ranking_pipeline.models.store import ModelStore

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr({module}, "{name}", die)
part = {{"model_id": "ridge", "key": sys.argv[2]}}
candidate = promotion.Candidate("ridge", "t", "r", [part], None, {{}}, {{}})
promotion.promote(candidate, ModelStore(Path(sys.argv[1])), Path(sys.argv[3]), "live")
"""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("promoted_copy", "sha256_file"),  # in the midst of the copy
        ("promotion.os", "rename"),  # a whole copy without its name
        ("promotion", "_point"),  # a version that no alias names yet
    ],
)
def test_a_killed_promotion_leaves_the_old_version_and_can_be_done_again(
    trained: Any, tmp_path: Path, module: str, name: str
) -> None:
    store, keys = trained
    registry = tmp_path / "p"
    old = promote(_candidate(keys, "lightgbm"), store, registry, "live")
    code = KILLED.format(module=module, name=name)
    command = [sys.executable, "-c", code, str(store.root), keys["ridge"]]
    done = subprocess.run([*command, str(registry)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert resolve(registry, "live").version == old.version
    assert resolve(registry, "live").load_model().family == "lightgbm"
    part = {"model_id": "ridge", "key": keys["ridge"]}
    candidate = Candidate("ridge", "t", "r", [part], None, {}, {})
    new = promote(candidate, store, registry, "live")
    assert new.load_model().family == "ridge"
    assert sorted(os.listdir(registry / "live")) == sorted([old.version, new.version])


@pytest.mark.parametrize("file", ["model.safetensors", PREDICTIONS, "model_meta.json"])
def test_an_altered_file_is_refused_and_restored_by_the_same_promotion(
    trained: Any, tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, keys = trained
    registry = tmp_path / "p"
    found = promote(_candidate(keys, "ridge"), store, registry, "production")
    before = _bytes(registry)
    (path,) = found.folder.rglob(file)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    command = (
        "kedro run --pipelines=promotion --params=promotion.alias=production,"
        "promotion.model_id=ridge,promotion.target=fwd_ret_2d"
    )
    for attempt in (found.load_model, resolve(registry, "production").verify):
        with pytest.raises(UserError, match=f"was altered.*{command}"):
            attempt()
    other = replace(_candidate(keys, "ridge"), provenance={"run_id": "r2"})
    promote(other, store, registry, "production").verify()
    assert _bytes(registry) == before
    assert "production was already ridge" in caplog.text
    assert "1 damaged file restored" in caplog.text
    assert file in caplog.text
    assert sorted(os.listdir(registry / "production")) == [found.version]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}'])
def test_a_damaged_record_is_told_by_its_file(
    trained: Any, tmp_path: Path, text: str
) -> None:
    store, keys = trained
    registry = tmp_path / "p"
    found = promote(_candidate(keys, "ridge"), store, registry, "production")
    path = found.folder / "promotion.json"
    path.chmod(0o644)
    path.write_text(text)
    with pytest.raises(UserError, match=r"promotion\.json (is damaged|lacks)"):
        read_record(found.folder)
    path.unlink()
    with pytest.raises(UserError, match=r"promotion\.json is missing"):
        read_record(found.folder)


def test_an_alias_is_told_apart_from_what_it_was(trained: Any, tmp_path: Path) -> None:
    store, keys = trained
    assert meant_version(tmp_path / "p", "live") is None
    made = promote(_candidate(keys, "ridge"), store, tmp_path / "p", "live")
    assert meant_version(tmp_path / "p", "live") == made.version
    with pytest.raises(UserError, match=r"did you mean 'live'\?"):
        resolve(tmp_path / "p", "life")


def test_an_altered_record_is_refused(trained: Any, tmp_path: Path) -> None:
    store, keys = trained
    registry = tmp_path / "p"
    found = promote(_candidate(keys, "ridge"), store, registry, "production")
    path = found.folder / "promotion.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"rank_ic": 0.05', '"rank_ic": 0.5'))
    with pytest.raises(UserError, match=r"promotion\.json was altered"):
        resolve(registry, "production")
    # what another run would tell of the same model is not what was promoted
    other = replace(_candidate(keys, "ridge"), provenance={"run_id": "r2"})
    with pytest.raises(UserError, match=r"cannot be restored.*alias=production-2"):
        promote(other, store, registry, "production")
    restored = promote(_candidate(keys, "ridge"), store, registry, "production")
    assert restored.record == found.record


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": "a", "history": []}', '{"version": 1, "his']
)
def test_a_broken_alias_is_told(trained: Any, tmp_path: Path, text: str) -> None:
    store, keys = trained
    promote(_candidate(keys, "ridge"), store, tmp_path / "p", "production")
    (tmp_path / "p" / "production.json").write_text(text)
    with pytest.raises(UserError, match=r"production\.json is no alias of a model"):
        resolve(tmp_path / "p", "production")


def test_what_is_not_there_is_told(trained: Any, tmp_path: Path) -> None:
    store, keys = trained
    registry = tmp_path / "p"
    with pytest.raises(UserError, match=r"promoted as 'production'.*there are: none"):
        resolve(registry, "production")
    promote(_candidate(keys, "ridge"), store, registry, "staging")
    with pytest.raises(UserError, match="there are: staging"):
        resolve(registry, "production")
    with pytest.raises(UserError, match="letters, digits"):
        promote(_candidate(keys, "ridge"), store, registry, "../up")
    shutil.rmtree(store.folder(keys["lightgbm"]))
    with pytest.raises(UserError, match="no finished model"):
        promote(_candidate(keys, "lightgbm"), store, registry, "production")
    assert not (registry / "production.json").exists()


def test_an_entry_of_the_first_version_can_be_promoted(
    trained: Any, samples: Any, tmp_path: Path
) -> None:
    store, keys = trained
    folder, entry = store.folder(keys["ridge"]), store.listed(keys["ridge"])
    (folder / "model_meta.json").unlink()
    document = {"files": dict(entry.files), "facts": dict(entry.facts)}
    (folder / "manifest.json").write_text(json.dumps(document))
    found = promote(_candidate(keys, "ridge"), store, tmp_path / "p", "production")
    assert np.isfinite(found.load_model().predict(samples("regression")[2]).score).all()
