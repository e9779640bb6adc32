"""selection_bias: what choosing among noise does to a score, inside train and outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.harness import Row
from benchmarks.noise_market import (
    PLANTED,
    NoiseMarket,
    noise_market,
    section,
    with_return,
    with_shuffled,
)
from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.selection.config import (
    FeatureSelectionConfig,
    TargetRankingConfig,
)
from ranking_pipeline.selection.feature_choice import select_features
from ranking_pipeline.selection.out_of_fold import cross_fit, families_for, fit_family
from ranking_pipeline.selection.predictability import TargetRanking, rank_targets
from ranking_pipeline.selection.training_data import TrainingData

Series = npt.NDArray[np.float64]
HORIZONS = (1, 5, 20)
TRAIN, LATER = 0.6, 0.85  # ends of the train span and of the validation span
LEVEL = 0.05
PLANTED_IC = 0.06
FAMILIES = ("ridge", "lightgbm")
PARAMETERS: dict[str, Any] = {
    "ridge": {"expected_r2": 0.02, "clip_sigma": 3.0},
    "lightgbm": {
        "n_rounds": 15,
        "learning_rate": 0.2,
        "max_leaves": 7,
        "max_depth": None,
        "l1": 0.0,
        "objective": "l2",
        "quantile": 0.5,
        "min_rows_per_leaf": 100,
        "row_share": 0.5,
        "feature_share": 0.5,
        "l2": 10.0,
        "max_bins": 31,
        "patience_rounds": 5,
    },
}


@dataclass(frozen=True)
class Sizes:
    """How large the nested check is.

    Attributes
    ----------
    n_bars, n_symbols : int
        Of each market.
    n_targets : int
        Of pure noise in each market.
    n_best : int
        Targets taken although the gate refuses them.
    n_features : int
        Features selected for each.
    """

    n_bars: int = 900
    n_symbols: int = 40
    n_targets: int = 12
    n_best: int = 2
    n_features: int = 4


def run(rounds: int | None) -> list[Row]:
    """Rank, select and train on noise over ``rounds`` markets (16 by default)."""
    seeds = range(rounds or 16)
    tables = [one_market(seed, Sizes()) for seed in seeds]
    found = pd.concat(tables, ignore_index=True)
    rows = [*bias_rows(found), *gate_rows(found)]
    rows += [planted_row([planted_found(seed, Sizes()) for seed in seeds])]
    rows += cross_section_size(found)
    for n_symbols in (1, 5):
        rows += time_series_size(n_symbols, 900, 10 * len(seeds))
    return rows


def one_market(seed: int, sizes: Sizes) -> pd.DataFrame:
    """Choose among the noise of one market by train alone, and by later bars too.

    Returns
    -------
    DataFrame
        One row per target and way of choosing: ``chosen_on`` (train, all),
        ``target``, ``horizon``, ``p``, ``selected`` (by the gate), ``mean`` (score in
        the selection) and ``validation`` (IC of a model of the train span on the
        validation span; NaN where the target was not among the best).
    """
    bare = noise_market(sizes.n_bars, sizes.n_symbols, seed)
    market = with_shuffled(bare, HORIZONS, sizes.n_targets, seed)
    train, later = market.data(TRAIN), market.data(LATER)
    tables = []
    for name, seen in (("train", train), ("all", later)):
        ranking = rank_targets(seen, ranking_config())
        best = list(ranking.rankings["target"][: sizes.n_best])
        chosen = select_features(seen, best, selection_config(sizes.n_features))
        table = _table(ranking, market).assign(seed=seed, chosen_on=name)
        outside = {
            target: validation_ic(later, train.panel.n_bars, target, features)
            for target, features in chosen.selected.items()
        }
        tables.append(table.assign(validation=table["target"].map(outside)))
    return pd.concat(tables, ignore_index=True)


def validation_ic(
    later: TrainingData, n_train_bars: int, target: str, features: Sequence[str]
) -> float:
    """Mean IC on the validation span of a model that has seen the train span only."""
    config = ranking_config()
    problem = later.problem(target, config).for_models(features)
    rows = problem.samples
    fitted = rows.take(rows.label_end < n_train_bars)
    model = fit_family(fitted, "lightgbm", config)
    held_out = np.flatnonzero(rows.bars >= n_train_bars)
    score = model.predict(rows.take(held_out)).score
    return float(np.nanmean(problem.measure(score, held_out)))


def planted_found(seed: int, sizes: Sizes) -> bool:
    """Whether the gate selects the one target that can be predicted, and it alone."""
    bare = noise_market(sizes.n_bars, sizes.n_symbols, seed)
    market = with_return(with_shuffled(bare, (1, 5), 5, seed), 1, PLANTED_IC)
    ranking = rank_targets(market.data(TRAIN), ranking_config())
    return PLANTED in ranking.selected["targets"]


def bias_rows(found: pd.DataFrame) -> Iterator[Row]:
    """Score of the best targets in the selection and on the validation span."""
    for chosen_on in ("train", "all"):
        best = found[(found["chosen_on"] == chosen_on) & found["validation"].notna()]
        by_market = best.groupby("seed")[["mean", "validation"]].mean()
        for column, what in (("mean", "in the selection"), ("validation", "outside")):
            case = f"best of noise chosen on {chosen_on}: {what}"
            yield interval_row(case, "rank IC", by_market[column].to_numpy())


def gate_rows(found: pd.DataFrame) -> Iterator[Row]:
    """Share of the markets in which the gate lets any noise through."""
    train = found[found["chosen_on"] == "train"]
    passed = train.groupby("seed")["selected"].any().to_numpy(dtype=np.float64)
    row = share_row("markets with a false selection", passed)
    yield row | {"nominal": ranking_config().false_discovery_rate}


def planted_row(hits: Sequence[bool]) -> Row:
    """Share of the markets in which the planted target is selected."""
    return share_row(f"planted target of IC {PLANTED_IC} selected", np.array(hits))


def cross_section_size(found: pd.DataFrame) -> Iterator[Row]:
    """Rejections at nominal 5 % among the targets ranked on the train span."""
    train = found[(found["chosen_on"] == "train") & found["p"].notna()]
    for horizon, group in train.groupby("horizon"):
        yield size_row(f"cross-section, H {horizon}", group["p"].to_numpy())


def time_series_size(n_symbols: int, n_bars: int, count: int) -> Iterator[Row]:
    """Rejections at nominal 5 % of returns over time, by features of these returns."""
    found: dict[int, list[float]] = {horizon: [] for horizon in HORIZONS}
    for seed in range(count):
        market = noise_market(n_bars, n_symbols, 1000 + seed)
        for horizon in HORIZONS:
            market = with_return(market, horizon)
        data = market.data(TRAIN)
        for horizon in HORIZONS:
            found[horizon].append(ridge_p(data, f"fwd_ret_{horizon}d"))
    for horizon, p in found.items():
        yield size_row(f"over time, {n_symbols} symbols, H {horizon}", np.array(p))


def ridge_p(data: TrainingData, target: str) -> float:
    """Test of one target by a linear model, the most sensitive of all families."""
    config = ranking_config(model_families=("ridge",))
    problem = data.problem(target, config)
    fitted = problem.for_models(problem.samples.feature_names)
    families = families_for(config, problem.task)
    folds = fitted.folds(config.cv_folds)
    scores = cross_fit(fitted, families, config, folds).scores
    return block_test(fitted.measure(scores["ridge"]), fitted.block_bars).p


def interval_row(case: str, unit: str, values: Series) -> Row:
    """Mean over the markets and its 95 % interval by Student's t."""
    from scipy import stats

    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    mean = float(values.mean())
    return _row(case, unit, mean, mean - half, mean + half, n)


