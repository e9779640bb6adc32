"""Named tensors as one safetensors file: a network's weights without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ranking_pipeline.datasets.artefact import ArtefactDataset
from ranking_pipeline.storage import Manifest

if TYPE_CHECKING:
    from kedro_datasets._typing import TablePreview

Arrays = Mapping[str, npt.NDArray[np.generic]]


class TensorsDataset(ArtefactDataset[Arrays, Arrays]):
    """Arrays by name."""

    def _write(self, data: Arrays, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(a) for name, a in data.items()}, path)

    def _read(self, path: Path, manifest: Manifest) -> Arrays:
        from safetensors.numpy import load_file

        return dict(load_file(path))

    def preview(self, nrows: int = 40) -> TablePreview:
        """Return names and shapes for kedro-viz, reading no numbers."""
        from safetensors import safe_open

        with safe_open(self.load_path(), framework="numpy") as stored:
            views = [(n, stored.get_slice(n)) for n in sorted(stored.keys())[:nrows]]
        rows = [
            [name, " × ".join(map(str, view.get_shape())), view.get_dtype()]
            for name, view in views
        ]
        columns = ["tensor", "shape", "type"]
        return {"index": list(range(len(rows))), "columns": columns, "data": rows}
