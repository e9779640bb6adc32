"""A ranking network in the registry: its files, its scores, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.promotion import Candidate, NetworkFiles, promote, resolve
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.pipelines.promotion.networks import network_files, network_part
from ranking_pipeline.ranking import store as rankers
from ranking_pipeline.ranking.ranker import score_panel, train_ranker

TARGET = "fwd_ret_1d"


def _world() -> Any:
    """Import the market of the ranking tests, which are no package."""
    path = Path(__file__).parents[1] / "ranking" / "ranking_world.py"
    spec = importlib.util.spec_from_file_location("served_ranking_world", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, Panel]:
    """A ranker of two seeds, and the panel that it learned from."""
    module = _world()
    world = module.make_world()
    ranker = train_ranker(world.data, module.make_spec())
    days = np.arange(module.BARS) * np.timedelta64(1, "D")
    values = world.ohlcv
    panel = Panel(
        symbols=tuple(f"S{k:02d}" for k in range(module.SYMBOLS)),
        timestamps=np.datetime64("2020-01-01", "ns") + days,
        fields=OHLCV,
        values=values,
        tradable=np.isfinite(values[:, :, 3]),
    )
    return ranker, panel


@pytest.fixture(scope="module")
def files(fitted: tuple[Any, Panel]) -> NetworkFiles:
    """The ranker as a run stores it, among another target's."""
    tensors = rankers.to_tensors(fitted[0])
    checksum = sha256(rankers.weights_file(tensors)).hexdigest()
    provenance = rankers.Provenance(TARGET, "raw", 1440)
    meta = rankers.model_meta(fitted[0], provenance, checksum)
    weights = {f"{TARGET}/{name}": value.numpy() for name, value in tensors.items()}
    weights["other/network0.x"] = np.zeros(3)
    return network_files(TARGET, weights, {TARGET: meta, "other": {}})


def _candidate(files: NetworkFiles) -> Candidate:
    row = {
        "model_id": f"mlp+pairwise:{TARGET}:cs_ranking",
        "target": TARGET,
        "family": "ranking mlp",
        "route": "cs_ranking",
        "seed": "0,1",
    }
    return Candidate(
        row["model_id"],
        TARGET,
        row["route"],
        [network_part(row, files)],
        None,
        {"rank_ic": 0.1},
        {},
        informed_until="2020-08-12T00:00:00+00:00",
        network=files,
    )


@pytest.fixture
def version(files: NetworkFiles, tmp_path: Path) -> Any:
    store = ModelStore(tmp_path / "store")
    return promote(_candidate(files), store, tmp_path / "p", "live")


def test_it_scores_as_the_network_did(version: Any, fitted: tuple[Any, Panel]) -> None:
    ranker, panel = fitted
    bars = np.array([259, 70, 151, 180])
    expected = score_panel(ranker, panel.values, panel.tradable.T)[bars]
    got = version.scores(panel, None, bars)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    assert np.isnan(got[2, 3])  # no bar that day
    assert np.isfinite(got[0]).all()
    assert version.target == TARGET
    assert version.window_bars == 6 + 60
    assert version.label == f"mlp+pairwise v. {version.version[:8]}"
    assert version.informed_until == np.datetime64("2020-08-12", "ns")
    assert version.load_ranker().spec == ranker.spec


def test_later_bars_and_other_bars_move_nothing(
    version: Any, fitted: tuple[Any, Panel]
) -> None:
    panel = fitted[1]
    bars = np.array([100, 200])
    random = np.random.default_rng(4)
    values = panel.values.copy()
    values[:, 201:] = random.random(values[:, 201:].shape) * 70 + 1
    spoilt = replace(panel, values=values)
    true = version.scores(panel, None, bars)
    np.testing.assert_array_equal(version.scores(spoilt, None, bars), true)
    np.testing.assert_array_equal(version.scores(panel, None, bars[1:]), true[1:])
    moved = version.scores(spoilt, None, np.array([201]))
    assert not np.array_equal(moved, version.scores(panel, None, np.array([201])))


def test_the_same_network_is_the_same_version(
    version: Any, files: NetworkFiles, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path / "store")
    again = promote(_candidate(files), store, tmp_path / "p", "live")
    assert again.version == version.version
    scale = {**files.meta, "channel_scale": None}
    other = promote(
        _candidate(NetworkFiles(files.weights, scale)), store, tmp_path / "p", "live"
    )
    assert other.version != version.version  # other constants are another network
    assert resolve(tmp_path / "p", "live").version == other.version


@pytest.mark.parametrize("name", ["model.safetensors", "model_meta.json"])
def test_altered_files_are_refused(
    version: Any, fitted: tuple[Any, Panel], name: str
) -> None:
    path = version.folder / "network" / name
    assert not path.stat().st_mode & 0o222
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for attempt in (
        version.verify,
        version.load_ranker,
        lambda: version.scores(fitted[1], None, np.array([100])),
    ):
        with pytest.raises(UserError, match=f"{name} was altered"):
            attempt()


def test_what_does_not_fit_is_told(
    version: Any, files: NetworkFiles, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is a ranking network: load it by load_ranker"):
        version.load_model()
    with pytest.raises(UserError, match="no ranking network was trained for 'x'"):
        network_files("x", {}, {TARGET: files.meta})
    torn = NetworkFiles(files.weights + b" ", files.meta)
    store = ModelStore(tmp_path / "store")
    with pytest.raises(UserError, match="take cs_model and cs_model_meta of the same"):
        promote(_candidate(torn), store, tmp_path / "q", "live")
    assert not (tmp_path / "q" / "live.json").exists()
