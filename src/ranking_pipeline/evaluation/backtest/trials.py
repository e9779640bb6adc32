"""Trials: everything that was tried on the same bars, each counted once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.model_scores import rows_of

ROW, TUNING, BOOK = "row", "tuning", "book"
SCORE_COLUMNS = ("target", "model_id", "score")
_FAILED = "failed"
_DIGITS = 16


@dataclass(frozen=True)
class TrialCount:
    """How many trials stand behind a result.

    Attributes
    ----------
    rows : int
        Model rows of this run: each family, target, route and seed.
    earlier_rows : int
        Further model rows that earlier runs measured on the same bars.
    tuning : int
        Parameter sets that tuning tried on the same bars, but for failed ones.
    books : int
        Rows held by other rules than the leaderboard's, and monthly portfolios.
    """

    rows: int
    earlier_rows: int
    tuning: int
    books: int

    @property
    def total(self) -> int:
        """All of them, at least one."""
        return max(self.rows + self.earlier_rows + self.tuning + self.books, 1)


def count_trials(ledger: Mapping[str, Any]) -> TrialCount:
    """Count the entries of a ledger by kind.

    Parameters
    ----------
    ledger : mapping
        ``newest`` (entries of this run) and ``entries`` (all on the same bars).
    """
    kinds = [str(entry).partition("|")[0] for entry in ledger["entries"]]
    rows = sum(str(entry).startswith(f"{ROW}|") for entry in ledger["newest"])
    earlier = kinds.count(ROW) - rows
    return TrialCount(rows, earlier, kinds.count(TUNING), kinds.count(BOOK))


def row_entries(
    leaderboard: pd.DataFrame,
    models: Sequence[pd.DataFrame],
    predictions: Sequence[pd.DataFrame],
) -> list[str]:
    """One entry per model row of a leaderboard.

    The digest is that of the row's scores. Whatever changes them, a parameter, a
    seed, the features or the code, makes another trial; a repeated run does not.

    Parameters
    ----------
    leaderboard : DataFrame
    models, predictions : sequence of DataFrame
        Of the stages that ran; predictions need ``target``, ``model_id``, ``score``.

    Returns
    -------
    list of str
        ``row|model_id|target|digest``.
    """
    digests: dict[tuple[str, str], str] = {}
    for table in predictions:
        digests |= _score_digests(table)
    row_of = rows_of(models)
    parts: dict[tuple[str, str], list[str]] = {}
    for (target, name), scores in sorted(digests.items()):
        parts.setdefault((row_of.get(name, name), target), []).extend((name, scores))
    rows = leaderboard[leaderboard["kind"] == "model"]
    pairs = zip(rows["model_id"].astype(str), rows["target"].astype(str), strict=True)
    return [
        f"{ROW}|{row}|{target}|{digest(*parts.get((row, target), ()))}"
        for row, target in pairs
    ]


def book_entries(
    rows: Sequence[str],
    held: Mapping[str, Any] | None,
    config: BacktestConfig,
    tail_share: float,
) -> list[str]:
    """One entry where a row is held by other rules than those of the leaderboard.

    Costs, the capital's base and the exit are no choice between books.

    Parameters
    ----------
    rows : sequence of str
        From :func:`row_entries`.
    held : mapping or None
        Row of the leaderboard that is held.
    config : BacktestConfig
    tail_share : float
        Of the evaluation.

    Returns
    -------
    list of str
        ``book|model_id|target|digest|tails|band|legs|rebalance``, or none.
    """
    share = config.tail_share or tail_share
    rules = (share, config.band_share, config.legs, config.rebalance_bars or 1)
    if held is None or rules == (tail_share, None, "both", 1):
        return []
    name = f"{ROW}|{held['model_id']}|{held['target']}|"
    own = next(entry for entry in rows if entry.startswith(name))
    return ["|".join([BOOK, *own.split("|")[1:], *map(str, rules)])]


def portfolio_entry(portfolio: pd.DataFrame, legs: str) -> str:
    """Entry of a monthly portfolio: other weights or legs make another trial.

    Parameters
    ----------
    portfolio : DataFrame
        timestamp, symbol, weight.
    legs : str
        Those that are held.
    """
    weights = portfolio["weight"].to_numpy(np.float64).round(12).tolist()
    stamps, symbols = portfolio["timestamp"].astype(str), portfolio["symbol"]
    cells = zip(stamps, symbols.astype(str), map(str, weights), strict=True)
    entry = f"{BOOK}|portfolio|{digest(*(' '.join(cell) for cell in cells))}"
    # a leg that is all of the portfolio is no other book
    whole = legs == "both" or len(np.unique(np.sign(weights))) < 2
    return entry if whole else f"{entry}|{legs}"


def tuning_entries(
    versions: Sequence[tuple[Mapping[str, str], pd.DataFrame]], bars: str
) -> list[str]:
    """One entry per parameter set that tuning measured on these bars.

    Parameters
    ----------
    versions : sequence of (digest of each ancestor by name, table of trials)
    bars : str
        Digest of the panel.

    Returns
    -------
    list of str
        ``tuning|study|trial``; a study that was taken up again counts once.
    """
    found = set()
    for ancestors, table in versions:
        if ancestors.get("panel") != bars:
            continue
        measured = table[table["state"] != _FAILED]
        pairs = zip(measured["study"], measured["trial"], strict=True)
        found |= {f"{TUNING}|{study}|{trial}" for study, trial in pairs}
    return sorted(found)


def digest(*parts: str) -> str:
    """Short digest of some texts."""
    text = "\n".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _score_digests(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Digest of the scores of each pair (target, model_id), in the table's order."""
    if table.empty:
        return {}
    targets, target_names = pd.factorize(table["target"])
    ids, id_names = pd.factorize(table["model_id"])
    pair: npt.NDArray[np.intp] = targets * len(id_names) + ids
    order = np.argsort(pair, kind="stable")
    scores = table["score"].to_numpy(dtype=np.float32)
    found = {}
    for rows in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
        key = str(target_names[targets[rows[0]]]), str(id_names[ids[rows[0]]])
        found[key] = hashlib.sha256(scores[rows].tobytes()).hexdigest()[:_DIGITS]
    return found
