"""Given leaderboard: its readers get what it was made from, no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from ranking_pipeline.datasets import ArtefactDataset

LEADERBOARD = "leaderboard"
# What is made from a leaderboard and the tables behind it, and how its maker is told.
READERS = {
    "promoted_model": "promote",
    "backtest_returns": "run the backtest",
}
TRAINED = ("models", "predictions", "routing_plan")
RANKED = ("cs_models", "cs_predictions", "cs_model", "cs_model_meta")
_DATA = ("panel", "labels", "splits", "features")
_ROUTES = "routing_plan"


def follow_leaderboard(pipeline: Pipeline, catalog: DataCatalog) -> list[str]:
    """Leave out stages that took no part in the leaderboard that is read.

    Their datasets, which may be missing or be of other data, become None in the
    catalog.

    Returns
    -------
    list of str
        What was made again after the leaderboard, and the remedy; empty where it fits.
    """
    made, inputs = pipeline.all_outputs(), pipeline.inputs()
    readers = [told for output, told in READERS.items() if output in made]
    if not readers:
        return []
    used = _made_from(pipeline, catalog)
    for name in (*TRAINED, *RANKED):
        if name in inputs and name not in used:
            catalog[name] = MemoryDataset(None)
    if LEADERBOARD not in inputs:
        return []
    given = [name for name in inputs if name in used]
    return _outdated(given, used, catalog, " and ".join(readers))


def _made_from(pipeline: Pipeline, catalog: DataCatalog) -> Mapping[str, str]:
    """Digest by name of all that the leaderboard was made from.

    "" where it is made in this run.
    """
    if LEADERBOARD not in pipeline.inputs():
        return dict.fromkeys(pipeline.to_outputs(LEADERBOARD).datasets(), "")
    stored = catalog[LEADERBOARD]
    manifest = stored.manifest() if isinstance(stored, ArtefactDataset) else None
    return manifest.ancestors if manifest else {}


def _outdated(
    names: Collection[str], used: Mapping[str, str], catalog: DataCatalog, then: str
) -> list[str]:
    others = {name for name in names if _is_another(name, used[name], catalog)}
    data = [name for name in _DATA if name in others]
    if data:
        return [
            f"The leaderboard was made from other data: {', '.join(data)} "
            f"{'was' if len(data) == 1 else 'were'} prepared again after it. Train and "
            f"evaluate on them (`kedro run{_shorter(used)}`), then {then}."
        ]
    tables = [name for name in (*TRAINED, *RANKED) if name in others]
    if not tables:
        return []
    again = "train" if _ROUTES in tables else _evaluating(used)
    return [
        f"The leaderboard is older than {', '.join(tables)}: it measured other models "
        "than there are now. Make it again (`kedro run "
        f"--pipelines={again}`), then {then}."
    ]


def _is_another(name: str, digest: str, catalog: DataCatalog) -> bool:
    """Whether what is stored now has another content; not where nothing is stored."""
    stored = catalog[name]
    manifest = stored.manifest() if isinstance(stored, ArtefactDataset) else None
    return manifest is not None and manifest.sha256 != digest


def _evaluating(used: Collection[str]) -> str:
    """The pipeline that makes a leaderboard of the same stages."""
    if not _any(RANKED, used):
        return "train"
    return "evaluation" if _any(TRAINED, used) else "cs_full"


def _shorter(used: Collection[str]) -> str:
    """The pipeline that is enough where only the ranking network took part."""
    return "" if _any(TRAINED, used) else " --pipelines=cs_full"


def _any(names: Sequence[str], used: Collection[str]) -> bool:
    return any(name in used for name in names)
