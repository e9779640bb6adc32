"""leakage: which planted leaks are found, and how many honest features are flagged.

Leaks of graded strength and honest features are planted in simulated markets of 100
symbols, for four targets and train spans of 60, 250 and 875 bars. A leak is found when
its status is not SAFE. Every registered factor of the real bars, where they lie beside
the project, is screened against six targets.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.harness import PROJECT, REAL_DATA, Row
from benchmarks.leak_columns import (
    LABELS,
    TARGETS,
    TRAIN_SHARE,
    Market,
    honest,
    leaks,
    market,
    noisy,
    normal_ranks,
)
from ranking_pipeline.features import compute_table, feature_manifest
from ranking_pipeline.labels import compute_labels, parse_targets
from ranking_pipeline.panel import NO_SECTOR, OHLCV, Panel
from ranking_pipeline.selection.config import TargetRankingConfig
from ranking_pipeline.selection.leakage import SAFE, screen_features
from ranking_pipeline.selection.leakage_report import feature_status
from ranking_pipeline.selection.sentinels import confirm_leaks
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import make_splits

SPANS = (60, 250, 875)
N_SYMBOLS = 100
N_HONEST = 1000
MODEL_SEEDS = 3
REAL_TARGETS = (
    "fwd_ret_1d", "fwd_ret_5d", "fwd_ret_20d", "label_h5", "fwd_mdd_5d",
    "y_first_touch_5d_0.8",
)  # fmt: skip
Statuses = dict[str, str]


def run(rounds: int | None) -> list[Row]:
    """Print recall per kind of leak, false positives, and the flags on real bars.

    ``rounds`` seeds (10 by default) per span and target.
    """
    config = ranking_config()
    rows: list[Row] = []
    for span in SPANS:
        rows += _recall(span, range(rounds or 10), config)
        rows += _model_rows(span, range(min(rounds or 10, MODEL_SEEDS)), config)
        rows += _false_positives(span, config)
    if (REAL_DATA / "sp500_daily_2015_2020.parquet").exists():
        rows += _real(config)
    return rows


def ranking_config() -> TargetRankingConfig:
    """The project's defaults, with LightGBM asking the questions."""
    path = PROJECT / "conf" / "base" / "parameters_target_ranking.yml"
    section = yaml.safe_load(path.read_text(encoding="utf-8"))["target_ranking"]
    section |= {"seed": 1, "threads": 1}
    return TargetRankingConfig.model_validate(section)


def statuses(data: TrainingData, target: str, config: TargetRankingConfig) -> Statuses:
    """Status of each feature after the screen."""
    problem = data.problem(target, config)
    report = screen_features(problem, data.label_columns, config.leakage)
    return feature_status(report)


def _recall(span: int, seeds: range, config: TargetRankingConfig) -> Iterator[Row]:
    """Share of the seeds in which the screen flags each kind, per target."""
    found = defaultdict(list)
    for seed in seeds:
        made = market(span, N_SYMBOLS, seed)
        for target in TARGETS:
            planted = leaks(made, target, seed)
            status = statuses(made.data(planted), target, config)
            for kind in planted:
                found[kind, target].append(status[kind] != SAFE)
    for (kind, target), hits in found.items():
        yield share(f"screen: {kind}, {target}, {span} bars", hits)


def _model_rows(span: int, seeds: range, config: TargetRankingConfig) -> Iterator[Row]:
    """What models are asked: a coded label, and honest features that dominate."""
    found = defaultdict(list)
    for seed in seeds:
        made = market(span, N_SYMBOLS, seed)
        for target in TARGETS:
            for kind, columns in _questioned(made, target, seed).items():
                data = made.data(columns)
                problem = data.problem(target, config)
                report = screen_features(problem, data.label_columns, config.leakage)
                status = feature_status(confirm_leaks(problem, report, config))
                found[kind].append(status["asked"] != SAFE)
    for kind, hits in found.items():
        yield share(f"models: {kind}, {span} bars", hits)


