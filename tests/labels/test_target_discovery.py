"""Which targets have too little in them."""

from __future__ import annotations

import numpy as np
import pytest

from ranking_pipeline.labels import degenerate_reason

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (RNG.normal(size=99), "regression", "only 99 labels are known"),
        (np.r_[RNG.normal(size=150), np.full(20_000, np.nan)], "regression", "0.74%"),
        (np.full(500, 1e-9), "regression", "standard deviation is only"),
        (np.full(500, 0.3), "regression", "standard deviation is only"),
        (np.ones(500), "binary", "only the class 1 occurs"),
        (np.full(500, np.nan), "three_class", "only 0 labels"),
        (np.array([]), "regression", "only 0 labels"),
    ],
)
def test_degenerate_targets(values: np.ndarray, task: str, reason: str) -> None:
    assert reason in str(degenerate_reason(values, task))


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (RNG.normal(0, 1e-5, 100), "regression"),
        (np.r_[np.zeros(99), 1.0], "binary"),
        (RNG.integers(-1, 2, 300).astype(np.float32), "three_class"),
        (np.r_[RNG.normal(size=150), np.full(14_000, np.nan)], "regression"),
    ],
)
def test_targets_that_can_be_learned(values: np.ndarray, task: str) -> None:
    assert degenerate_reason(values, task) is None
