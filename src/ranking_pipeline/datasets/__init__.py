"""Our Kedro datasets: atomic, checksummed, and versioned where a decision is kept."""

from ranking_pipeline.datasets.artefact import ArtefactDataset
from ranking_pipeline.datasets.costs import CostsDataset
from ranking_pipeline.datasets.counter import CounterDataset
from ranking_pipeline.datasets.documents import (
    FigureDataset,
    HtmlDataset,
    JsonDataset,
    TextDataset,
    YamlDataset,
)
from ranking_pipeline.datasets.folder import TextFilesDataset, TextFolderDataset
from ranking_pipeline.datasets.history import HistoryDataset
from ranking_pipeline.datasets.ledger import LedgerDataset
from ranking_pipeline.datasets.panel import PanelDataset
from ranking_pipeline.datasets.raw_bars import RawBarsDataset
from ranking_pipeline.datasets.tables import (
    CsvDataset,
    IndexedTableDataset,
    TableDataset,
    TableHandleDataset,
)
from ranking_pipeline.datasets.tensors import TensorsDataset

__all__ = [
    "ArtefactDataset",
    "CostsDataset",
    "CounterDataset",
    "CsvDataset",
    "FigureDataset",
    "HistoryDataset",
    "HtmlDataset",
    "IndexedTableDataset",
    "JsonDataset",
    "LedgerDataset",
    "PanelDataset",
    "RawBarsDataset",
    "TableDataset",
    "TableHandleDataset",
    "TensorsDataset",
    "TextDataset",
    "TextFilesDataset",
    "TextFolderDataset",
    "YamlDataset",
]