def size_row(case: str, p: Series) -> Row:
    """Share of the known p values below the level."""
    return share_row(f"rejected at {LEVEL}: {case}", p[np.isfinite(p)] < LEVEL)


def share_row(case: str, hits: npt.NDArray[Any]) -> Row:
    """Share of the hits, with Wilson's (1927) 95 % interval."""
    n, share, z = len(hits), float(hits.mean()), 1.96
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return _row(case, "share", share, centre - half, centre + half, n)


def ranking_config(**changes: Any) -> TargetRankingConfig:
    """The default ranking with small families."""
    small = {"model_families": FAMILIES, "family_parameters": PARAMETERS}
    names = {"volatility_columns": ()}  # no path target: nothing to remove
    block = section("target_ranking", **{**small, **changes})
    return TargetRankingConfig.model_validate(
        {**block, "leakage": {**block["leakage"], **names, "sentinels": ()}}
    )


def selection_config(n_features: int) -> FeatureSelectionConfig:
    """The default feature selection with small families and few features."""
    ranking = ranking_config()
    return FeatureSelectionConfig.model_validate(
        section(
            "feature_selection",
            model_families=FAMILIES,
            family_parameters=PARAMETERS,
            leakage=ranking.leakage.model_dump(),
            top_m_features=n_features,
            require_min_models=1,
            importance_methods=("permutation",),
            permutation_max_rows=20_000,
            stability_seeds=1,
            stability_null=False,
        )
    )


def _row(case: str, unit: str, mean: float, low: float, high: float, n: int) -> Row:
    figures = {"ours": mean, "low": low, "high": high}
    rounded = {name: round(float(value), 4) for name, value in figures.items()}
    return {"case": case, "unit": unit, **rounded, "n": n}


def _table(ranking: TargetRanking, market: NoiseMarket) -> pd.DataFrame:
    table = ranking.rankings[["target", "p", "selected", "mean"]].copy()
    horizons = {name: horizon for name, (_, horizon) in market.targets.items()}
    return table.assign(horizon=table["target"].map(horizons))
