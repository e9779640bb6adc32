"""cache: what a second run of ranking, selection and routing saves."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, kedro_run, private_conf, row
from ranking_pipeline.cache.codec import VALUE, Codec
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.entries import Entry, EntryStore
from ranking_pipeline.cache.origin import sources_reached
from ranking_pipeline.cache.results import ResultCache
from ranking_pipeline.selection.evidence_origin import result_types

STAGES = {
    "target_ranking": "rank_targets",
    "feature_selection": "select_features",
    "routing": "collect_candidates",
}
EVIDENCE = (
    "selection.predictability",
    "selection.target_choice",
    "routing.candidates",
)
LOOKS = 20
Changes = dict[str, Any]


def run(rounds: int | None) -> list[Row]:
    """Run the three stages without and with what they left, ``rounds`` times (3).

    A stage's time is the wall time of its evidence node in the run manifest, start-up
    left out: ``peer`` is the first run, ``ours`` the second. The goal is a saving above
    90 %. The cases are single looks into the cache of the last run, process time.
    """
    with tempfile.TemporaryDirectory() as folder:
        conf, store = private_conf(Path(folder)), Path(folder) / "data" / "cache"
        kedro_run(conf, "--pipelines=data_preparation")
        pairs = [_cold_and_warm(conf, store) for _ in range(rounds or 3)]
        return [*_stage_rows(pairs), *_case_rows(store)]


def _cold_and_warm(conf: Path, store: Path) -> tuple[dict[str, float], ...]:
    """Seconds per stage of a run that refreshes everything, and of the next one."""
    before = _sources()
    stages, keep = f"--pipelines={','.join(STAGES)}", f"cache.store={store}"
    seconds = []
    for refresh in ("true", "false"):
        kedro_run(conf, stages, f"--params=cache.force_refresh={refresh},{keep}")
        seconds.append(_node_seconds(conf.parent / "data"))
    if _sources() != before:
        raise RuntimeError(
            "the sources were edited between the two runs: all is missed"
        )
    if not any(EntryStore(store).entries()):
        raise RuntimeError(
            "the stages cached nothing; are their nodes given params:cache?"
        )
    return tuple(seconds)


def _sources() -> list[str]:
    return [sources_reached(f"ranking_pipeline.{module}") for module in EVIDENCE]


def _node_seconds(data: Path) -> dict[str, float]:
    path = data / "08_reporting" / "run_manifest.json"
    seconds = json.loads(path.read_text("utf-8"))["node_seconds"]
    found = {
        stage: sum(s for name, s in seconds.items() if name.split(".")[-1] == node)
        for stage, node in STAGES.items()
    }
    return {**found, "three stages": sum(found.values())}


def _stage_rows(pairs: list[tuple[dict[str, float], ...]]) -> Iterator[Row]:
    for stage in pairs[0][0]:
        cold, warm = (
            [side[stage] for side in sides] for sides in zip(*pairs, strict=True)
        )
        made = row(stage, "s", warm, cold)
        yield made | {"saving": 1 - made["ours"] / made["peer"]}


def _case_rows(store: Path) -> Iterator[Row]:
    """Milliseconds of one look per target, for each thing that a cache can meet."""
    evidence = [
        entry for entry in EntryStore(store).entries() if "evidence" in _origin(entry)
    ]
    cases: dict[str, tuple[str, Changes, Changes]] = {
        "hit": ("hit", {}, {}),
        "miss": ("miss", {}, {"target": "unknown"}),
        "data changed": ("miss", {}, {"panel": "0" * 64}),
        "configuration changed": ("miss", {}, {"config": {}}),
        "expired": ("expired", {"ttl_days": 1e-9}, {}),
        "forced": ("forced", {"force_refresh": True}, {}),
        "disabled": ("disabled", {"enabled": False}, {}),
        "damaged": ("damaged", {}, {}),
    }
    for case, (status, settings, changes) in cases.items():
        if case == "damaged":  # the last one
            for entry in evidence:
                (entry.folder / VALUE).write_bytes(b"{}")
            logging.getLogger("ranking_pipeline.cache").setLevel(logging.ERROR)
        times = [_look(entry, store, status, settings, changes) for entry in evidence]
        yield row(f"{case}, per target", "ms", times)


def _look(
    entry: Entry, store: Path, status: str, settings: Changes, changes: Changes
) -> float:
    values = {
        "enabled": True,
        "ttl_days": 7,
        "force_refresh": False,
        "store": str(store),
    }
    codec = Codec(result_types(_function(_origin(entry)["evidence"])))
    cache = ResultCache(CacheConfig.model_validate({**values, **settings}), codec)
    made_from = {**_origin(entry), **changes}
    if cache.find(made_from).status != status:
        raise RuntimeError(f"{status} expected of {entry.folder}")
    started = time.process_time()
    for _ in range(LOOKS):
        cache.find(made_from)
    return (time.process_time() - started) / LOOKS * 1000


def _origin(entry: Entry) -> dict[str, Any]:
    return dict(entry.facts.get("made_from", {}))


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
