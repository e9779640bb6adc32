"""Part scores: what each fitted model of a promoted version says of the served rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.serving.history import bar_by_bar, history_bars
from ranking_pipeline.models.serving.rows import ServedRows
from ranking_pipeline.training.earlier_scores import add_scores, score_column

if TYPE_CHECKING:
    from ranking_pipeline.models.promoted import Promoted

Scores = npt.NDArray[np.float32]
_NEEDED = ("family", "task", "features", "feature_scale")


class PartScores:
    """Scores of the parts of a version, each found once.

    Parameters
    ----------
    promoted : Promoted
    served : ServedRows
    threads : int
        Of the numeric libraries.
    """

    def __init__(self, promoted: Promoted, served: ServedRows, threads: int) -> None:
        self._promoted = promoted
        self._served = served
        self._threads = threads
        self._found: dict[str, Scores] = {}

    def of(self, part: str) -> Scores:
        """Scores of all served rows by a part, shape (n,); NaN where it gives none."""
        if part not in self._found:
            self._found[part] = self._scored(part)
        return self._found[part]

    def table(self, part: str) -> pd.DataFrame:
        """Scores of a part as rows of a table of predictions."""
        rows, score = self._served.plain, self.of(part)
        known = np.flatnonzero(np.isfinite(score))
        stamps = rows.panel.timestamps[rows.bars[known]]
        return pd.DataFrame(
            {
                "timestamp": pd.DatetimeIndex(stamps).tz_localize("UTC"),
                "symbol": np.array(rows.panel.symbols)[rows.symbols[known]],
                "model_id": part,
                "score": score[known],
            }
        ).astype({"symbol": "str", "model_id": "str"})

    def _scored(self, part: str) -> Scores:
        facts = self._promoted.meta(part)
        sources = facts.get("sources") or {}
        added = {score_column(target) for target in sources}
        names = [name for name in own_factors(facts) if name not in added]
        rows = self._served.of(names, facts["feature_scale"], facts["task"])
        earlier = {t: self.of(self._by_key(key)) for t, key in sources.items()}
        rows = add_scores(rows, earlier, facts["feature_scale"])
        own = np.arange(len(rows))
        if facts.get("symbol"):
            symbols = np.array(rows.panel.symbols)[rows.symbols]
            own = np.flatnonzero(symbols == facts["symbol"])
        found: Scores = np.full(len(rows), np.nan, dtype=np.float32)
        if len(own):
            score = self._told(part, facts, rows.take(own))
            found[own] = np.where(np.isfinite(score), score, np.nan)
        return found

    def _told(self, part: str, facts: Mapping[str, Any], rows: Samples) -> Scores:
        """Scores of rows by a part, every cross-section on its own."""
        model = self._promoted.load_model(part, self._threads)
        tell, history = self._promoted.told_by(model, part), history_bars(facts)
        if history is None:
            alone = {"timestamps_per_batch": 1}
            model.config = model.config.model_copy(update=alone)
            return tell(rows)
        found: Scores = np.empty(len(rows), dtype=np.float32)
        for places, own in bar_by_bar(rows, history):
            found[places] = tell(own)
        return found

    def _by_key(self, key: str) -> str:
        """Id of the part that is the entry of a key of the model store."""
        for entry in self._promoted.record["parts"]:
            if entry["key"] == key:
                return str(entry["model_id"])
        raise UserError(
            f"{self._promoted.folder} lacks a model whose scores are factors of another "
            f"(key {key[:8]}…): promote the model again."
        )


def own_factors(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of all factors that a model gets, in order; none for windows of bars.

    Raises
    ------
    UserError
        When the document of the model is too old to tell how it is given its rows.
    """
    lacking = [name for name in _NEEDED if name not in facts]
    if lacking:
        raise UserError(
            f"the promoted model does not tell {', '.join(lacking)}: train it again and "
            "promote it."
        )
    if registry.listing(facts["family"]).sequence:
        return ()
    return tuple(facts["features"])


def table_factors(promoted: Promoted) -> tuple[str, ...]:
    """Columns of the table of features that the parts of a version need, each once."""
    found: dict[str, None] = {}
    for part in promoted.parts:
        facts = promoted.meta(part)
        added = {score_column(target) for target in facts.get("sources") or {}}
        found |= dict.fromkeys(n for n in own_factors(facts) if n not in added)
    return tuple(found)
