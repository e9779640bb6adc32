"""Family costs: seconds and megabytes that one fit of each family takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ranking_pipeline.models import registry

Parameters = Mapping[str, Any]
# Boosters and networks stop early: on markets with little signal at about these shares
# of their rounds and epochs.
ROUNDS_USED, EPOCHS_USED = 0.5, 0.7
CLASS_TREES = 2.5  # a tree per class, some of them shallow
MEGABYTE = 2**20


@dataclass(frozen=True)
class Work:
    """Size of one fit.

    Attributes
    ----------
    rows
        Rows fitted, after thinning.
    features
        Factors per row.
    classes
        Whether the target has three classes.
    """

    rows: int
    features: int
    classes: bool

    @property
    def cells(self) -> float:
        """Numbers in the matrix that is fitted."""
        return float(self.rows) * self.features


def fit_seconds(family: str, work: Work, parameters: Parameters) -> float:
    """Estimate the processor seconds of one fit on one thread.

    Constants are least squares by eye over own measurements on one core of a server
    (20,000 and 80,000 rows, 25 and 99 factors): what a round, a tree or an epoch took.
    They are good to a factor of 3 for the whole plan of the default market, which is
    what a dry run is for; one model that stops very early can be further off. A family
    that is not listed counts as a booster of 100 rounds.
    """
    name = registry.canonical(family)
    return _COSTS.get(name, _other)(work, parameters)


def fit_megabytes(family: str, work: Work) -> float:
    """Estimate what a fit adds to the memory of its worker: libraries and copies."""
    copies = 2 * 4 * work.cells / MEGABYTE
    return _TORCH_MEGABYTES + copies if _is_network(family) else 60 + copies / 2


_TORCH_MEGABYTES = 300.0


def _is_network(family: str) -> bool:
    return registry.listing(family).group == "neural"


def _lightgbm(work: Work, block: Parameters) -> float:
    leaves = block["max_leaves"] / 31
    round_seconds = 0.013 * leaves + 1.5e-9 * work.cells
    return _boosted(work, block, round_seconds)


def _xgboost(work: Work, block: Parameters) -> float:
    round_seconds = 0.008 * 2.0 ** (block["max_depth"] - 5) + 2.6e-9 * work.cells
    return _boosted(work, block, round_seconds)


def _lightgbm_rank(work: Work, block: Parameters) -> float:
    leaves = block["max_leaves"] / 31
    round_seconds = 0.02 * leaves + 3.0e-9 * work.cells
    return _boosted(work, block, round_seconds)


def _xgboost_rank(work: Work, block: Parameters) -> float:
    share = 1.0 if block["pairs_per_name"] is None else 0.5
    depth = 2.0 ** (block["max_depth"] - 5)
    by_pairs = 7e-7 * work.rows * share
    return _boosted(work, block, 0.015 * depth + 1.2e-9 * work.cells + by_pairs)


def _hist_boosting(work: Work, block: Parameters) -> float:
    leaves = block["max_leaves"] / 31
    return _boosted(work, block, 0.013 * leaves + 2.6e-9 * work.cells)


def _catboost(work: Work, block: Parameters) -> float:
    depth = 2.0 ** (block["max_depth"] - 5)
    return _boosted(work, block, 0.005 * depth + 1.65e-9 * work.cells)


def _ngboost(work: Work, block: Parameters) -> float:
    rows = min(work.rows, block["max_rows"])
    return _boosted(work, block, 0.01 + 8.0e-8 * rows * work.features)


def _boosted(work: Work, block: Parameters, round_seconds: float) -> float:
    trees = CLASS_TREES if work.classes else 1.0
    return float(ROUNDS_USED * block["n_rounds"] * trees * round_seconds)


def _forest(work: Work, block: Parameters) -> float:
    rows = min(work.rows, block["rows_per_tree"]) * block["max_depth"] / 7
    tried = work.features * block["feature_share"]
    return float(block["n_trees"] * rows * (1.9e-6 + 3.0e-7 * tried))


def _extra_trees(work: Work, block: Parameters) -> float:
    return 0.5 * _forest(work, block)  # thresholds are drawn, not sought


def _ridge(work: Work, block: Parameters) -> float:
    return 0.02 + 1.4e-10 * work.cells * work.features


def _elastic_net(work: Work, block: Parameters) -> float:
    return 0.02 + 4.9e-10 * work.cells * work.features


def _logistic(work: Work, block: Parameters) -> float:
    return 0.02 + 2.1e-9 * work.cells * work.features


def _mlp(work: Work, block: Parameters) -> float:
    hidden = block["hidden"]
    weights = work.features * hidden + (block["layers"] - 1) * hidden**2
    epochs = EPOCHS_USED * block["epochs"]
    return float(0.8 + epochs * 2.4e-10 * work.rows * weights)


def _gan(work: Work, block: Parameters) -> float:
    epochs = EPOCHS_USED * block["epochs"]
    return float(0.8 + epochs * 1.6e-5 * work.rows * block["hidden"] / 64)


def _meta_learning(work: Work, block: Parameters) -> float:
    epochs = EPOCHS_USED * block["epochs"]
    return float(0.8 + epochs * 2.0e-6 * work.rows * block["hidden"] / 32)


def _tab_transformer(work: Work, block: Parameters) -> float:
    size = work.cells * block["hidden"] * block["layers"]
    return float(0.8 + block["epochs"] * 1.07e-7 * size)


def _network(row_bar_unit: float) -> Callable[[Work, Parameters], float]:
    """Cost of a network over windows: per row, bar of the window and hidden unit."""

    def cost(work: Work, block: Parameters) -> float:
        size = block["sequence_length"] * block["hidden"] * block["layers"]
        # short runs seldom stop before their last epoch
        epochs = block["epochs"] * (1.0 if block["epochs"] <= 10 else EPOCHS_USED)
        return float(1.0 + epochs * row_bar_unit * work.rows * size)

    return cost


def _stock_transformer(work: Work, block: Parameters) -> float:
    symbols, bars = block["symbols_per_timestamp"], block["timestamps_per_epoch"]
    drawn = work.rows if None in (symbols, bars) else min(work.rows, symbols * bars)
    hidden, length = block["hidden"], block["sequence_length"]
    # narrow ones take as long as their small operations, wide ones multiply matrices
    row = 1.2e-7 * length * hidden * (1 + hidden / 128) * block["layers"]
    return float(1.0 + block["epochs"] * drawn * row)


def _other(work: Work, block: Parameters) -> float:
    return 0.1 + 100 * (0.01 + 2.5e-9 * work.cells)


_COSTS: dict[str, Callable[[Work, Parameters], float]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "lightgbm_rank": _lightgbm_rank,
    "xgboost_rank": _xgboost_rank,
    "random_forest": _forest,
    "extra_trees": _extra_trees,
    "hist_boosting": _hist_boosting,
    "catboost": _catboost,
    "ngboost": _ngboost,
    "ridge": _ridge,
    "elastic_net": _elastic_net,
    "logistic": _logistic,
    "mlp": _mlp,
    "multi_task": _mlp,
    "vae": _mlp,
    "gan": _gan,
    "meta_learning": _meta_learning,
    "tab_transformer": _tab_transformer,
    "lstm": _network(1.45e-8),
    "gru": _network(2.4e-8),
    "alstm": _network(2.9e-8),
    "tcn": _network(1.0e-8),
    "mixer": _network(3.6e-8),
    "transformer": _network(1.4e-8),
    "stock_transformer": _stock_transformer,
    "cross_stock": _network(3.1e-8),
    "cnn1d": _network(1.0e-8),
    "nhits": _network(2.6e-9),
    "patchtst": _network(8.4e-8),
    "tft": _network(2.5e-7),
}
