"""Low-rank model: symbols share few directions and differ in how they load on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.evaluation.inference import block_length
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.classes import normalised
from ranking_pipeline.models.learning_target import demeaned
from ranking_pipeline.models.linear import StandardisedModel
from ranking_pipeline.models.reduced_rank import Directions, find_directions, moments
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.shrinkage import shrink
from ranking_pipeline.models.standardise import ClippedConfig, FloatArray
from ranking_pipeline.models.symbol_slopes import symbol_slopes

_SYMBOLS = "symbols.json"


class LowRankConfig(ClippedConfig):
    """Parameters of the low-rank family."""

    max_rank: int = Field(ge=1, description="most directions that symbols share")
    floor: float = Field(
        gt=0,
        description="variance added to each principal component of the features, in "
        "variances of one feature; larger trusts rare combinations less",
    )
    sign_draws: int = Field(
        ge=2, description="outcomes with random signs against which the rank is told"
    )
    min_symbol_rows: int = Field(
        ge=2, description="rows of a symbol below which it gets the mean loading"
    )


@register
class LowRankModel(StandardisedModel):
    """Linear model whose coefficients vary over symbols in a space of few dimensions.

    The score of symbol i is sum over k of loading_ik (c_k · x): the directions c_k come
    from all symbols, whatever the signs of their loadings, and the loadings from the
    symbol's own rows, drawn to their mean over symbols by empirical Bayes. A symbol that
    was not seen, or hardly, gets the mean loading.

    Where symbols answer to one signal with different strength or sign it learns the
    signal from the rows of all, which neither a pooled model (the signs cancel) nor one
    model per symbol (few rows) can do.

    Measured as rank IC on test bars, against a pooled LightGBM and one ridge per symbol:
    .101, .058 and .054 where 8 of 96 symbols are reversed (7 seeds); .155, .081 and .142
    where a third of 500 is reversed and a third has no signal, and .032, -.004 and .019
    at a quarter of that strength; .050 and .051 (± .002) against LightGBM where all
    symbols are alike. On real daily bars it is within the error of both.

    References
    ----------
    Izenman (1975) for reduced-rank regression; Morris (1983) for the loadings.
    """

    family: ClassVar[str] = "low_rank"
    description: ClassVar[str] = "linear, symbols load on few shared directions"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    config_type: ClassVar[type[Config]] = LowRankConfig

    _symbols: tuple[str, ...]

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Find the directions, then the loadings; ``validation`` is not needed."""
        from threadpoolctl import threadpool_limits

        self.check(train)
        self._symbols = train.panel.symbols
        design = self._standardise(train)
        blocks = _blocks(train)
        # One thread: a parallel product would depend on the number of threads.
        with threadpool_limits(1):
            found = self._directions(design, train, blocks)
            vectors = np.where(self._state["scale"][:, None] > 0, found.vectors, 0.0)
            factors = np.einsum("nf,fk->nk", design, vectors)
        self._state |= {
            "vectors": vectors,
            "intercept": train.target.mean(dtype=np.float64, keepdims=True),
            "singular_values": found.singular_values,
            "noise_level": np.array([found.noise_level]),
            **self._loadings(factors, train, blocks),
        }

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows; each row's score depends on that row alone, to the last bit."""
        # Not a matrix product: its last bits would depend on the number of rows.
        factors = np.einsum(
            "nf,fk->nk", self._design(rows.features), self._state["vectors"]
        )
        raw = np.einsum("nk,nk->n", factors, self._loading_of(rows))
        return PredictionOutput((raw + self._state["intercept"]).astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write the arrays as safetensors and the names of the symbols as JSON."""
        super().save(folder)
        (folder / _SYMBOLS).write_text(json.dumps(self._symbols), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote."""
        model = super().load(folder, config, seed=seed, threads=threads)
        model._symbols = tuple(json.loads((folder / _SYMBOLS).read_text("utf-8")))
        return model

    def importance(self) -> FloatArray:
        """Absolute coefficient, averaged over the symbols, as a share of the sum."""
        coefficients = self._state["loadings"] @ self._state["vectors"].T
        return normalised(np.abs(coefficients).mean(axis=0))

    def contributions(self, rows: Samples) -> npt.NDArray[np.float32]:
        """Coefficient of the row's symbol times standardised feature."""
        coefficients = self._loading_of(rows) @ self._state["vectors"].T
        return (self._design(rows.features) * coefficients).astype(np.float32)

    def loadings(self) -> dict[str, FloatArray]:
        """Arrays of shape (S, K) by name.

        ``loadings`` (shrunk), ``raw`` (least squares; NaN where not estimated) and
        their ``errors``.
        """
        return {name: self._state[name] for name in ("loadings", "raw", "errors")}

    def _directions(
        self, design: FloatArray, train: Samples, blocks: npt.NDArray[np.intp]
    ) -> Directions:
        draws = np.random.default_rng([self.seed, 17])
        n_blocks = int(blocks.max()) + 1
        signs = draws.choice([-1.0, 1.0], (self.config.sign_draws, n_blocks))
        found = moments(
            design,
            train.target.astype(np.float64),
            train.symbols,
            len(self._symbols),
            blocks,
            signs,
        )
        return find_directions(found, self.config.floor, self.config.max_rank)

    def _loadings(
        self, factors: FloatArray, train: Samples, blocks: npt.NDArray[np.intp]
    ) -> dict[str, FloatArray]:
        """Loadings on each direction in turn, on what the ones before have left."""
        size = len(self._symbols)
        rows = np.bincount(train.symbols, minlength=size)
        rest = demeaned(train.target.astype(np.float64), train.symbols)
        names = ("loadings", "raw", "errors")
        found: dict[str, list[FloatArray]] = {name: [] for name in (*names, "mean")}
        for factor in factors.T:
            x = demeaned(factor, train.symbols)
            raw, errors = symbol_slopes(x, rest, train.symbols, blocks, size)
            raw[rows < self.config.min_symbol_rows] = np.nan
            shrunk = shrink(raw, errors)
            rest = rest - shrunk.values[train.symbols] * x
            columns = (shrunk.values, raw, errors)
            for name, column in zip(names, columns, strict=True):
                found[name].append(column)
            found["mean"].append(np.array([shrunk.mean]))
        result = {name: np.stack(found[name], axis=1) for name in names}
        return result | {"mean_loading": np.concatenate(found["mean"])}

    def _loading_of(self, rows: Samples) -> FloatArray:
        """Loadings of each row's symbol, found by name, shape (n, K)."""
        places = {name: k for k, name in enumerate(self._symbols)}
        table = np.vstack([self._state["loadings"], self._state["mean_loading"]])
        where = [places.get(name, len(places)) for name in rows.panel.symbols]
        return np.asarray(table[np.array(where, dtype=np.intp)[rows.symbols]])


def _blocks(rows: Samples) -> npt.NDArray[np.intp]:
    """Block of bars of each row, from 0, long enough for labels not to reach past."""
    window = int((rows.label_end - rows.bars).max())
    length = block_length(0, window)
    return np.asarray((rows.bars - rows.bars.min()) // length, dtype=np.intp)
