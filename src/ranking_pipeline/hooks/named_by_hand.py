"""Names by hand: manual targets and features are checked before any stage runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ranking_pipeline.features.selection import selected_factors
from ranking_pipeline.labels.grammar import parse_targets

_DATA = "params:data"
_log = logging.getLogger(__name__)


def manual_faults(pipeline: Pipeline, catalog: DataCatalog) -> list[str]:
    """Tell names that the data will not hold, and lists that are empty.

    The names are those of the tables on disk, or of the parameters where the pipeline
    makes the tables itself.
    """
    inputs, faults = pipeline.inputs(), list[str]()
    if "params:target_ranking" in inputs:
        ranking = catalog["params:target_ranking"].load()
        if not ranking.auto:
            names = ranking.manual_targets
            known = _targets(inputs, catalog)
            faults += _faults("target_ranking.manual_targets", names, known)
    if "params:feature_selection" in inputs:
        selection = catalog["params:feature_selection"].load()
        features = _features(inputs, catalog)
        if not selection.auto:
            names = selection.manual_features
            faults += _faults("feature_selection.manual_features", names, features)
        elif features and selection.top_m_features >= len(features):
            _log.info(
                "feature_selection.top_m_features is %d and there are %d features: "
                "the ranking chooses none away",
                selection.top_m_features,
                len(features),
            )
    return faults


def _faults(key: str, names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    if not names:
        section, _, _ = key.partition(".")
        yield f"{section}.auto is false and {key} is empty; name at least one."
    for name in names:
        if known and name not in known:
            near = ", ".join(get_close_matches(name, known, 3) or known[:3])
            yield f"{key}: {name!r} does not exist; there are {len(known)}, as {near}."


def _targets(inputs: Iterable[str], catalog: DataCatalog) -> list[str]:
    if "target_manifest" in inputs:
        table = catalog["target_manifest"].load()
        return [str(name) for name in table.loc[table["is_target"], "target"]]
    data: Any = catalog[_DATA].load() if _DATA in inputs else None
    if data is None:
        return []
    names = data.labels.targets
    specs = parse_targets(names, data.interval, data.bars_per_session)
    return [spec.name for spec in specs]


def _features(inputs: Iterable[str], catalog: DataCatalog) -> list[str]:
    if "feature_manifest" in inputs:
        return [str(name) for name in catalog["feature_manifest"].load()["name"]]
    return selected_factors(catalog[_DATA].load().features) if _DATA in inputs else []
