"""Reruns: the registered stages on other bars, in a catalog of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.datasets import ArtefactDataset
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models.store import MANIFEST, PREDICTIONS
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle, sha256_file

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from ranking_pipeline.audit.check import Check

# What is decided on the train span alone, in the order in which it is decided.
DECISIONS = (
    "target_rankings",
    "target_feature_importances",
    "selected_targets",
    "leakage_report",
    "feature_filters",
    "feature_importance",
    "symbol_importance",
    "importance_comparison",
    "feature_family_scores",
    "feature_consensus",
    "feature_stability",
    "model_agreement",
    "selection_outcomes",
    "selected_features",
    "routing_candidates",
    "routing_plan",
    "training_plan",
)
STAGES = (
    "target_ranking",
    "feature_selection",
    "routing",
    "model_training",
    "cs_ranking",
)
# Prices and sectors that go elsewhere from the cut on: the shape of everything stays as
# it is, so that even sums whose order depends on the shape must repeat bit for bit.
ALTERATIONS, SEED = ("random_walk", "sectors"), 5
# How long a family may learn: the validation rows decide it, and nothing else.
LENGTHS = ("n_rounds", "epochs")
CHOICE = ["model_id", "target", "validation_ic", "chosen"]


Digests = Callable[["DataCatalog"], dict[str, str]]


@dataclass(frozen=True)
class ProjectRecipe:
    """What it takes to build the catalog again somewhere else.

    Attributes
    ----------
    entries : mapping
        The configuration of each catalog entry, resolved.
    parameters : mapping
        The typed parameter sections, by catalog name (``params:...``).
    data_root : str
        The folder below which the entries keep their files.
    """

    entries: Mapping[str, Any]
    parameters: Mapping[str, Any]
    data_root: str

    def for_one_round(self) -> ProjectRecipe:
        """The same with models that learn for one round: there is no best one to keep."""
        changed = dict(self.parameters)
        training = changed["params:model_training"]
        blocks = {
            family: {
                key: 1 if key in LENGTHS else value for key, value in block.items()
            }
            for family, block in training.parameters.items()
        }
        changed["params:model_training"] = training.model_copy(
            update={"parameters": blocks}
        )
        ranking = changed["params:cs_ranking"]
        once = ranking.training.model_copy(update={"epochs": 1})
        changed["params:cs_ranking"] = ranking.model_copy(update={"training": once})
        return replace(self, parameters=changed)

    def catalog(self, folder: Path) -> DataCatalog:
        """Build the catalog with ``folder`` in the place of the data root."""
        from kedro.io import DataCatalog, MemoryDataset

        entries = {
            name: _moved(entry, self.data_root, str(folder))
            for name, entry in self.entries.items()
        }
        catalog = DataCatalog.from_config(entries)
        for name, value in self.parameters.items():
            own = _AFRESH.get(name, _as_it_is)(value, folder)
            catalog[name] = MemoryDataset(own, copy_mode="assign")
        return catalog


def _with_own_folders(jobs: JobsConfig, folder: Path) -> JobsConfig:
    """Nothing that was computed before may be found again."""
    names = ("store", "checkpoints", "ledger")
    return jobs.model_copy(update={name: str(folder / name) for name in names})


def _without_memory(cache: CacheConfig, folder: Path) -> CacheConfig:
    """What earlier runs decided proves nothing."""
    return cache.model_copy(update={"enabled": False})


def _as_it_is(value: Any, folder: Path) -> Any:
    return value


_AFRESH: dict[str, Callable[[Any, Path], Any]] = {
    "params:jobs": _with_own_folders,
    "params:cache": _without_memory,
}


def _moved(entry: Any, root: str, folder: str) -> Any:
    """The same entry with every path below ``root`` below ``folder``."""
    if isinstance(entry, Mapping):
        return {key: _moved(value, root, folder) for key, value in entry.items()}
    if isinstance(entry, str) and entry.startswith(root):
        return folder + entry.removeprefix(root)
    return entry


def run_stages(
    whole: Pipeline, recipe: ProjectRecipe, given: Mapping[str, Any], folder: Path
) -> DataCatalog:
    """Run all stages from the panel to the predictions.

    Parameters
    ----------
    whole
        The registered default pipeline: its own nodes run, whatever they are.
    recipe
        Of the catalog.
    given
        The panel, and what else the stages read that is made from raw bars, by name.
    folder
        Where everything is written.
    """
    from kedro.runner import SequentialRunner

    made = {"features", "labels", "splits", "leaderboard"}
    wanted = [
        node
        for node in whole.from_inputs("panel").nodes
        if node.tags & set(STAGES) or made & set(node.outputs)
    ]
    # it comes from a file beside the bars
    wanted += whole.only_nodes_with_outputs("delistings").nodes
    catalog = recipe.catalog(folder)
    for name, value in given.items():
        catalog.save(name, value)
    SequentialRunner().run(type(whole)(wanted), catalog)
    return catalog


def decision_digests(catalog: DataCatalog) -> dict[str, str]:
    """SHA-256 of every artefact that is decided on the train span."""
    return {name: _digest(catalog, name) for name in DECISIONS}


def model_digests(catalog: DataCatalog) -> dict[str, str]:
    """SHA-256 of the files of every trained model, trees and networks.

    What a model predicts after the cut, and what it was made from, may differ.
    """
    digests = {"ranking network": _digest(catalog, "cs_model")}
    store = Path(catalog.load("params:jobs").store)
    models = catalog.load("models")
    trained = models[models["path"].astype(str) != ""]
    for row in trained[["model_id", "window", "path"]].itertuples():
        for file in sorted((store / str(row.path)).iterdir()):
            if file.name not in (PREDICTIONS, MANIFEST):
                name = f"{row.model_id} {row.window} {file.name}"
                digests[name] = sha256_file(file)
    return digests


def choice_digests(catalog: DataCatalog) -> dict[str, str]:
    """SHA-256 of the order of the leaderboard, and of the row that is chosen."""
    return {"leaderboard": _frame_digest(catalog.load("leaderboard")[CHOICE])}


def _digest(catalog: DataCatalog, name: str) -> str:
    dataset = catalog[name]
    assert isinstance(dataset, ArtefactDataset)
    return sha256_file(dataset.load_path())


def row_digests(catalog: DataCatalog, last: pd.Timestamp) -> dict[str, str]:
    """SHA-256 of the rows that are known at ``last``: features, labels and scores.

    A label is known at its end; a feature and a score at their bar.
    """
    digests = {}
    for name in ("features", "predictions", "cs_predictions"):
        frame = _read(catalog.load(name))
        digests[name] = _frame_digest(frame[frame["timestamp"] <= last])
    labels = _read(catalog.load("labels"))
    for target in (str(c) for c in labels if f"{c}__end" in labels):
        known = labels[f"{target}__end"] <= last
        columns = ["timestamp", "symbol", target, f"{target}__end"]
        digests[f"label {target}"] = _frame_digest(labels.loc[known, columns])
    return digests


def _read(table: TableHandle | pd.DataFrame) -> pd.DataFrame:
    return table.read() if isinstance(table, TableHandle) else table


def _frame_digest(frame: pd.DataFrame) -> str:
    """SHA-256 over the cells of a frame, column by column, order included."""
    from hashlib import sha256

    digest = sha256(str(len(frame)).encode())
    for name in map(str, frame.columns):
        column = frame[name]
        digest.update(f"{name}:".encode())
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.astype("int64")
        if column.dtype.kind in "fiub":
            digest.update(np.ascontiguousarray(column.to_numpy()).tobytes())
        else:
            digest.update("\x1f".join(map(str, column)).encode())
    return digest.hexdigest()


def rerun_checks(
    recipe: ProjectRecipe,
    panel: Panel,
    given: Mapping[str, Any],
    splits: Mapping[str, Any],
    folder: Path,
) -> list[Check]:
    """Run all stages four times: on the bars, and with two other futures.

    What is decided on the train span must not change when all bars after it are others,
    nor may models that learn for one round, so that nothing is left to be chosen on
    validation. Models, and the features, labels and scores up to the end of the
    validation span, and the row that the evaluation chooses, must not change when all
    bars after that are others.
    """
    from kedro.framework.project import pipelines

    from ranking_pipeline.audit.artefacts import compare_digests

    once = recipe.for_one_round()
    runs = {
        "honest": (recipe, None),
        "validation": (recipe, splits["validation"]["last_bar"]),
        "brief": (once, None),
        "train": (once, splits["train"]["last_bar"]),
    }
    whole = pipelines["__default__"]
    catalogs = {
        name: run_stages(
            whole, own, {**given, "panel": _altered(panel, last)}, folder / name
        )
        for name, (own, last) in runs.items()
    }
    honest, late = catalogs["honest"], catalogs["validation"]
    brief, early = catalogs["brief"], catalogs["train"]
    last = pd.Timestamp(splits["validation"]["last"])

    def rows(catalog: DataCatalog) -> dict[str, str]:
        return row_digests(catalog, last)

    claims: tuple[tuple[str, Digests, DataCatalog, DataCatalog], ...] = (
        (
            "decisions ignore what follows the train span",
            decision_digests,
            brief,
            early,
        ),
        (
            "models of one round ignore what follows the train span",
            model_digests,
            brief,
            early,
        ),
        (
            "models ignore what follows the validation span",
            model_digests,
            honest,
            late,
        ),
        ("features, labels and scores ignore later bars", rows, honest, late),
        (
            "the choice ignores what follows the validation span",
            choice_digests,
            honest,
            late,
        ),
    )
    return [
        compare_digests(
            claim,
            _with_panel(first, digests),
            _with_panel(second, digests),
            must_differ=["panel"],
            what="all stages",
        )
        for claim, digests, first, second in claims
    ]


def _altered(panel: Panel, last: int | None) -> Panel:
    from ranking_pipeline.audit.futures import alter_future

    for way in ALTERATIONS if last is not None else ():
        panel = alter_future(panel, int(last or 0), way, SEED)
    return panel


def _with_panel(catalog: DataCatalog, digests: Digests) -> dict[str, str]:
    return {**digests(catalog), "panel": _digest(catalog, "panel")}
