"""Markets of the routing benchmark, in memory, and their routing plans."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from benchmarks.harness import PROJECT
from ranking_pipeline.bars.prepare import prepare_bars
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.data_config import DataPreparationConfig
from ranking_pipeline.features.compute import compute_table, feature_manifest
from ranking_pipeline.features.selection import selected_factors
from ranking_pipeline.labels.compute import compute_labels
from ranking_pipeline.labels.grammar import parse_targets
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.routing.candidates import collect_candidates
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.router import make_routing_plan
from ranking_pipeline.selection.consensus import STABILITY_COLUMNS
from ranking_pipeline.selection.leakage import COLUMNS as LEAKAGE_COLUMNS
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits, make_splits

TARGET = "fwd_ret_1d"
GEN_PANEL = PROJECT.parent / "shared" / "bench" / "qlib" / "gen_panel.py"


class Routes(NamedTuple):
    """The candidates, and the routing plan by mode."""

    candidates: pd.DataFrame
    plans: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class RoutingMarket:
    """Tables of one market, and its true loadings.

    Attributes
    ----------
    panel : Panel
    features, manifest, labels, targets : DataFrame
    splits : Splits
    lag : int
        Entry lag in bars.
    loading : dict of symbol to float
        How each symbol answers to the planted score.
    seed : int
    """

    panel: Panel
    features: pd.DataFrame
    manifest: pd.DataFrame
    labels: pd.DataFrame
    targets: pd.DataFrame
    splits: Splits
    lag: int
    loading: Mapping[str, float]
    seed: int

    @cached_property
    def rows(self) -> Samples:
        """Every tradable cell as the training of models sees it."""
        names = tuple(self.manifest["name"])
        rows = assemble(
            self.panel, self.features, self.labels, TARGET, "regression", names
        )
        ranks = feature_ranks(rows.features, rows.bars)
        return replace(rows, features=normal_scores(ranks))

    def routes(self, **changes: Any) -> Routes:
        """Candidates from the train span alone, and the plan of each mode."""
        settings = {**parameters("routing"), "seed": self.seed, **changes}
        config = RoutingConfig.model_validate(settings)
        data = TrainingData.cut(
            self.panel, self.features, self.manifest, self.labels, self.targets,
            self.splits,
        )  # fmt: skip
        candidates = collect_candidates(
            data,
            [TARGET],
            {TARGET: list(self.manifest["name"])},
            pd.DataFrame(columns=list(LEAKAGE_COLUMNS)),
            pd.DataFrame(columns=list(STABILITY_COLUMNS)),
            config,
        )
        selection = {"status": "selected", "targets": [TARGET], "reason": ""}
        plans = {
            mode: make_routing_plan(
                candidates, selection, config.model_copy(update={"mode": mode})
            )
            for mode in ("auto", "cross_sectional", "symbol_specific")
        }
        return Routes(candidates, plans)


def embedded_market(seed: int) -> RoutingMarket:
    """The default simulated market: 8 of 96 names answer the other way."""
    return _market(BarSource("simulated"), _data(), seed, None)


def generated_market(seed: int, strength: float) -> RoutingMarket:
    """500 names x 1,500 bars: a third without signal, a third with, a third against."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(GEN_PANEL), "--hetero", "--no-csv"]
        command += ["--strength", str(strength), "--seed", str(seed), "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        path = Path(folder) / "panel.parquet"
        frame = pd.read_parquet(path).rename(columns={"date": "timestamp"})
        frame.drop(columns=["vwap", "factor"]).to_parquet(path)
        names = json.loads((Path(folder) / "meta.json").read_text())["symbols"]
        loading = {f"SYM{i:05d}": (0.0, 1.0, -1.0)[i % 3] for i in range(names)}
        data = _data(source=str(path), entry_lag_bars=0)
        return _market(BarSource(str(path)), data, seed, loading)


def parameters(section: str) -> dict[str, Any]:
    """Read a section of the base parameters as it is written."""
    path = PROJECT / "conf" / "base" / f"parameters_{section}.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))[section]
    return found


def _data(source: str | None = None, **labels: Any) -> DataPreparationConfig:
    path = PROJECT / "conf" / "base" / "parameters_data_preparation.yml"
    values = yaml.safe_load(path.read_text("utf-8"))["data"]
    values["labels"] |= {"targets": [TARGET], **labels}
    if source is not None:
        values |= {"source": source, "timezone": "UTC"}
    return DataPreparationConfig.model_validate(values)


def _market(
    source: BarSource,
    data: DataPreparationConfig,
    seed: int,
    loading: Mapping[str, float] | None,
) -> RoutingMarket:
    lag = data.labels.entry_lag_bars
    found = prepare_bars(source, data, seed=seed, entry_lag_bars=lag, now=None)
    panel = found.panel
    names = selected_factors(data.features)
    labels, targets = compute_labels(
        panel, parse_targets(data.labels.targets, data.interval, None), data.labels
    )
    splits = make_splits(panel.timestamps, **data.splits.model_dump())
    if loading is None:
        truth = found.truth.drop_duplicates("symbol")
        loading = dict(zip(truth["symbol"].astype(str), truth["loading"], strict=True))
    return RoutingMarket(
        panel, compute_table(panel, names), feature_manifest(names), labels, targets,
        splits, lag, loading, seed,
    )  # fmt: skip
