"""ModelScores: the rows of a table of predictions as one matrix per leaderboard row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel

PROBABILITIES = ("prob_short", "prob_neutral", "prob_long")
_Part = tuple[
    npt.NDArray[np.intp],
    npt.NDArray[np.intp],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
]
META = ("family", "route", "network", "loss", "seed")


@dataclass(frozen=True)
class ModelScores:
    """Scores of one leaderboard row for one target.

    Attributes
    ----------
    model_id, target, kind : str
        ``kind`` is ``model``, ``baseline`` or ``oracle``.
    family, route, network, loss, seed : str
        As in the table of models, "" where a family has none.
    n_models : int
        Fitted models behind the row: several where each symbol has its own, or where
        models are refitted as time goes on.
    score : ndarray, shape (T, S)
        NaN where the model gives none.
    predicted_class : ndarray, shape (T, S), or None
        Most probable class of a classifier.
    """

    model_id: str
    target: str
    kind: str
    score: npt.NDArray[np.floating]
    family: str = ""
    route: str = ""
    network: str = ""
    loss: str = ""
    seed: str = ""
    n_models: int = 1
    predicted_class: npt.NDArray[np.floating] | None = None


def model_scores(
    predictions: Sequence[pd.DataFrame],
    models: Sequence[pd.DataFrame],
    panel: Panel,
    tasks: dict[str, str],
) -> Iterator[ModelScores]:
    """Scatter tables of predictions into matrices, row by row of the leaderboard.

    Models of single symbols that differ in nothing but the symbol form one row.

    Parameters
    ----------
    predictions : sequence of DataFrame
        Columns timestamp, symbol, target, model_id, score [, probabilities].
    models : sequence of DataFrame
        Columns model_id, target, family, route, symbol [, network, loss, seed].
    panel : Panel
    tasks : dict of str to str
        Task of each known target.

    Yields
    ------
    ModelScores
        Sorted by target and model_id.

    Raises
    ------
    UserError
        Where a prediction names a model or a target that no table describes.
    """
    catalogue = _catalogue(models)
    parts: dict[tuple[str, str], list[_Part]] = {}
    windows, fitted = dict(catalogue["n_windows"]), Counter[tuple[str, str]]()
    for frame in predictions:
        for (target, model_id), part in _parts(frame, panel, tasks):
            _check(target, model_id, tasks, catalogue)
            row = str(catalogue.loc[model_id, "row_id"])
            parts.setdefault((target, row), []).append(part)
            fitted[target, row] += windows[model_id]
    rows = catalogue.drop_duplicates("row_id").set_index("row_id")
    for (target, row), found in sorted(parts.items(), key=lambda item: item[0]):
        meta = {name: str(rows.loc[row, name]) for name in META}
        score, predicted = _matrices(found, (panel.n_bars, panel.n_symbols))
        yield ModelScores(
            row, target, "model", score, n_models=fitted[target, row],
            predicted_class=predicted, **meta,
        )  # fmt: skip


def members(models: Sequence[pd.DataFrame], row: str, target: str) -> list[str]:
    """Ids of the models whose predictions form one row of the leaderboard."""
    known = _catalogue(models)
    same = (known["row_id"] == row) & (known["target"] == target)
    return [str(model_id) for model_id in known.index[same]]


def rows_of(models: Sequence[pd.DataFrame]) -> dict[str, str]:
    """Row of the leaderboard to which each model belongs, by their ids."""
    return {str(key): str(row) for key, row in _catalogue(models)["row_id"].items()}


def _catalogue(models: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Models indexed by model_id, with the leaderboard row to which each belongs."""
    tables = [table for table in models if len(table)]
    if not tables:
        return pd.DataFrame(columns=["row_id", "target", "n_windows", *META])
    table = pd.concat(tables, ignore_index=True)
    table = table.reindex(columns=["model_id", "target", "symbol", *META])
    table = table.astype(object).where(table.notna(), "").astype(str)
    single = table["symbol"] != ""
    table["row_id"] = table["model_id"].where(~single, _joint_names(table[single]))
    # one row per window of a walk-forward
    table["n_windows"] = table.groupby("model_id")["model_id"].transform("size")
    return table.drop_duplicates("model_id").set_index("model_id")


def _joint_names(single: pd.DataFrame) -> pd.Series:
    """One name per family of single-symbol models, no longer than it must be."""
    name = single["family"] + " per symbol"
    for column in ("network", "loss", "seed"):
        if single.groupby(["target", "family"])[column].nunique().gt(1).any():
            name = name + " " + column + " " + single[column]
    return name


def _parts(
    frame: pd.DataFrame, panel: Panel, tasks: dict[str, str]
) -> Iterator[tuple[tuple[str, str], _Part]]:
    """Split a table of predictions into its pairs (target, model_id)."""
    if frame.empty:
        return
    targets, target_names = pd.factorize(frame["target"])
    ids, id_names = pd.factorize(frame["model_id"])
    bars, symbols = locate(panel, frame, "predictions")
    score = frame["score"].to_numpy(dtype=np.float32)
    table = frame.reindex(columns=list(PROBABILITIES)).to_numpy(dtype=np.float32)
    pair = targets * len(id_names) + ids
    order = np.argsort(pair, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
        target = str(target_names[targets[rows[0]]])
        guess = _most_probable(table[rows], tasks.get(target, ""))
        part = (bars[rows], symbols[rows], score[rows], guess)
        yield (target, str(id_names[ids[rows[0]]])), part


def _check(
    target: str, model_id: str, tasks: dict[str, str], catalogue: pd.DataFrame
) -> None:
    if target not in tasks:
        raise UserError(
            f"predictions: target '{target}' of model '{model_id}' is not in "
            "target_manifest; run data_preparation with it among labels.targets"
        )
    if model_id not in catalogue.index:
        raise UserError(
            f"predictions: model_id '{model_id}' is not in the table of models; "
            "predictions and models must come from the same run"
        )


def _matrices(
    parts: list[_Part], shape: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    score = np.full(shape, np.nan, dtype=np.float32)
    predicted = np.full(shape, np.nan, dtype=np.float32)
    for bars, symbols, values, guess in parts:
        score[bars, symbols] = values
        predicted[bars, symbols] = guess
    return score, predicted if np.isfinite(predicted).any() else None


def _most_probable(
    table: npt.NDArray[np.float32], task: str
) -> npt.NDArray[np.float32]:
    """Class with the highest probability, NaN where there are no probabilities."""
    if task not in ("binary", "three_class"):
        return np.full(len(table), np.nan, dtype=np.float32)
    finite = np.isfinite(table)
    classes = np.array([0 if task == "binary" else -1, 0, 1], dtype=np.float32)
    best = np.argmax(np.where(finite, table, -np.inf), axis=1)
    return np.where(finite.any(axis=1), classes[best], np.float32(np.nan))
