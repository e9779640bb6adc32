"""The dense panel as one safetensors file, loaded as a handle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranking_pipeline.datasets.artefact import ArtefactDataset
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import Manifest, PanelHandle, read_panel, write_panel

if TYPE_CHECKING:
    from kedro_datasets._typing import TablePreview


class PanelDataset(ArtefactDataset[Panel, PanelHandle]):
    """A panel that loads as a handle (path and content)."""

    def _write(self, data: Panel, path: Path) -> None:
        write_panel(data, path)

    def _read(self, path: Path, manifest: Manifest) -> PanelHandle:
        return PanelHandle(str(path), manifest.sha256)

    def preview(self, nrows: int = 40) -> TablePreview:
        """Return how complete each symbol is, for kedro-viz."""
        panel = read_panel(self.load_path())
        present, tradable = panel.present, panel.tradable
        rows: list[list[Any]] = [
            [symbol, int(present[i].sum()), int(tradable[i].sum()), panel.n_bars]
            for i, symbol in enumerate(panel.symbols[:nrows])
        ]
        return {
            "index": list(range(len(rows))),
            "columns": ["symbol", "bars", "tradable bars", "bars on the axis"],
            "data": rows,
        }
