"""Out-of-fold scores: what each family says about rows that it was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.metrics import percentile_ranks
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.selection.config import EstimationConfig
from ranking_pipeline.selection.problem import Fold, Problem, Rows

Scores = npt.NDArray[np.float64]


def families_for(config: EstimationConfig, task: str) -> tuple[str, ...]:
    """Canonical names of the configured families that can learn ``task``.

    Raises
    ------
    UserError
        When a family is unknown or has no parameter block.
    """
    names = tuple(registry.canonical(name) for name in config.model_families)
    blocks = parameter_blocks(config)
    missing = [name for name in names if name not in blocks]
    if missing:
        raise UserError(
            f"family_parameters has no block for {', '.join(missing)}, listed in "
            "model_families; add one or remove the family."
        )
    return tuple(name for name in names if task in registry.family_type(name).tasks)


def parameter_blocks(config: EstimationConfig) -> dict[str, Mapping[str, Any]]:
    """Parameter blocks by canonical family name."""
    return {
        registry.canonical(name): block
        for name, block in config.family_parameters.items()
    }


def fit_family(samples: Samples, family: str, config: EstimationConfig) -> BaseModel:
    """Fit a family to rows, thinned to at most ``config.max_train_rows``."""
    model = registry.create(
        family, parameter_blocks(config)[family], config.seed, config.threads
    )
    model.fit(samples.take(thin_bars(samples, config.max_train_rows)), None)
    return model


def out_of_fold(
    problem: Problem,
    families: Sequence[str],
    config: EstimationConfig,
    folds: Sequence[Fold],
) -> dict[str, Scores]:
    """Score every test row by models fitted to the train rows of its fold.

    Returns
    -------
    dict of family to ndarray, shape (n,)
        NaN on rows that no fold tests.
    """
    samples = problem.samples
    scores = {family: np.full(len(samples), np.nan) for family in families}
    for train, test in folds:
        fitted, tested = samples.take(train), samples.take(test)
        for family in families:
            model = fit_family(fitted, family, config)
            scores[family][test] = model.predict(tested).score
    return scores


def combine(scores: Mapping[str, Scores], samples: Samples) -> Scores:
    """Mean over families of the percentile ranks of their scores within each bar.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where any family has no score: the mean is of the same families everywhere.
    """
    total = np.zeros(len(samples))
    for score in scores.values():
        matrix = to_cross_sections(score, samples.bars, samples.symbols, samples.shape)
        total += percentile_ranks(matrix)[samples.bars, samples.symbols]
    return total / len(scores)


def thin_bars(samples: Samples, max_rows: int) -> Rows:
    """Positions of at most ``max_rows`` rows: whole bars, evenly spread in time.

    At least one bar is kept, whatever its size.
    """
    bars, counts = np.unique(samples.bars, return_counts=True)
    if counts.sum() <= max_rows:
        return np.arange(len(samples))
    keep = max(1, int(len(bars) * max_rows / counts.sum()))
    while True:
        chosen = np.floor((np.arange(keep) + 0.5) * len(bars) / keep).astype(np.intp)
        if keep == 1 or counts[chosen].sum() <= max_rows:
            return np.flatnonzero(np.isin(samples.bars, bars[chosen]))
        keep -= 1
