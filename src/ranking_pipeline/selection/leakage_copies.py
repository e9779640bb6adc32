"""Copies of the label: by name, by correlation, and cell by cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ranking_pipeline.selection.config import LeakageConfig
from ranking_pipeline.selection.leakage_report import BLOCKED, NAN, SUSPECT, Finding
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]

_CELLS_AT_ONCE = 8_000_000
_SHARE_COPIED = 0.01  # of a continuous label; chance makes no cell equal


def by_name(
    name: str, label_columns: frozenset[str], config: LeakageConfig
) -> Finding | None:
    """Refuse what is called like a label.

    A column of the label table is blocked. A word that announces a by-product of a
    label raises a doubt only, for it can be part of an honest name. The rule cannot
    see what has been renamed.
    """
    if name in label_columns or name.endswith("__end"):
        text = "the name is that of a column of the label table"
        return Finding(name, "role", NAN, NAN, NAN, BLOCKED, text)
    padded = f"_{name.lower()}_"
    words = [part for part in config.label_name_parts if f"_{part}_" in padded]
    if not words:
        return None
    text = f"the name has {words[0]!r}, which announces a label or its by-product"
    return Finding(name, "role", NAN, NAN, NAN, SUSPECT, text)


def near_copies(problem: Problem, config: LeakageConfig) -> dict[str, Finding]:
    """Block features that repeat the label.

    Two signs: a correlation over all rows that no honest feature has, with the label
    as it is or on the learning scale; and cells equal to a continuous label, digit by
    digit, on one row in a hundred, which a low correlation can hide. A copy with noise
    is a matter of the partial IC.
    """
    found: dict[str, Finding] = {}
    labels = [problem.outcome, problem.samples.target.astype(np.float64)]
    names = problem.samples.feature_names
    for start, values in _column_chunks(problem.samples.features):
        known = np.isfinite(values)
        sizes = _correlations(values, known, labels)
        equal, count = _equal_cells(problem, values, known)
        for place, size in enumerate(sizes):
            name, pairs = names[start + place], int(known[:, place].sum())
            if pairs < config.min_pairs:
                continue
            if size >= config.near_copy_correlation:
                found[name] = _copy(name, float(size), pairs, config)
            elif count[place] >= config.min_pairs and equal[place] > _SHARE_COPIED:
                share = float(equal[place])
                text = f"equals the label on {count[place]} rows ({share:.1%})"
                found[name] = Finding(
                    name, "match", share, share, _SHARE_COPIED, BLOCKED, text
                )
    return found


def _copy(name: str, size: float, pairs: int, config: LeakageConfig) -> Finding:
    text = f"correlates {size:.4f} with the label over {pairs} rows"
    limit = config.near_copy_correlation
    return Finding(name, "near_copy", size, size, limit, BLOCKED, text)


def _column_chunks(
    features: npt.NDArray[np.float32],
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Few columns at once, so that what is computed of them stays small."""
    width = max(1, _CELLS_AT_ONCE // max(len(features), 1))
    for start in range(0, features.shape[1], width):
        yield start, features[:, start : start + width]


def _correlations(
    values: npt.NDArray[np.float32],
    known: npt.NDArray[np.bool_],
    labels: Sequence[Series],
) -> Series:
    """|Pearson| of each column with the labels over its known rows; the largest."""
    weight = known.astype(np.float64)
    count = np.maximum(weight.sum(axis=0), 1.0)
    x = np.where(known, values, 0.0).astype(np.float64)
    x -= x.sum(axis=0) / count
    x *= weight
    spread = np.einsum("nf,nf->f", x, x)
    y = np.column_stack([label - label.mean() for label in labels])
    sums = weight.T @ np.column_stack([y, y * y])
    left = sums[:, len(labels) :] - sums[:, : len(labels)] ** 2 / count[:, None]
    scale = np.sqrt((spread[:, None] * left).clip(0))
    sizes = np.zeros_like(scale)
    np.divide(np.abs(x.T @ y), scale, out=sizes, where=scale > 0)
    return np.asarray(sizes.max(axis=1))


def _equal_cells(
    problem: Problem, values: npt.NDArray[np.float32], known: npt.NDArray[np.bool_]
) -> tuple[Series, npt.NDArray[np.intp]]:
    """Share and number of known cells that equal a continuous label other than 0."""
    if problem.task != "regression":
        return np.zeros(values.shape[1]), np.zeros(values.shape[1], dtype=np.intp)
    label = problem.outcome.astype(np.float32)[:, None]
    count = ((values == label) & (label != 0)).sum(axis=0)
    return count / np.maximum(known.sum(axis=0), 1), count
