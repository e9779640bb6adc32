"""LineageRecorder: each artefact's manifest names what it was made from."""

from __future__ import annotations

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline.node import Node

from ranking_pipeline.config import Config
from ranking_pipeline.datasets import ArtefactDataset, RawBarsDataset
from ranking_pipeline.datasets.artefact import Lineage
from ranking_pipeline.storage import sha256_json

# How a run is executed never changes what it computes, so it is no part of a lineage.
EXECUTION_SECTIONS = frozenset({"params:jobs", "params:cache"})


class LineageRecorder:
    """Tell every output dataset, before its node runs, what it will be made from."""

    def __init__(self) -> None:
        self._in_memory: dict[str, dict[str, str]] = {}

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Collect the ancestors of the node's inputs and hand them to its outputs."""
        ancestors: dict[str, str] = {}
        for name in sorted(node.inputs):
            ancestors |= self._in_memory.get(name, {}) | claims(name, catalog)
        for name in node.outputs:
            dataset = catalog[name]
            if isinstance(dataset, ArtefactDataset):
                dataset.lineage = Lineage(node.name, ancestors)
            else:
                self._in_memory[name] = ancestors


def claims(name: str, catalog: DataCatalog) -> dict[str, str]:
    """What a dataset says about itself and its ancestors: digest by name."""
    if name in EXECUTION_SECTIONS:
        return {}
    if name.startswith("params:"):
        return {name: parameter_digest(catalog[name].load())}
    dataset = catalog[name]
    if isinstance(dataset, RawBarsDataset):
        return {name: dataset.load().digest()}
    manifest = dataset.manifest() if isinstance(dataset, ArtefactDataset) else None
    return {**manifest.ancestors, name: manifest.sha256} if manifest else {}


def parameter_digest(value: Any) -> str:
    """Digest of a parameter section, or of one value, by content."""
    return sha256_json(
        value.model_dump(mode="json") if isinstance(value, Config) else value
    )
