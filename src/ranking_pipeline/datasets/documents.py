"""Small readable documents: JSON, YAML, text and HTML, Plotly figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranking_pipeline.datasets.artefact import ArtefactDataset
from ranking_pipeline.datasets.previews import TextPreview, first_lines, text_of_html
from ranking_pipeline.storage import Manifest

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview, PlotlyPreview


class JsonDataset(ArtefactDataset[Any, Any]):
    """A JSON value, written readably; NaN is refused, use null."""

    def _write(self, data: Any, path: Path) -> None:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        path.write_text(text, encoding="utf-8")

    def _read(self, path: Path, manifest: Manifest) -> Any:
        return json.loads(path.read_text("utf-8"))

    def preview(self) -> JSONPreview:
        """Return the document for kedro-viz."""
        text = self.load_path().read_text("utf-8")
        return json.dumps(json.loads(text))


class YamlDataset(ArtefactDataset[Any, Any]):
    """The YAML rendering of a JSON value."""

    def _write(self, data: Any, path: Path) -> None:
        import yaml

        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        path.write_text(text, encoding="utf-8")

    def _read(self, path: Path, manifest: Manifest) -> Any:
        import yaml

        return yaml.safe_load(path.read_text("utf-8"))

    def preview(self, nlines: int = 200) -> TextPreview:
        """Return the beginning of the text for kedro-viz."""
        return first_lines(self.load_path().read_text("utf-8"), nlines)


class TextDataset(ArtefactDataset[str, str]):
    """Text for people, such as Markdown."""

    def _write(self, data: str, path: Path) -> None:
        path.write_text(data, encoding="utf-8")

    def _read(self, path: Path, manifest: Manifest) -> str:
        return path.read_text("utf-8")

    def preview(self, nlines: int = 200) -> TextPreview:
        """Return the beginning of the text for kedro-viz."""
        return first_lines(self.load_path().read_text("utf-8"), nlines)


class HtmlDataset(TextDataset):
    """A page of HTML; its preview is its words."""

    def preview(self, nlines: int = 100) -> TextPreview:
        """Return the beginning of the page for kedro-viz, without figures."""
        page = self.load_path().read_text("utf-8")
        return first_lines(text_of_html(page), nlines)


class FigureDataset(ArtefactDataset[dict[str, Any], dict[str, Any]]):
    """A Plotly figure as its JSON."""

    def _write(self, data: dict[str, Any], path: Path) -> None:
        path.write_text(json.dumps(data, allow_nan=False), encoding="utf-8")

    def _read(self, path: Path, manifest: Manifest) -> dict[str, Any]:
        figure: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return figure

    def preview(self) -> PlotlyPreview:
        """Return the figure for kedro-viz."""
        text = self.load_path().read_text("utf-8")
        return json.loads(text)
