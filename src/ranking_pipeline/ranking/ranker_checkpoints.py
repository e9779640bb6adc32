"""Ranker checkpoints: where unfinished training is kept, and what it belongs to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.cache.user_sources import function_sources
from ranking_pipeline.learning.checkpoints import CheckpointFile
from ranking_pipeline.ranking.ranker_data import TrainingData
from ranking_pipeline.ranking.ranker_spec import RankerSpec

_TRAINED_BY = "ranking_pipeline.ranking.ranker"


@dataclass(frozen=True)
class Checkpoints:
    """Where unfinished training is kept: one file per seed.

    Attributes
    ----------
    folder : Path
    every_seconds : float
        See :class:`ranking_pipeline.learning.checkpoints.CheckpointFile`.
    """

    folder: Path
    every_seconds: float

    def of(self, seed: int, key: str) -> CheckpointFile:
        """The file of one seed; ``key`` names all that its result depends on."""
        return CheckpointFile(
            self.folder / f"seed-{seed}.ckpt", key, self.every_seconds
        )


def training_key(
    data: TrainingData, spec: RankerSpec, device: str, threads: int
) -> str:
    """Name all that one seed's network depends on, to the bit: the code too."""
    # Each seed has a file of its own; the cost enters the final metrics alone.
    one = asdict(replace(spec, seeds=(), cost_bps_per_side=0.0))
    facts = [one, data.digest(), device, threads, code_of(_TRAINED_BY)]
    losses = [spec.loss, *(spec.loss_parameters.get("terms") or {})]
    facts += [function_sources(name) for name in losses if ":" in name]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