def _questioned(
    made: Market, target: str, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng([seed, 17])
    normal = normal_ranks(made.label(target))
    noise = {f"noise_{k}": rng.normal(size=normal.shape) for k in range(10)}
    coded = leaks(made, target, seed)["coded label"]
    return {
        "coded label": {**noise, "asked": coded},
        "honest IC 0.08 beside noise": {**noise, "asked": noisy(rng, normal, 0.08)},
        "honest IC 0.08 alone": {"asked": noisy(rng, normal, 0.08)},
        "noise": {**noise, "asked": rng.normal(size=normal.shape)},
    }


def _false_positives(span: int, config: TargetRankingConfig) -> Iterator[Row]:
    """Flagged among 1,000 honest features, a quarter for each target."""
    flagged = defaultdict(list)
    for number, target in enumerate(TARGETS):
        made = market(span, N_SYMBOLS, 100 + number)
        planted = honest(made, target, N_HONEST // len(TARGETS), number)
        data = made.data({name: values for name, (_, values) in planted.items()})
        status = statuses(data, target, config)
        for name, (kind, _) in planted.items():
            flagged[kind].append(status[name] != SAFE)
            flagged["all"].append(status[name] != SAFE)
    for kind, hits in sorted(flagged.items()):
        yield share(f"false positives: {kind}, {span} bars", hits)


def _real(config: TargetRankingConfig) -> Iterator[Row]:
    """Flags among all registered factors, per target, and the seconds of a screen."""
    data = real_tables()
    for target in REAL_TARGETS:
        problem = data.problem(target, config)
        started = time.process_time()
        report = screen_features(problem, data.label_columns, config.leakage)
        seconds = time.process_time() - started
        flagged = report[report["status"] != SAFE]
        for _, found in flagged.iterrows():
            print(f"{target}: {found['feature']}: {found['rule']}: {found['evidence']}")
        yield share(f"real: {target}", list(report["status"] != SAFE))
        yield {"case": f"real screen cpu: {target}", "unit": "s", "ours": seconds}


def share(case: str, hits: list[bool]) -> Row:
    """Share with its exact 95 % interval (Clopper and Pearson, 1934)."""
    from scipy.stats import binomtest

    made: Any = binomtest(int(sum(hits)), len(hits)).proportion_ci(0.95, "exact")
    return {
        "case": case,
        "unit": "share",
        "ours": float(np.mean(hits)),
        "low": float(made.low),
        "high": float(made.high),
        "n": len(hits),
    }


def real_tables() -> TrainingData:
    """Every registered factor and six targets of the daily bars beside the project."""
    panel = _real_panel()
    listed = feature_manifest(None)
    names = list(listed["name"])
    specs = parse_targets(REAL_TARGETS, "1d")
    how = LABELS.model_copy(update={"barrier_volatility_span_bars": 100})
    labels, manifest = compute_labels(panel, specs, how)
    splits = make_splits(panel.timestamps, TRAIN_SHARE, 0.15, 0)
    features = compute_table(panel, names)
    return TrainingData.cut(panel, features, listed, labels, manifest, splits)


def _real_panel() -> Panel:
    bars = pd.read_parquet(REAL_DATA / "sp500_daily_2015_2020.parquet")
    prices = ["open", "high", "low", "close"]
    bars = bars[(bars[prices] > 0).all(axis=1)]
    factor = bars["adj_close"] / bars["close"]
    bars = bars.assign(**{name: bars[name] * factor for name in prices})
    wide = bars.pivot(index="symbol", columns="timestamp", values=list(OHLCV))
    values = np.stack([wide[name].to_numpy(np.float32) for name in OHLCV], axis=-1)
    bare = Panel(
        tuple(wide.index),
        wide["close"].columns.to_numpy("datetime64[ns]"),
        OHLCV,
        values,
        np.isfinite(values[:, :, 3]) & (values[:, :, 4] > 0),
    )
    known = pd.read_csv(REAL_DATA / "sp500_sectors_2020.csv", keep_default_na=False)
    sector = known.set_index("symbol")["sector"].reindex(bare.symbols).fillna("")
    names = tuple(sorted(set(sector) - {""}))
    codes = [names.index(name) if name else NO_SECTOR for name in sector]
    sectors = np.repeat(np.array(codes, np.int16)[:, None], bare.n_bars, axis=1)
    return replace(bare, sectors=sectors, sector_names=names)
