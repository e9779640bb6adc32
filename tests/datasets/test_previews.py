"""Previews: every stored dataset of the catalog shows something in kedro-viz."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.utils import load_obj

from ranking_pipeline.datasets import HtmlDataset, RawBarsDataset, TextDataset
from ranking_pipeline.datasets.previews import first_lines, text_of_html
from ranking_pipeline.panel import Panel

CATALOGS = sorted(Path(__file__).parents[2].glob("conf/base/catalog*.yml"))
ENTRIES: dict[str, dict[str, Any]] = {
    name: entry
    for path in CATALOGS
    for name, entry in yaml.safe_load(path.read_text("utf-8")).items()
}
STORED = sorted(name for name, entry in ENTRIES.items() if "filepath" in entry)
# Without a file; each with what there would be to show.
NOT_STORED = {
    "raw_bars": "a file or folder of the user's, which is only named",
    "slice_audit": "in memory, shown by lookahead_report",
    "ingest_checks": "in memory, shown by lookahead_report",
    "stage_checks": "in memory, shown by lookahead_report",
    "training_jobs": "in memory, shown by training_plan",
    "project_recipe": "in memory, the catalog itself",
    "backtest_check": "in memory, shown by backtest_section",
    "portfolio_backtest_check": "in memory, shown by portfolio_backtest_section",
    "tuning_trials_so_far": "all versions of tuning_trials, shown there",
}
# What kedro-viz draws; a text is a name of ours that its client reads as "text".
KINDS = {"TablePreview", "JSONPreview", "PlotlyPreview", "TextPreview"}
FRAME = pd.DataFrame({"symbol": ["ON", "NA"], "x": np.array([1, np.nan], np.float32)})
PAGE = """<!DOCTYPE html><html><head><title>t</title><style>p{x:1}</style></head><body>
<nav><a>skip</a></nav><main><h1>Ranks &amp; costs</h1><dl><dt>Bars</dt><dd>7</dd></dl>
<div class="tile"><div>0.1</div><div>IC</div></div>
<table><tr><th>row</th><th>IC</th></tr><tr><td>a<span>chosen</span></td><td>0.1</td></tr></table>
<figure><p>drawn</p><script>var x = "<p>no</p>"</script></figure></main></body></html>"""


@pytest.fixture
def samples(random_walk_panel: Panel) -> dict[str, Any]:
    return {
        "CostsDataset": [{"label": "targets ranked", "seconds": 1.5}],
        "CounterDataset": "key",
        "CsvDataset": FRAME,
        "FigureDataset": {"data": [{"type": "bar", "x": [1]}], "layout": {}},
        "HtmlDataset": PAGE,
        "IndexedTableDataset": FRAME,
        "JsonDataset": {"a": [1, None]},
        "LedgerDataset": {"key": "bars", "entries": ["row|ridge|fwd_ret_1d|1a2b"]},
        "PanelDataset": random_walk_panel,
        "TableDataset": FRAME,
        "TableHandleDataset": FRAME,
        "TensorsDataset": {"net/weight": np.zeros((2, 3), np.float32)},
        "TextDataset": "# Routing plan",
        "TextFilesDataset": {("energy", "2020_06_predictions.json"): "{}"},
        "TextFolderDataset": {"fwd_ret_1d/selected_features.txt": "ret_1\nret_5\n"},
        "YamlDataset": {"a": [1, None]},
    }


def test_what_is_not_stored_is_known_by_name() -> None:
    assert set(ENTRIES) - set(STORED) == set(NOT_STORED)


@pytest.mark.parametrize("name", STORED)
def test_a_stored_dataset_previews(
    name: str, samples: dict[str, Any], tmp_path: Path
) -> None:
    kind = load_obj(ENTRIES[name]["type"])
    dataset = kind(filepath=str(tmp_path / Path(ENTRIES[name]["filepath"]).name))
    dataset.save(samples[kind.__name__])
    shown = dataset.preview()
    assert inspect.signature(dataset.preview).return_annotation in KINDS
    assert len(json.dumps(shown, allow_nan=False)) > 10


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_lies_in_the_folder_of_its_layer(name: str) -> None:
    entry = ENTRIES[name]
    layer = entry["metadata"]["kedro-viz"]["layer"]
    folders = ("raw", "intermediate", "primary", "feature", "model_input", "models")
    folders += ("model_output", "reporting")
    if name in STORED:
        place = Path(entry["filepath"].split("}", 1)[1])
        assert place.parts[1] == f"{folders.index(layer) + 1:02d}_{layer}"


def test_a_page_is_shown_by_its_words(tmp_path: Path) -> None:
    assert text_of_html(PAGE).splitlines() == [
        "Ranks & costs", "Bars 7", "0.1 IC", "row | IC", "a chosen | 0.1"
    ]  # fmt: skip
    page = HtmlDataset(filepath=str(tmp_path / "report.html"))
    page.save(PAGE)
    assert page.preview(nlines=1) == "Ranks & costs\n… and 4 more lines"


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    text = TextDataset(filepath=str(tmp_path / "plan.md"))
    text.save("one\ntwo\nthree\n")
    assert text.preview(nlines=2) == "one\ntwo\n… and 1 more lines"
    assert first_lines("one\ntwo", 2) == "one\ntwo"


def test_the_source_of_bars_is_shown_without_its_folder() -> None:
    shown = RawBarsDataset(source="/home/someone/prices.parquet").preview()
    assert json.loads(shown) == {"source": "prices.parquet"}
