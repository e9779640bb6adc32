"""Array model: a fitted model that is arrays by name, kept in one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import BaseModel

_FILE = "model.safetensors"


class ArrayModel(BaseModel):
    """What such models share: ``_state`` is all that a fit leaves."""

    _state: dict[str, npt.NDArray[Any]]

    def save(self, folder: Path) -> None:
        """Write the arrays as safetensors."""
        from safetensors.numpy import save_file

        state = {name: np.ascontiguousarray(v) for name, v in self._state.items()}
        save_file(state, folder / _FILE)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; the caller has checked the files' hashes."""
        from safetensors.numpy import load_file

        model = cls(config, seed=seed, threads=threads)
        model._state = load_file(folder / _FILE)
        return model
