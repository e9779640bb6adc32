"""Named tensors as one safetensors file: a network's weights without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ranking_pipeline.datasets.artefact import ArtefactDataset
from ranking_pipeline.storage import Manifest

Arrays = Mapping[str, npt.NDArray[np.generic]]


class TensorsDataset(ArtefactDataset[Arrays, Arrays]):
    """Arrays by name."""

    def _write(self, data: Arrays, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(a) for name, a in data.items()}, path)

    def _read(self, path: Path, manifest: Manifest) -> Arrays:
        from safetensors.numpy import load_file

        return dict(load_file(path))
