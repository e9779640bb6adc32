"""Promoted: a production model, read from its immutable folder.

``<registry>/<alias>.json`` names the version that an alias means, and all it meant
before. ``<registry>/<alias>/<version>/`` holds ``promotion.json`` and, under ``models/``,
the entries of the model store that the version consists of, byte for byte. Each document
vouches for the next: the alias for ``promotion.json``, that for the ``model_meta.json`` of
each part, and that for every file of the part. A ranking network has the folder
``network/`` instead: its weights, and a ``model_meta.json`` that vouches for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.promoted_files import (
    MODELS,
    NETWORK,
    RECORD,
    SCHEMA_VERSION,
    alias_file,
    check_file,
    read_alias,
    read_document,
    read_record,
    remedy,
)
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle

if TYPE_CHECKING:
    from ranking_pipeline.ranking.fitted_ranker import Ranker

__all__ = [
    "MODELS",
    "NETWORK",
    "RECORD",
    "SCHEMA_VERSION",
    "Promoted",
    "alias_file",
    "read_alias",
    "read_record",
    "resolve",
]

RANKING_ROUTE = "cs_ranking"
_JOINS = {"routed": "routed", "partial_pooling": "partial pooling"}
WEIGHTS_FILE, META_FILE = "model.safetensors", "model_meta.json"  # of such a network
_DIGITS = 8  # of a version, in a label for people


@dataclass(frozen=True)
class Promoted:
    """One promoted version.

    Attributes
    ----------
    alias, version
        Name, and hash of what was promoted (16 hex digits).
    folder
        Where it is; nothing in it ever changes.
    record
        Content of ``promotion.json``: ``model_id``, ``target``, ``route``, ``parts``,
        ``validation``, ``informed_until``, ``provenance``, ``symbols`` (of the
        training) and, for a row that is made of other models' scores, the
        ``routing_plan`` of its target.
    """

    alias: str
    version: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def target(self) -> str:
        """What the scores rank, such as ``fwd_ret_5d``."""
        return str(self.record["target"])

    @property
    def label(self) -> str:
        """Family and version for people, such as ``ridge v. 1a2b3c4d``."""
        family, _, rest = str(self.record["model_id"]).partition(":")
        join = _JOINS.get(self.record["route"], "")
        seed = "".join(rest.partition("seed")[1:])
        named = " ".join(filter(None, (family, join, seed)))
        return f"{named} v. {self.version[:_DIGITS]}"

    @property
    def informed_until(self) -> np.datetime64 | None:
        """Latest instant (UTC) of which the fit or the choice could have known.

        No label that was fitted, stopped a training early or measured the row on
        validation ended later. None: the version is older than this entry, see
        :meth:`require_informed_until`.
        """
        told = self.record.get("informed_until")
        if told is None:
            return None
        stamp = pd.Timestamp(told).tz_convert("UTC").tz_localize(None)
        return np.datetime64(stamp.isoformat(), "ns")

    def require_informed_until(self) -> np.datetime64:
        """Give :attr:`informed_until`, or refuse a version that does not tell it.

        Raises
        ------
        UserError
        """
        told = self.informed_until
        if told is None:
            raise UserError(
                f"{self.folder / RECORD} does not tell until when {self.label} was "
                "informed, so that nothing says which bars it has not seen: promote "
                "the model again (kedro run --pipelines=promotion)."
            )
        return told

    @property
    def is_ranking_network(self) -> bool:
        """Whether it is a network of the pipeline cs_ranking, not of the model store."""
        return bool(self.record["route"] == RANKING_ROUTE)

    @property
    def window_bars(self) -> int:
        """Bars that a symbol needs for a score, its own included; 1 for factors."""
        if self.is_ranking_network:
            return int(self.meta()["bars_required"])
        from ranking_pipeline.models.serving.history import window_bars

        return max(window_bars(self.meta(part)) for part in self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of the fitted models behind the version; one, unless it joins several."""
        return tuple(part["model_id"] for part in self.record["parts"])

    def meta(self, part: str | None = None) -> Mapping[str, Any]:
        """Read what ``model_meta.json`` says of a part (by default the only one).

        Its ``features`` are in the order in which the model gets them; a family that
        learns from windows of bars has none.
        """
        if self.is_ranking_network:
            path = self.folder / NETWORK / META_FILE
            check_file(path, self._entry(part)["manifest_sha256"], self._remedy)
            return read_document(path, self._remedy)
        return self._store().listed(self._key(part)).facts

    def scores(
        self,
        panel: Panel,
        features: TableHandle | None,
        bars: npt.NDArray[np.signedinteger],
        threads: int = 1,
    ) -> npt.NDArray[np.float64]:
        """Score whole cross-sections, joined as the row was for the leaderboard.

        A model that was refitted as time went on scores by its newest refit, whatever
        the bar; which bars it has not seen, :attr:`informed_until` tells.

        Parameters
        ----------
        panel : Panel
            Any panel with the bars and fields of that of the training; it may have
            more bars and other symbols.
        features : TableHandle or None
            The factors of that panel; None will do for a version that needs none.
        bars : ndarray of int, shape (n,)
            Positions on the panel's time axis, in any order. A bar has the same scores,
            to the last bit, whatever other bars are asked for.
        threads : int
            Of the numeric libraries; the result does not depend on it.

        Returns
        -------
        ndarray of float64, shape (n, S)
            Columns are ``panel.symbols``. NaN where a cell is not tradable, has no
            complete window, or a version of single symbols does not know its symbol.
            A row uses its bar and bars before it, nothing later.

        Raises
        ------
        UserError
            When a file is missing or was altered, a bar is not on the panel, the
            table lacks a column or a bar, or all parts are of symbols that do not trade.
        """
        from ranking_pipeline.models.serving.scores import served_scores

        return served_scores(self, panel, features, np.asarray(bars), threads)

    def load_ranker(self) -> Ranker:
        """Load a ranking network, its files checked first.

        Raises
        ------
        UserError
            When a file is missing or was altered, or the version is of another kind.
        """
        if not self.is_ranking_network:
            raise UserError(
                f"{self.alias} ({self.record['model_id']}) is no ranking network: load "
                "it by load_model."
            )
        from ranking_pipeline.ranking.store import load_ranker

        self.verify()
        return load_ranker(self.folder / NETWORK)

    def load_model(self, part: str | None = None, threads: int = 1) -> BaseModel:
        """Load a part (by default the only one), every file checked first.

        What a model with several heads predicts is its main target's; :meth:`score`
        takes the head of the part's own target.

        Raises
        ------
        UserError
            When a file is missing or was altered, or no part has that id.
        """
        if self.is_ranking_network:
            raise UserError(
                f"{self.alias} ({self.record['model_id']}) is a ranking network: load it "
                "by load_ranker."
            )
        model = self._store().load_model(self._key(part), threads)
        if getattr(model.config, "device", "cpu") == "cuda":
            # a network that was trained on a GPU also scores where there is none
            model.config = model.config.model_copy(update={"device": "auto"})
        return model

    def score(
        self, rows: Samples, part: str | None = None, threads: int = 1
    ) -> npt.NDArray[np.float32]:
        """Score rows by a part, for the part's own target; shape (n,).

        Raises
        ------
        UserError
            See :meth:`load_model`.
        """
        return self.told_by(self.load_model(part, threads), part)(rows)

    def told_by(
        self, model: BaseModel, part: str | None = None
    ) -> Callable[[Samples], npt.NDArray[np.float32]]:
        """What a loaded part says of rows for its own target, as a function of them."""
        network: Any = model
        meta = self.meta(part)
        target = self._entry(part).get("target", meta["target"])
        if target == meta["target"]:
            return lambda rows: network.predict(rows).score
        head = 1 + meta["helpers"].index(target)
        return lambda rows: np.asarray(network.heads(rows)[:, head])

    def verify(self) -> None:
        """Check every file of every part.

        Raises
        ------
        UserError
            Naming the first file that is not what was promoted.
        """
        if self.is_ranking_network:
            weights = self.folder / NETWORK / WEIGHTS_FILE
            check_file(weights, self.meta()["model_checksum"], self._remedy)
            return
        store = self._store()
        for part in self.record["parts"]:
            store.verified(self._key(part["model_id"]))

    def _key(self, part: str | None) -> str:
        """Key of a part, after a look at the document that vouches for its files."""
        entry = self._entry(part)
        key: str = entry["key"]
        manifest = self._store().manifest_of(key)
        check_file(manifest, entry["manifest_sha256"], self._remedy)
        return key

    def _entry(self, part: str | None) -> Mapping[str, Any]:
        """What the record says of a part (by default the only one)."""
        parts: list[dict[str, Any]] = self.record["parts"]
        if part is None and len(parts) == 1:
            return parts[0]
        for entry in parts:
            if entry["model_id"] == part:
                return entry
        raise UserError(
            f"{self.alias} ({self.record['model_id']}) consists of {len(parts)} models; "
            f"name one of: {', '.join(self.parts)}."
        )

    def _store(self) -> ModelStore:
        store = ModelStore(self.folder / MODELS)
        store.remedy = self._remedy
        return store

    @property
    def _remedy(self) -> str:
        return remedy(self.alias, self.record)


def resolve(registry: Path, alias: str, version: str | None = None) -> Promoted:
    """Find the model that an alias means now, or one that it meant before.

    Parameters
    ----------
    registry
        Folder of the production registry (``promotion.registry``).
    alias
        Such as ``production``.
    version
        One of the alias's history; None: the current one.

    Raises
    ------
    UserError
        When the alias or the version does not exist, is of a later version of
        ranking_pipeline, or is not what was promoted.
    """
    pointer = read_alias(registry, alias)
    wanted = pointer["version"] if version is None else version
    known = {entry["version"]: entry for entry in pointer["history"]}
    if wanted not in known:
        raise UserError(
            f"alias {alias!r} of {registry} never meant version {wanted!r}; it meant "
            + ", ".join(known)
        )
    folder = registry / alias / wanted
    return Promoted(alias, wanted, folder, read_record(folder, known[wanted]["sha256"]))
