"""Evidence that counts its calls in a folder, and stored tables to collect it from."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from planted_world import World, signal_world

from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.config import Config
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.selection.fan_out import StoredData
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.storage import (
    PanelHandle,
    TableHandle,
    sha256_file,
    write_panel,
    write_table,
)


class CountingConfig(Config):
    """What the evidence of this module reads."""

    folder: str
    seed: int
    threads: int


@dataclass(frozen=True)
class Score:
    """Evidence that differs from target to target in every way that counts."""

    target: str
    mean: float
    missing: float
    table: pd.DataFrame
    reason: str = ""

    @property
    def cacheable(self) -> bool:
        return not self.reason


def score(data: TrainingData, target: str, config: CountingConfig) -> Score:
    _count(target, config)
    values = data.labels[target].to_numpy(dtype=np.float64)
    table = pd.DataFrame({"symbol": ["a", None], "x": [config.seed, float("nan")]})
    return Score(target, float(np.nanmean(values)), float("nan"), table)


def listed(
    data: TrainingData,
    target: str,
    config: CountingConfig,
    features: Mapping[str, Sequence[str]],
    share: float = 0.5,
) -> list[dict[str, Any]]:
    _count(target, config)
    return [{"name": name, "share": share} for name in features[target]]


def failing(data: TrainingData, target: str, config: CountingConfig) -> Score:
    _count(target, config)
    if target == "fwd_ret_2d" and not (Path(config.folder) / "repaired").exists():
        raise ValueError("broken")
    return score(data, target, config)


def recording(data: TrainingData, target: str, config: CountingConfig) -> Score:
    _count(target, config)
    return Score(target, 0.0, 0.0, pd.DataFrame(), reason="failed: MemoryError")


def unstorable(data: TrainingData, target: str, config: CountingConfig) -> Any:
    return {target}


def suicidal(data: TrainingData, target: str, config: CountingConfig) -> Score:
    died = Path(config.folder) / "died"
    if target == "fwd_ret_2d" and not died.exists():
        died.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return score(data, target, config)


def _count(target: str, config: CountingConfig) -> None:
    (Path(config.folder) / f"{target}.{uuid4().hex}.call").write_text("")


def calls(folder: Path) -> list[str]:
    """Name the targets that were worked on since the last look."""
    made = sorted(folder.glob("*.call"))
    for path in made:
        path.unlink()
    return [path.name.partition(".")[0] for path in made]


def two_target_world(**changes: Any) -> World:
    shape = {"n_bars": 240, "n_symbols": 16, "n_features": 2, **changes}
    world = signal_world(0.4, **shape)
    return with_noise_target(world, "fwd_ret_2d", seed=5)


def with_noise_target(world: World, name: str, seed: int) -> World:
    panel = world.panel
    values = np.random.default_rng(seed).normal(size=(panel.n_bars, panel.n_symbols))
    return world.with_target(name, values, 2, "regression", "forward_return")


def store(world: World, folder: Path) -> StoredData:
    """Write the tables as the pipeline does."""
    folder.mkdir(parents=True, exist_ok=True)
    write_panel(world.panel, folder / "panel.safetensors")
    write_table(world.features, folder / "features.parquet")
    write_table(world.labels, folder / "labels.parquet")

    def named(name: str) -> tuple[str, str]:
        return str(folder / name), sha256_file(folder / name)

    return StoredData(
        PanelHandle(*named("panel.safetensors")),
        TableHandle(*named("features.parquet")),
        world.feature_manifest,
        TableHandle(*named("labels.parquet")),
        world.target_manifest,
        world.splits.to_dict(),
    )


def jobs_config(folder: Path, engine: str = "serial", **changes: Any) -> JobsConfig:
    values = {
        "engine": engine,
        "workers": 2,
        "max_attempts": 2,
        "timeout_seconds": None,
        "family_timeout_seconds": {},
        "address": None,
        "store": str(folder / "store"),
        "ledger": str(folder / "ledger"),
        "checkpoints": str(folder / "checkpoints"),
        "checkpoint_seconds": 30,
    }
    return JobsConfig.model_validate({**values, **changes})


def cache_config(folder: Path, **changes: Any) -> CacheConfig:
    values = {
        "enabled": True,
        "ttl_days": 7,
        "force_refresh": False,
        "store": str(folder / "cache"),
    }
    return CacheConfig.model_validate({**values, **changes})
