"""ranking_quality: which losses and networks rank stocks, and which only cost time.

Two stages on the S&P 500 bars (train to 2017, validation 2018, test 2019) and on
simulated markets: every loss with one cheap network, then the two best losses, by the
validation IC, with each larger network. Everything learns labels of entry lag 1 and is
measured at lags 0 and 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.harness import PROJECT, Row
from benchmarks.quality_market import (
    Market,
    Matrix,
    money,
    neutral_ic,
    rank_ic,
    real_market,
    simulated_market,
)
from ranking_pipeline.evaluation import metrics
from ranking_pipeline.evaluation.baselines import baseline_scores
from ranking_pipeline.evaluation.inference import (
    block_length,
    block_test,
    paired_comparison,
)
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.ranking.ranker import (
    Ranker,
    RankerSpec,
    TrainingData,
    score_panel,
    train_ranker,
)
from ranking_pipeline.ranking.targets import TargetSpec, cross_sectional_target
from ranking_pipeline.row_ranks import percentile_ranks

LAGS = (0, 1)
TRAINED_LAG = 1
FIRST_MARKET = 201
LOSSES: dict[str, dict[str, Any]] = {
    "pairwise": {},
    "pairwise all": {"pairs": "all"},
    "pairwise weighted": {"weighting": "difference"},
    "pairwise_hinge": {},
    "listwise": {},
    "listmle": {},
    "pointwise": {},
    "huber": {},
    "ic": {},
    "spearman": {},
    "lambdarank": {},
    "approx_ndcg": {},
    "neural_ndcg": {},
    "mixture": {"terms": {"pairwise": 0.8, "pointwise": 0.2}},
}
NETWORKS = {
    "lstm": NetworkSpec("lstm", 32),
    "gru": NetworkSpec("gru", 32),
    "tcn": NetworkSpec("tcn", 32, 1, 0.1),
    "transformer": NetworkSpec("transformer", 32, 1, 0.1),
    "cross_stock": NetworkSpec("cross_stock", 32, 1, 0.1),
}
# All pairs of 500 names in every round would take xgboost an hour.
FAMILIES: dict[str, dict[str, Any]] = {
    "lightgbm": {},
    "lightgbm_rank": {},
    "xgboost_rank": {"pairs_per_name": 10},
}
NETWORK_RATE = 3e-3


@dataclass(frozen=True)
class Study:
    """One market and how its networks are trained.

    Attributes
    ----------
    name : str
    market : Market
    horizons : tuple of int
        Bars of the forward returns that are ranked.
    length, normalization : int, str
        Of the windows.
    cheap : NetworkSpec
        The network with which losses are compared.
    loop, network_loop : LoopConfig
        Of the cheap network, and of the larger ones.
    """

    name: str
    market: Market
    horizons: tuple[int, ...]
    length: int
    normalization: str
    cheap: NetworkSpec
    loop: LoopConfig
    network_loop: LoopConfig


@dataclass(frozen=True)
class Entry:
    """A score to be measured: what made it, and what it cost to make."""

    study: Study
    kind: str
    name: str
    horizon: int
    score: Matrix
    seconds: float
    seed_scores: tuple[Matrix, ...] = ()


def run(rounds: int | None) -> list[Row]:
    """Train and measure everything over ``rounds`` seeds and markets (3 by default)."""
    seeds = tuple(range(rounds or 3))
    markets = [simulated_study(FIRST_MARKET + seed) for seed in seeds]
    tables = []
    for group in (markets, [real_study()]):
        # A simulated market of its own for each seed: one network seed is enough.
        own = seeds if len(group) == 1 else seeds[:1]
        entries = [e for study in group for e in first_stage(study, own)]
        best = best_losses(entries)
        print(f"{group[0].name}: best losses on validation: {best}", flush=True)
        entries += [e for study in group for e in second_stage(study, own, best)]
        choice = pd.DataFrame(candidates(entries))
        print(choice.to_string(index=False, float_format="%.4f"), flush=True)
        made = summary(pd.DataFrame(measured(entries)))
        tables.append(made.assign(chosen=made["name"] == chosen(choice)))
    table = pd.concat(tables, ignore_index=True)
    with pd.option_context("display.width", 300, "display.max_rows", None):
        print(table.to_string(index=False, float_format="%.4f"))
    return [
        {"case": f"{row['study']}: {row['name']}, {row['horizon']}d", "unit": "rank IC"}
        | {str(key): value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def real_study() -> Study:
    """Windows of 20 bars, normalised by their own last close; a bar in three a step."""
    loop = LoopConfig(
        epochs=8,
        timestamps_per_batch=16,
        timestamps_per_epoch=250,
        weight_decay=1e-3,
        patience=3,
    )
    cheap = NetworkSpec("mlp", 64, 1, 0.5)
    large = replace(loop, learning_rate=NETWORK_RATE)
    return Study(
        "S&P 500", real_market(), (1, 5), 20, "log_anchored", cheap, loop, large
    )


def simulated_study(seed: int) -> Study:
    """The default market and the default windows, drawn anew."""
    loop = LoopConfig(epochs=15, patience=6)
    cheap = NetworkSpec("mlp", 128, 1, 0.7)
    large = replace(loop, epochs=10, patience=3, learning_rate=NETWORK_RATE)
    market = simulated_market(seed)
    return Study("simulated", market, (1,), 32, "log_returns", cheap, loop, large)


def first_stage(study: Study, seeds: Sequence[int]) -> Iterator[Entry]:
    """References, and every loss with the cheap network."""
    yield from reference_entries(study, seeds)
    for horizon in study.horizons:
        for name, parameters in LOSSES.items():
            spec = _spec(study, study.cheap, name, parameters, study.loop, seeds)
            yield _network_entry(study, "loss", f"mlp+{name}", horizon, spec)


def second_stage(
    study: Study, seeds: Sequence[int], losses: Sequence[str]
) -> Iterator[Entry]:
    """Each larger network with the given losses."""
    for horizon in study.horizons:
        for network in NETWORKS.values():
            for loss in losses:
                name = f"{network.name}+{loss}"
                loop = study.network_loop
                spec = _spec(study, network, loss, LOSSES[loss], loop, seeds)
                yield _network_entry(study, "network", name, horizon, spec)


def reference_entries(study: Study, seeds: Sequence[int]) -> Iterator[Entry]:
    """Baselines without learning, and gradient-boosted trees on the factors."""
    market = study.market
    plain = baseline_scores(market.panel, seed=0)
    if market.oracle is not None:
        plain["oracle"] = market.oracle
    for name, score in plain.items():
        for horizon in study.horizons:
            yield Entry(study, "baseline", name, horizon, score, 0.0)
    parameters = yaml.safe_load(
        (PROJECT / "conf/base/parameters_model_training.yml").read_text("utf-8")
    )["model_training"]["parameters"]
    for horizon in study.horizons:
        rows = _samples(market, f"fwd_ret_{horizon}d")
        for family, changes in FAMILIES.items():
            started = time.process_time()
            block = parameters[family] | changes
            scores = tuple(
                _family_score(market, rows, family, block, seed) for seed in seeds
            )
            spent = time.process_time() - started
            print(f"{study.name}: {family} {horizon}d, {spent:.0f} s", flush=True)
            score = _averaged(scores)
            yield Entry(study, "trees", family, horizon, score, spent, scores)


def best_losses(entries: Sequence[Entry]) -> list[str]:
    """The two losses with the highest mean validation IC over markets and horizons."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        if entry.kind == "loss":
            market = entry.study.market
            ic = rank_ic(market, entry.score, TRAINED_LAG, entry.horizon, "validation")
            known = found.setdefault(entry.name.removeprefix("mlp+"), [])
            known.append(float(np.nanmean(ic)))
    return sorted(found, key=lambda name: -float(np.mean(found[name])))[:2]


