"""Runs: which run made the predictions that a promoted row was measured by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import read_manifest

# Name of a table of predictions, and end of the name of the node that makes it.
MAKERS = {"predictions": "collect_models", "cs_predictions": "score_universe"}
# Table that the same stage makes, of which every run keeps its own version.
_MODELS = {"predictions": "models.parquet", "cs_predictions": "cs_models.parquet"}


def training_run(runs: Path, tables: Path, table: str, sha256: str) -> str | None:
    """Id of the run that made a table of predictions; None where nothing tells.

    A run writes its record when it ends. Before that, the version of the table of
    models names it: the same run made both.

    Parameters
    ----------
    runs : Path
        Folder of the records of runs.
    tables : Path
        Folder of the tables of models.
    table : str
        ``predictions`` or ``cs_predictions``.
    sha256 : str
        Of its content.

    Raises
    ------
    UserError
        For a damaged record, naming the file.
    """
    for path in sorted(runs.glob("*.json")):
        record = _read(path)
        made = any(name.endswith(MAKERS[table]) for name in record["node_seconds"])
        if made and record["datasets"].get(table, {}).get("sha256") == sha256:
            return str(record["run_id"])
    return _unrecorded(runs, tables / _MODELS[table])


def _unrecorded(runs: Path, versions: Path) -> str | None:
    """Newest version of a table, if its run has no record yet."""
    whole = [
        file.parent.name
        for file in versions.glob(f"*/{versions.name}")
        if read_manifest(file) is not None
    ]
    newest = max(whole, default=None)
    known = newest is None or (runs / f"{newest}.json").exists()
    return None if known else newest


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        known = isinstance(record["node_seconds"], dict)
        if not (known and isinstance(record["datasets"], dict) and record["run_id"]):
            raise TypeError("its parts are no objects")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged: no record of a run ({type(error).__name__}: {error}). "
            "Restore the file or delete it; it only tells which run trained a model."
        ) from None
    return record
