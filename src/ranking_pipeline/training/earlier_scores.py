"""Earlier scores: what models of other targets say of a row, as factors of a cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import locate, scaled_features
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore


def score_column(target: str) -> str:
    """Name of a column with scores for a target."""
    return f"score__{target}"


@dataclass(frozen=True)
class Source:
    """Models whose scores are a factor of another model.

    Attributes
    ----------
    target
    folds
        Keys, in the model store, of the models of the folds of the train block: each
        scored the rows that it did not learn from.
    whole
        Key of the model that learned from the whole train block, for later rows.
    """

    target: str
    folds: tuple[str, ...]
    whole: str


def with_scores(
    rows: Samples, sources: Sequence[Source], store: ModelStore, scale: str
) -> Samples:
    """Add one factor per source: out of fold inside the train block, then as predicted.

    A model never sees a score for a row that the scoring model learned from: on the
    rows of its own training such a score tells the label, and the next model would
    learn to believe it.

    Parameters
    ----------
    rows : Samples
        Whole cross-sections.
    sources : sequence of Source
    store : ModelStore
        Holds what the sources predicted.
    scale : str
        ``rank``: normal scores of the ranks within the bar, as other factors are.

    Raises
    ------
    UserError
        When a source is not in the store, because it failed.
    """
    found = {source.target: _scores(rows, source, store) for source in sources}
    return add_scores(rows, found, scale)


def add_scores(
    rows: Samples, scores: Mapping[str, npt.NDArray[np.float32]], scale: str
) -> Samples:
    """Add scores (n,) for other targets, by target and in that order, as factors.

    Parameters
    ----------
    rows : Samples
        Whole cross-sections.
    scores : mapping of str to ndarray, shape (n,)
    scale : str
        See :func:`ranking_pipeline.models.assemble.scaled_features`.
    """
    if not scores:
        return rows
    matrix = np.column_stack(list(scores.values()))
    added = scaled_features(matrix, rows.bars, scale)
    names = tuple(map(score_column, scores))
    return replace(
        rows,
        features=np.column_stack([rows.features, added]),
        feature_names=(*rows.feature_names, *names),
    )


def stored_scores(
    rows: Samples, keys: Sequence[str], store: ModelStore, what: str
) -> npt.NDArray[np.float32]:
    """Scores of rows from entries that scored different bars, NaN where none did.

    Returns
    -------
    ndarray of float32, shape (n,)

    Raises
    ------
    UserError
        When an entry is missing; ``what`` says whose it is.
    """
    matrix = np.full(rows.shape, np.nan, dtype=np.float32)
    for key in keys:
        if store.find(key) is None:
            raise UserError(
                f"{what}: a model whose scores are needed is not in the model store; "
                "see training_outcomes for why it failed."
            )
        table = store.read_predictions(key)
        bars, symbols = locate(rows.panel, table, "predictions")
        matrix[bars, symbols] = table["score"].to_numpy(dtype=np.float32)
    return np.asarray(matrix[rows.bars, rows.symbols])


def _scores(
    rows: Samples, source: Source, store: ModelStore
) -> npt.NDArray[np.float32]:
    keys = (*source.folds, source.whole)
    return stored_scores(rows, keys, store, f"cascade, target {source.target}")