def candidates(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Validation IC of each loss and network beside the best one, best first.

    The series of all markets and horizons stand one after the other, a block apart.
    """
    series: dict[str, list[Matrix]] = {}
    seconds: dict[str, float] = {}
    longest = max(entry.horizon for entry in entries)
    gap = np.full(block_length(TRAINED_LAG, longest), np.nan)
    for entry in entries:
        if entry.kind in {"loss", "network"}:
            market = entry.study.market
            ic = rank_ic(market, entry.score, TRAINED_LAG, entry.horizon, "validation")
            series.setdefault(entry.name, []).extend([ic, gap])
            seconds[entry.name] = seconds.get(entry.name, 0.0) + entry.seconds
    joined = {name: np.concatenate(parts) for name, parts in series.items()}
    order = sorted(joined, key=lambda name: -float(np.nanmean(joined[name])))
    rows = []
    for name in order:
        against = paired_comparison(joined[name], joined[order[0]], len(gap), seed=0)
        rows.append(
            {
                "name": name,
                "validation_ic": float(np.nanmean(joined[name])),
                "minus_best": against.test.mean,
                "from": against.bootstrap_low,
                "to": against.bootstrap_high,
                "cpu_seconds": seconds[name],
            }
        )
    return rows


def chosen(candidates: pd.DataFrame) -> str:
    """The cheapest of those that validation cannot tell from the best."""
    best = candidates["minus_best"] == 0
    level = candidates[best | (candidates["to"] >= 0)]
    return str(level.sort_values("cpu_seconds")["name"].iloc[0])


def measured(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """One row per score, horizon and lag, beside the trees of the same market."""
    trees = {(id(e.study), e.horizon): e for e in entries if e.name == "lightgbm"}
    for entry in entries:
        for lag in LAGS:
            yield _row(entry, trees[id(entry.study), entry.horizon], lag)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the markets of a group; a single market stays as it is."""
    keys = ["study", "kind", "name", "horizon", "lag"]
    made = rows.groupby(keys, sort=False).mean(numeric_only=True).reset_index()
    spread = rows.groupby(keys, sort=False)["test_ic"].std().to_numpy()
    return made.assign(market_sd=spread).sort_values(
        ["horizon", "lag", "validation_ic"], ascending=[True, True, False]
    )


def _row(entry: Entry, rival: Entry, lag: int) -> dict[str, Any]:
    market, horizon = entry.study.market, entry.horizon
    block = block_length(lag, horizon)
    ic = rank_ic(market, entry.score, lag, horizon, "test")
    test = block_test(ic, block)
    other = rank_ic(market, rival.score, lag, horizon, "test")
    against = paired_comparison(ic, other, block, seed=0)
    seeds = [
        np.nanmean(rank_ic(market, score, lag, horizon, "test"))
        for score in entry.seed_scores
    ]
    neutral = block_test(neutral_ic(market, entry.score, lag, horizon), block)
    best = np.nan
    if market.oracle is not None and lag == TRAINED_LAG:
        planted = rank_ic(market, market.oracle, lag, horizon, "test")
        best = test.mean / float(np.nanmean(planted))
    return {
        "study": entry.study.name,
        "kind": entry.kind,
        "name": entry.name,
        "horizon": horizon,
        "lag": lag,
        "validation_ic": float(
            np.nanmean(rank_ic(market, entry.score, lag, horizon, "validation"))
        ),
        "test_ic": test.mean,
        "test_t": test.t,
        "icir": metrics.icir(ic),
        "seed_sd": float(np.std(seeds, ddof=1)) if len(seeds) > 1 else np.nan,
        "share_of_oracle": best,
        "neutral_ic": neutral.mean,
        "neutral_t": neutral.t,
        "minus_trees": against.test.mean,
        "from": against.bootstrap_low,
        "to": against.bootstrap_high,
        "detectable": against.minimum_detectable_effect,
        **money(market, entry.score, lag, horizon),
        "cpu_seconds": entry.seconds,
    }


def _network_entry(
    study: Study, kind: str, name: str, horizon: int, spec: RankerSpec
) -> Entry:
    started = time.process_time()
    ranker = _trained(study.market, f"fwd_ret_{horizon}d", spec)
    scores = tuple(_scored(study.market, part) for part in _single(ranker))
    spent = time.process_time() - started
    ic = ranker.metrics["best_ic"]
    print(
        f"{study.name}: {name} {horizon}d, validation IC {ic:.4f}, {spent:.0f} s",
        flush=True,
    )
    return Entry(study, kind, name, horizon, _averaged(scores), spent, scores)


def _averaged(scores: Sequence[Matrix]) -> Matrix:
    """Mean over seeds of the percentile within the bar."""
    return np.asarray(np.mean([percentile_ranks(s) for s in scores], axis=0))


def _trained(market: Market, target: str, spec: RankerSpec) -> Ranker:
    panel = market.panel
    bars, symbols = panel.rows()
    payoff = to_cross_sections(
        market.labels[target].to_numpy(np.float64),
        bars,
        symbols,
        (panel.n_bars, panel.n_symbols),
    )
    learned = cross_sectional_target(
        payoff,
        TargetSpec(min_symbols=market.min_symbols),
        sectors=panel.sectors.T,
        close=panel.cross_sections("close"),
    )
    data = TrainingData(
        panel.values,
        learned,
        payoff,
        market.label_cells(target, "train"),
        market.label_cells(target, "validation"),
        TRAINED_LAG,
        int(target.removeprefix("fwd_ret_").removesuffix("d")),
    )
    return train_ranker(data, spec)


def _scored(market: Market, ranker: Ranker) -> Matrix:
    cells = market.panel.tradable.T.copy()
    cells[: market.splits.validation.first_bar] = False
    return score_panel(ranker, market.panel.values, cells).astype(np.float64)


def _single(ranker: Ranker) -> list[Ranker]:
    """One ranker per seed."""
    return [
        replace(ranker, spec=replace(ranker.spec, seeds=(seed,)), states=(state,))
        for seed, state in zip(ranker.spec.seeds, ranker.states, strict=True)
    ]


def _spec(
    study: Study,
    network: NetworkSpec,
    loss: str,
    parameters: dict[str, Any],
    loop: LoopConfig,
    seeds: Sequence[int],
) -> RankerSpec:
    return RankerSpec(
        sequence_length=study.length,
        normalization=study.normalization,
        network=network,
        loss=loss.split(maxsplit=1)[0],
        loss_parameters=parameters,
        loop=loop,
        seeds=tuple(seeds),
        min_symbols=study.market.min_symbols,
    )


def _samples(market: Market, target: str) -> Samples:
    names = [c for c in market.features.columns if c not in {"timestamp", "symbol"}]
    rows = assemble(
        market.panel, market.features, market.labels, target, "regression", names
    )
    ranks = feature_ranks(rows.features, rows.bars)
    return replace(rows, features=normal_scores(ranks))


def _family_score(
    market: Market, rows: Samples, family: str, block: dict[str, Any], seed: int
) -> Matrix:
    train, validation = (
        rows.take(market.splits.mask(name, rows.bars, rows.label_end)).labelled()
        for name in ("train", "validation")
    )
    model = registry.create(family, block, seed, 1)
    model.fit(thin(train, 300_000), validation)
    scored = rows.take(rows.bars >= market.splits.validation.first_bar)
    found = model.predict(scored).score.astype(np.float64)
    return to_cross_sections(found, scored.bars, scored.symbols, rows.shape)
