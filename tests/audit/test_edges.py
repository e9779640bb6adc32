"""No edge from noise, and the real edge where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.audit import worlds

from ranking_pipeline.audit.learned import World
from ranking_pipeline.learning.device import torch_threads
from ranking_pipeline.models import registry
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import backtest, sharpe
from ranking_pipeline.portfolio.returns import panel_returns
from ranking_pipeline.ranking.metrics import rank_ic

SYMBOLS, BARS = 60, 420
HORIZON, LAG = 1, 1
TRUE_CORRELATION = 0.15


def reverting(seed: int, correlation: float) -> Panel:
    """The return of bar t + 2 follows that of bar t, by minus ``correlation``."""
    random = np.random.default_rng(seed)
    returns = random.normal(0, 0.01, (SYMBOLS, BARS))
    rest = np.sqrt(1 - correlation**2)
    for bar in range(2, BARS):
        returns[:, bar] = rest * returns[:, bar] - correlation * returns[:, bar - 2]
    close = 40 * np.exp(np.cumsum(returns, axis=1))
    return worlds.panel_of(worlds.bars_of(random, close))


def learning(panel: Panel) -> tuple[World, Samples, Samples, np.ndarray]:
    """Rows to train on and rows of the test block, with their payoffs."""
    spec = worlds.parse_target("fwd_ret_1d", "1d")
    world = worlds.world(panel, spec=spec)
    features, labels, _ = world.tables(panel)
    rows = world.samples(panel, features, labels)
    payoff = labels["fwd_ret_1d"].to_numpy()
    masks = [
        world.splits.mask(name, rows.bars, rows.label_end) for name in ("train", "test")
    ]
    train, test = (rows.take(mask) for mask in masks)
    return world, train.labelled(), test, payoff[masks[1]]


def mean_ic(scores: np.ndarray, payoff: np.ndarray, rows: Samples) -> tuple[float, int]:
    """Mean rank IC over the bars of some rows, and how many bars there are."""
    bars = np.unique(rows.bars)
    place = np.searchsorted(bars, rows.bars)
    shape = (len(bars), rows.panel.n_symbols)
    first, second = (np.full(shape, np.nan) for _ in range(2))
    first[place, rows.symbols], second[place, rows.symbols] = scores, payoff
    tensors = [torch.from_numpy(values) for values in (first, second)]
    with torch_threads(1):  # many small problems: threads only wait for each other
        ic = rank_ic(*tensors, torch.isfinite(tensors[0]))
    return float(torch.nanmean(ic)), len(bars)


def fitted_scores(world: World, train: Samples, test: Samples) -> np.ndarray:
    model = registry.create("ridge", dict(world.families["ridge"]), 0, 1)
    model.fit(train, None)
    return np.asarray(model.predict(test).score)


def permuted(rows: Samples, random: np.random.Generator) -> Samples:
    """The same rows with their targets exchanged within each bar."""
    from dataclasses import replace

    order = np.lexsort((random.random(len(rows)), rows.bars))
    target = rows.target.copy()
    target[np.lexsort((rows.symbols, rows.bars))] = rows.target[order]
    return replace(rows, target=target)


@pytest.fixture(scope="module")
def signal() -> tuple[World, Samples, Samples, np.ndarray]:
    return learning(reverting(1, TRUE_CORRELATION))


@pytest.mark.parametrize("correlation", [TRUE_CORRELATION, 0.0])
def test_permuted_labels_teach_nothing(correlation: float) -> None:
    """Mean IC over 100 permutations of the training labels: 0 in its 99 % interval.

    On noise it also spreads as chance does. On a market with an edge it spreads more:
    a model that learned nothing still bets for or against the edge.
    """
    world, train, test, payoff = learning(reverting(1, correlation))
    random = np.random.default_rng(3)
    found, n_bars = [], 0
    for _ in range(100):
        scores = fitted_scores(world, permuted(train, random), test)
        ic, n_bars = mean_ic(scores, payoff, test)
        found.append(ic)
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 2.6 * error
    if correlation == 0:
        chance = 1 / np.sqrt((SYMBOLS - 1) * n_bars)
        assert 0.5 * chance < np.std(found) < 2.0 * chance


def test_chance_is_as_wide_as_the_formula_says() -> None:
    """Permuted payoffs: 1 / sqrt((N - 1) T), by a Kolmogorov-Smirnov test."""
    from scipy.stats import kstest

    random = np.random.default_rng(5)
    n_bars, n_symbols = 60, 40
    scores = torch.from_numpy(random.normal(size=(n_bars, n_symbols)))
    mask = torch.ones_like(scores, dtype=torch.bool)
    means = []
    for _ in range(300):
        payoff = torch.from_numpy(random.normal(size=(n_bars, n_symbols)))
        means.append(float(rank_ic(scores, payoff, mask).mean()))
    width = 1 / np.sqrt((n_symbols - 1) * n_bars)
    assert kstest(np.array(means) / width, "norm").pvalue > 0.01


def test_the_planted_edge_is_found(
    signal: tuple[World, Samples, Samples, np.ndarray],
) -> None:
    """A known correlation, recovered by the factors and a ridge, inside its interval."""
    world, train, test, payoff = signal
    ic, n_bars = mean_ic(fitted_scores(world, train, test), payoff, test)
    true = 6 / np.pi * np.arcsin(TRUE_CORRELATION / 2)
    error = 1 / np.sqrt((SYMBOLS - 1) * n_bars)
    assert ic > 4 * error
    # The factors beside the one that matters cost a little of it.
    assert 0.7 * true - 2.58 * error < ic < true + 2.58 * error


def test_noise_is_not_found() -> None:
    world, train, test, payoff = learning(reverting(2, 0.0))
    ic, n_bars = mean_ic(fitted_scores(world, train, test), payoff, test)
    assert abs(ic) < 2.58 / np.sqrt((SYMBOLS - 1) * n_bars)


def test_noise_earns_nothing_before_costs() -> None:
    """Sharpe ratios of books on random walks: their mean's 99 % interval covers zero."""
    ratios = []
    for seed in range(100):
        random = np.random.default_rng([seed, 77])
        panel = worlds.panel_of(worlds.walk(random, (20, 250)))
        returns = panel_returns(panel)
        book = backtest(
            -returns,
            returns,
            horizon_bars=HORIZON,
            lag_bars=LAG,
            tail_share=0.2,
            cost_bps_per_side=0.0,
        )
        ratios.append(sharpe(book.gross, 252))
    error = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    assert abs(np.mean(ratios)) < 2.63 * error


def test_the_learning_target_of_noise_is_centred_in_each_bar() -> None:
    """Nothing is learned from other bars: each bar's targets sum to zero."""
    random = np.random.default_rng(0)
    bars = np.repeat(np.arange(30), 20)
    target = learning_target(random.normal(size=600), bars, "regression", "cs_gauss")
    assert np.abs(np.bincount(bars, weights=target)).max() < 1e-4
