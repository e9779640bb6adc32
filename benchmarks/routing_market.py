"""Markets of the routing benchmark in memory, and what a routing plan earns on one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from benchmarks.harness import PROJECT
from ranking_pipeline.bars.prepare import prepare_bars
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.data_config import DataPreparationConfig
from ranking_pipeline.evaluation import metrics
from ranking_pipeline.evaluation.baselines import forward_returns
from ranking_pipeline.evaluation.measure import fill_with_median
from ranking_pipeline.features.compute import compute_table, feature_manifest
from ranking_pipeline.features.selection import selected_factors
from ranking_pipeline.labels.compute import compute_labels
from ranking_pipeline.labels.grammar import parse_targets
from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.calibration import (
    UNKNOWN,
    Calibration,
    calibrate,
    shrunk_slope,
)
from ranking_pipeline.models.routed import stitch
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.training_rows import thin
from ranking_pipeline.panel import Panel
from ranking_pipeline.routing.candidates import collect_candidates
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.partial_pooling import apply_slopes, slopes_of
from ranking_pipeline.routing.router import make_routing_plan
from ranking_pipeline.selection.consensus import STABILITY_COLUMNS
from ranking_pipeline.selection.leakage import COLUMNS as LEAKAGE_COLUMNS
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits, make_splits

Matrix = npt.NDArray[np.float64]
TARGET = "fwd_ret_1d"
MIN_SYMBOLS = 20
OWN_ROUTES = frozenset({"SYMBOL_SPECIFIC", "BOTH", "EXPERIMENTAL"})
GEN_PANEL = PROJECT.parent / "shared" / "bench" / "qlib" / "gen_panel.py"


class Routes(NamedTuple):
    """The candidates, and the routing plan by mode."""

    candidates: pd.DataFrame
    plans: dict[str, dict[str, Any]]


class Fitted(NamedTuple):
    """Test scores by cell (bar x S + symbol), and what one unit of them is worth."""

    score: pd.Series
    worth: Calibration


@dataclass(frozen=True)
class RoutingMarket:
    """Tables of one market, its true loadings, and its models.

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

    @cached_property
    def scored(self) -> Samples:
        """Rows of the test block."""
        return self.rows.take(self.rows.bars >= self.splits.test.first_bar)

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

    def fitted(self, family: str, symbol: int | None = None) -> Fitted:
        """Fit a family to the train block, of one symbol if asked; score the test."""
        rows, scored = self.rows, self.scored
        if symbol is not None:
            rows = rows.take(rows.symbols == symbol)
            scored = scored.take(scored.symbols == symbol)
        training = parameters("model_training")
        train, validation = (
            rows.take(self.splits.mask(name, rows.bars, rows.label_end)).labelled()
            for name in ("train", "validation")
        )
        if not len(train) or not len(scored):
            return Fitted(pd.Series(dtype=np.float64), UNKNOWN)
        model = registry.create(family, training["parameters"][family], self.seed, 1)
        model.fit(
            thin(train, training["max_train_rows"]),
            validation if len(validation) else None,
        )
        worth = UNKNOWN
        if len(validation):
            known = model.predict(validation).score
            worth = calibrate(known, validation, pooled=symbol is None)
        cells = scored.bars * self.panel.n_symbols + scored.symbols
        score = model.predict(scored).score.astype(np.float64)
        return Fitted(pd.Series(score, index=cells), worth)

    @cached_property
    def pooled(self) -> pd.Series:
        """Test scores of the pooled LightGBM by cell, in units of the payoff."""
        found = self.fitted("lightgbm")
        bars = found.score.index.to_numpy() // self.panel.n_symbols
        centred = found.score - found.score.groupby(bars).transform("mean")
        return centred * shrunk_slope([found.worth.slope], [found.worth.error])

    @cached_property
    def own(self) -> dict[str, Fitted]:
        """One ridge per symbol."""
        names = self.panel.symbols
        return {name: self.fitted("ridge", k) for k, name in enumerate(names)}

    def own_scores(self, names: Collection[str]) -> pd.Series:
        """Test scores of the named symbols' own models, in units of the payoff.

        The models that a plan trains share one slope, as they do after training.
        """
        parts = [self.own[name] for name in names if len(self.own[name].score)]
        if not parts:
            return pd.Series(np.nan, index=self.pooled.index)
        slope = shrunk_slope(
            [part.worth.slope for part in parts], [part.worth.error for part in parts]
        )
        found: pd.Series = pd.concat([part.score for part in parts]) * slope
        return found.reindex(self.pooled.index)

    def routed(self, plan: Mapping[str, Any]) -> pd.Series:
        """Scores that a plan gives; a blocked cell takes the median of its bar."""
        decision = plan["targets"][TARGET]
        routes = {k: entry["route"] for k, entry in decision["symbols"].items()}
        route = self._names.map(routes).fillna("").astype("str")
        trained = plan["mode"] == "cross_sectional" or (
            plan["mode"] == "auto" and decision["pooled"]["state"] != "DISALLOWED"
        )
        pooled = self.pooled if trained else self.pooled * np.nan
        own = self.own_scores([k for k, v in routes.items() if v in OWN_ROUTES])
        bars = pd.Series(pooled.index.to_numpy() // self.panel.n_symbols)
        return stitch(pooled, own, route, bars)

    def partially_pooled(self, plan: Mapping[str, Any]) -> pd.Series:
        """Pooled scores times the slope of each symbol."""
        entry = plan["targets"][TARGET]["partial_pooling"]
        bars = self.pooled.index.to_numpy() // self.panel.n_symbols
        slopes = slopes_of(entry, self._names.tolist())
        score = apply_slopes(self.pooled.to_numpy(), bars, slopes)
        return pd.Series(score, index=self.pooled.index)

    @cached_property
    def _names(self) -> pd.Series:
        """Symbol of each scored cell."""
        symbols = self.pooled.index.to_numpy() % self.panel.n_symbols
        names = np.array(self.panel.symbols, dtype=object)[symbols]
        return pd.Series(names, index=self.pooled.index)

    def rank_ic(self, score: pd.Series) -> Matrix:
        """Rank IC of each test bar, every tradable cell counted."""
        shape = (self.panel.n_bars, self.panel.n_symbols)
        matrix = np.full(shape, np.nan)
        matrix.flat[score.index.to_numpy()] = score.to_numpy(np.float64)
        cells = self.panel.tradable.T
        payoff = np.where(cells, forward_returns(self.panel, self.lag, 1), np.nan)
        test = slice(self.splits.test.first_bar, self.splits.test.last_bar + 1)
        filled = fill_with_median(matrix[test], cells[test])
        found: Matrix = metrics.rank_ic(filled, payoff[test], MIN_SYMBOLS)
        return found


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
