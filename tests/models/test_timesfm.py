"""timesfm on a tiny checkpoint with random weights."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neural_world import WINDOWS, samples, skill, split

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.registry import create, family_type, listing
from ranking_pipeline.models.timesfm_encoder import TimesFmEncoder
from ranking_pipeline.models.timesfm_files import weight_files

transformers = pytest.importorskip("transformers")

CPU = torch.device("cpu")
LENGTH = 10


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A whole model of the transformers package: two layers, patches of four."""
    return written(tmp_path_factory.mktemp("timesfm"), seed=0)


def written(folder: Path, seed: int) -> str:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "head_dim": 8}
    config = transformers.TimesFmConfig(
        patch_length=4,
        context_length=12,
        horizon_length=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        **sizes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.TimesFmModelForPrediction(config)
        for layer in model.decoder.layers:
            torch.nn.init.normal_(layer.self_attn.scaling)
    model.save_pretrained(folder)
    return str(folder)


def made(weights: str, **changes: Any) -> Any:
    own = {"weights": weights, "sequence_length": LENGTH, "epochs": 20, "hidden": 16}
    own |= {"normalization": "zscore", "learning_rate": 0.02}
    return create("timesfm", WINDOWS | own | changes, seed=1, threads=1)


def test_it_is_a_family_of_windows_with_an_extra() -> None:
    cls = family_type("timesfm")
    entry = listing("timesfm")
    assert (entry.device, entry.sequence) == (cls.device, cls.sequence) == ("gpu", True)
    assert cls.extra == "timesfm"


@pytest.mark.parametrize("length", [8, 10, 3])
def test_the_encoder_sees_what_the_library_sees(checkpoint: str, length: int) -> None:
    encoder = TimesFmEncoder.read(checkpoint, CPU)
    library = transformers.TimesFmModelForPrediction.from_pretrained(checkpoint).eval()
    series = torch.randn(5, length, generator=torch.Generator().manual_seed(2))
    found = encoder(series)
    assert found.shape == (5, encoder.width) == (5, 16)
    with torch.no_grad():
        whole = library(past_values=list(series), freq=[0] * 5)
    # The library fills up to its context, whose first patches are padding alone.
    described = whole.last_hidden_state[:, -1]
    torch.testing.assert_close(found, described, atol=1e-5, rtol=1e-4)
    assert not any(p.requires_grad for p in encoder.model.parameters())
    # a state does not depend on how many series are described with it
    assert torch.equal(encoder(series[2:3])[0], found[2])
    assert torch.equal(encoder(series.repeat(60, 1))[297], found[2])
    assert encoder(series[:0]).shape == (0, 16)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_head_learns_on_frozen_weights_and_survives_the_disk(
    task: str, checkpoint: str, tmp_path: Path
) -> None:
    train, validation, test = split(samples(task))
    before = weight_files(checkpoint)
    model = made(checkpoint)
    model.fit(train, validation)
    output = model.predict(test)
    assert skill(output.score, test.target) > 0.3
    assert weight_files(checkpoint) == before == model._facts["encoder_files"]
    model.save(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size < 4 * (16 * 16 + 16 + 3 * 17) + 1000  # the head alone
    again = type(model).load(tmp_path, model.config, seed=1, threads=1)
    np.testing.assert_array_equal(again.predict(test).score, output.score)


def test_fits_repeat_and_rows_without_a_window_have_no_score(checkpoint: str) -> None:
    train, validation, _ = split(samples("regression"))
    rows = samples("regression")
    early = rows.take(rows.bars < 40)
    scores = []
    for _ in range(2):
        model = made(checkpoint, epochs=2)
        model.fit(train, validation)
        scores.append(model.predict(early).score)
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(np.isnan(scores[0]), early.bars < LENGTH - 1)


def test_other_weights_than_those_of_the_fit_are_refused(
    checkpoint: str, tmp_path: Path
) -> None:
    train, _, _ = split(samples("regression"))
    own = tmp_path / "own"
    shutil.copytree(checkpoint, own)
    model = made(str(own), epochs=1)
    model.fit(train, None)
    saved = tmp_path / "saved"
    saved.mkdir()
    model.save(saved)
    shutil.rmtree(own)
    with pytest.raises(UserError, match=r"weights is .*own.*Download"):
        type(model).load(saved, model.config, seed=1, threads=1)
    written(own, seed=9)
    with pytest.raises(UserError, match=r"model\.safetensors in .*train again"):
        type(model).load(saved, model.config, seed=1, threads=1)


def test_a_folder_that_holds_no_model_is_named_with_its_remedy(
    checkpoint: str, tmp_path: Path
) -> None:
    train, _, _ = split(samples("regression"))
    with pytest.raises(UserError, match=r"nowhere.*Download google/timesfm"):
        made("nowhere").fit(train, None)
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match=r"of type 'bert', not 'timesfm'"):
        TimesFmEncoder.read(str(other), CPU)
    (other / "config.json").write_text("[]")
    with pytest.raises(UserError, match="is no model configuration"):
        TimesFmEncoder.read(str(other), CPU)
    torn = tmp_path / "torn"
    shutil.copytree(checkpoint, torn)
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot be read"):
        TimesFmEncoder.read(str(torn), CPU)


def test_weights_that_lack_a_part_are_refused(checkpoint: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    part = tmp_path / "part"
    shutil.copytree(checkpoint, part)
    state = load_file(part / "model.safetensors")
    gone = "decoder.layers.1.self_attn.q_proj.weight"
    del state[gone]
    save_file(state, part / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lack decoder\.layers\.1.*not whole"):
        TimesFmEncoder.read(str(part), CPU)


def test_a_missing_package_is_named_with_its_extra(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranking_pipeline.models import extras

    monkeypatch.delitem(sys.modules, "transformers")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ranking_pipeline\[timesfm\]'"):
        TimesFmEncoder.read(checkpoint, CPU)
