"""Low rank: few directions in which the coefficients of all symbols differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Moments:
    """Sums of products within symbols, from which coefficients follow.

    Attributes
    ----------
    gram : ndarray of float64, shape (F, F)
        Mean product of two features, each minus its mean over the symbol's rows.
    cross : ndarray of float64, shape (S, F)
        Sum of the products of feature and outcome per symbol, both centred likewise.
    flipped : ndarray of float64, shape (R, S, F)
        The same for outcomes whose sign was turned in random blocks of bars.
    rows : ndarray of int, shape (S,)
        Rows per symbol.
    """

    gram: Matrix
    cross: Matrix
    flipped: Matrix
    rows: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Directions:
    """Directions in the space of the features, most important first.

    Attributes
    ----------
    vectors : ndarray of float64, shape (F, K)
        Coefficients of the standardised features.
    singular_values : ndarray of float64, shape (min(S, F),)
        Of the coefficient matrix in units of its noise.
    noise_level : float
        Singular value that outcomes with random signs hardly reach.
    """

    vectors: Matrix
    singular_values: npt.NDArray[np.float64]
    noise_level: float


def moments(
    design: Matrix,
    outcome: npt.NDArray[np.float64],
    symbols: Positions,
    n_symbols: int,
    blocks: Positions,
    signs: Matrix,
) -> Moments:
    """Sum products symbol by symbol, for the outcome and for its flipped versions.

    Parameters
    ----------
    design : ndarray of float64, shape (n, F)
        Standardised features, finite.
    outcome : ndarray of float64, shape (n,)
    symbols : ndarray of int, shape (n,)
    n_symbols : int
    blocks : ndarray of int, shape (n,)
        Block of bars of each row.
    signs : ndarray, shape (R, blocks)
        +1 or -1 for each block.
    """
    n_features = design.shape[1]
    sums = np.zeros((len(signs) + 1, n_symbols, n_features))
    gram = np.zeros((n_features, n_features))
    order = np.argsort(symbols, kind="stable")
    ends = np.searchsorted(symbols[order], np.arange(n_symbols + 1))
    for symbol in range(n_symbols):
        rows = order[ends[symbol] : ends[symbol + 1]]
        if len(rows):
            centred = design[rows] - design[rows].mean(axis=0)
            answer = outcome[rows] - outcome[rows].mean()
            gram += centred.T @ centred
            sums[0, symbol] = answer @ centred
            sums[1:, symbol] = (signs[:, blocks[rows]] * answer) @ centred
    gram /= max(len(outcome), 1)
    return Moments(gram, sums[0], sums[1:], np.diff(ends))


def find_directions(found: Moments, floor: float, max_rank: int) -> Directions:
    """Principal directions of the coefficient vectors that stand out of the noise.

    In coordinates in which the features are uncorrelated with variance at most 1, the
    cross products over the root of the rows are coefficient vectors times that root,
    plus noise of the same variance in every entry. Their singular vectors are the
    directions that symbols share. A direction counts where its singular value is three
    deviations above the mean of the largest ones that appear when the outcome's sign is
    turned in random blocks of bars, in all symbols at once: this keeps the correlation
    between symbols and over time, and removes what is predictable. One direction is
    kept whatever its size.

    Parameters
    ----------
    found : Moments
    floor : float
        Added to the eigenvalues of ``gram``: directions in which the features hardly
        vary are not blown up.
    max_rank : int

    Returns
    -------
    Directions

    References
    ----------
    Izenman (1975) for reduced-rank regression; Horn (1965) for parallel analysis; Hong,
    Sheng and Dobriban (2020) for its version with random signs.
    """
    values, vectors = np.linalg.eigh(found.gram)
    whiten = vectors / np.sqrt(np.maximum(values, 0.0) + floor)
    scale = 1.0 / np.sqrt(np.maximum(found.rows, 1))[:, None]
    _, size, right = np.linalg.svd(scale * (found.cross @ whiten), full_matrices=False)
    tops = [np.linalg.norm(scale * (one @ whiten), 2) for one in found.flipped]
    noise = np.mean(tops) + 3.0 * np.std(tops, ddof=1) if tops else 0.0
    rank = int(np.clip((size > noise).sum(), 1, max_rank))
    chosen = whiten @ right[:rank].T
    # the sign of a singular vector is arbitrary: its largest coefficient is positive
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])]
    return Directions(chosen * np.where(largest < 0, -1.0, 1.0), size, float(noise))
