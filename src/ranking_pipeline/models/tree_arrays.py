"""Tree arrays: boosted regression trees as plain arrays, read without any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_ROWS_AT_ONCE = 8192  # what fits the cache
_PREFIX = "tree_"


class Tree(NamedTuple):
    """Nodes of one tree, the root first; a leaf is its own child.

    Attributes
    ----------
    feature, threshold : ndarray, shape (N,)
        A row goes left where its feature is at most the threshold.
    missing_left : ndarray of bool, shape (N,)
        Where a row without the feature goes.
    left, right : ndarray of int, shape (N,)
    value : ndarray, shape (N,)
        What a leaf adds to the output.
    depth : int
    """

    feature: Array
    threshold: Array
    missing_left: Array
    left: Array
    right: Array
    value: Array
    depth: int


@dataclass(frozen=True)
class TreeArrays:
    """Trees one after the other; tree t adds to the output t mod K.

    Attributes
    ----------
    base : ndarray of float64, shape (K,)
        Where the K outputs start.
    root, depth : ndarray of int32, shape (number of trees,)
    column, left, right : ndarray of int32, shape (N,)
        Feature k is column k where missing values go left, F + k where they go right.
    threshold, value : ndarray of float64, shape (N,)
    importance : ndarray of float64, shape (F,)
        Share of each feature in the gain.
    """

    base: Array
    root: Array
    depth: Array
    column: Array
    left: Array
    right: Array
    threshold: Array
    value: Array
    importance: Array

    @classmethod
    def join(cls, trees: Sequence[Tree], base: Array, importance: Array) -> TreeArrays:
        """Put trees one after the other."""
        sizes = [len(tree.value) for tree in trees]
        root = np.cumsum([0, *sizes[:-1]])
        n_features = len(importance)
        columns = [
            tree.feature + np.where(tree.missing_left, 0, n_features) for tree in trees
        ]
        return cls(
            np.asarray(base, dtype=np.float64),
            root.astype(np.int32),
            np.array([tree.depth for tree in trees], dtype=np.int32),
            np.concatenate(columns).astype(np.int32),
            _shifted([tree.left for tree in trees], root),
            _shifted([tree.right for tree in trees], root),
            np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
            np.concatenate([tree.value for tree in trees]).astype(np.float64),
            np.asarray(importance, dtype=np.float64),
        )

    def outputs(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Sum up the trees of each row, shape (n, K); a row depends on itself alone."""
        total = np.tile(self.base, (len(features), 1))
        for first in range(0, len(features), _ROWS_AT_ONCE):
            block = slice(first, first + _ROWS_AT_ONCE)
            self._add(features[block], total[block])
        return total

    def arrays(self) -> dict[str, Array]:
        """Give what a file holds, by name."""
        return {_PREFIX + each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> TreeArrays:
        """Take what :meth:`arrays` gave."""
        return cls(**{each.name: arrays[_PREFIX + each.name] for each in fields(cls)})

    def _add(self, features: Array, total: Array) -> None:
        # A comparison with NaN is false: it goes right; with -inf it is true.
        lowest = np.where(np.isnan(features), np.float32(-np.inf), features)
        both = np.concatenate([lowest, features], axis=1).ravel()
        row = np.arange(len(features)) * (2 * features.shape[1])
        for t, (root, depth) in enumerate(zip(self.root, self.depth, strict=True)):
            node = np.full(len(features), root)
            for _ in range(depth):
                goes_left = both[row + self.column[node]] <= self.threshold[node]
                node = np.where(goes_left, self.left[node], self.right[node])
            total[:, t % len(self.base)] += self.value[node]


def _shifted(children: Sequence[Array], root: Array) -> npt.NDArray[np.int32]:
    moved = [child + start for child, start in zip(children, root, strict=True)]
    return np.concatenate(moved).astype(np.int32)
