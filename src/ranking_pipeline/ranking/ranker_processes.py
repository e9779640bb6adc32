"""Ranker processes: one training shared by several processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.channels import ChannelScale
from ranking_pipeline.learning.distributed import train_distributed
from ranking_pipeline.ranking.fitted_ranker import Ranker
from ranking_pipeline.ranking.ranker import train_here
from ranking_pipeline.ranking.ranker_checkpoints import Checkpoints
from ranking_pipeline.ranking.ranker_data import TrainingData
from ranking_pipeline.ranking.ranker_spec import RankerSpec
from ranking_pipeline.ranking.watcher import HistoryRow, Watcher


def train_together(
    data: TrainingData,
    spec: RankerSpec,
    device: str,
    threads: int,
    checkpoints: Checkpoints | None,
    watcher: Watcher,
) -> Ranker:
    """Train in several processes, each on its share of every step."""
    options = {
        "spec": asdict(spec),
        "lag_bars": data.lag_bars,
        "horizon_bars": data.horizon_bars,
        "threads": threads,
        "checkpoints": checkpoints
        and {
            "folder": str(checkpoints.folder.absolute()),
            "every_seconds": checkpoints.every_seconds,
        },
    }
    found = train_distributed(
        "ranking_pipeline.ranking.ranker_processes:train_share",
        data.arrays(),
        options,
        processes=spec.processes,
        device=device,
        threads=threads,
        on_report=lambda event: getattr(watcher, event["what"])(event["value"]),
    )
    states: list[dict[str, Tensor]] = [{} for _ in spec.seeds]
    for name, values in found.arrays.items():
        place, parameter = name.split(".", 1)
        states[int(place)][parameter] = torch.from_numpy(values)
    scale, facts = found.values["scale"], found.values
    return Ranker(
        spec,
        None if scale is None else ChannelScale.from_dict(scale),
        tuple(states),
        facts["metrics"],
        facts["history"],
        facts["counts"],
    )


def train_share(share: Any) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Do one process's share of :func:`train_ranker`; run by ``train_distributed``."""
    options = share.options
    kept = options["checkpoints"]
    ranker = train_here(
        TrainingData(
            **share.arrays,
            lag_bars=options["lag_bars"],
            horizon_bars=options["horizon_bars"],
        ),
        RankerSpec.from_dict(options["spec"]),
        share.device,
        options["threads"],
        kept and Checkpoints(Path(kept["folder"]), kept["every_seconds"]),
        _Reporting(share.report, share.group.size),
        share.group,
    )
    arrays = {
        f"{place}.{name}": value.numpy()
        for place, state in enumerate(ranker.states)
        for name, value in state.items()
    }
    scale = None if ranker.scale is None else asdict(ranker.scale)
    return arrays, {
        "scale": scale,
        "metrics": ranker.metrics,
        "history": ranker.history,
        "counts": ranker.counts,
    }


class _Reporting(Watcher):
    """Sends what it hears to the process that started the training.

    Only the first process is heard: its windows stand for those of all.
    """

    def __init__(
        self, report: Callable[[Mapping[str, Any]], None], processes: int
    ) -> None:
        self._report = report
        self._processes = processes

    def start(self, windows: int) -> None:
        self._report({"what": "start", "value": windows})

    def step(self, windows: int) -> None:
        self._report({"what": "step", "value": windows * self._processes})

    def epoch(self, row: HistoryRow) -> None:
        self._report({"what": "epoch", "value": row})

    def reach(self, windows: int) -> None:
        self._report({"what": "reach", "value": windows})
