"""SealedFileDataset: a JSON document that outlives runs and carries its own digest."""

from __future__ import annotations

import json
import logging
from typing import Any, ClassVar

from ranking_pipeline.datasets.plain_file import Loaded, PlainFileDataset, Saved
from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import sha256_json, write_json

SEAL = "sha256"
log = logging.getLogger(__name__)


class SealedFileDataset(PlainFileDataset[Saved, Loaded]):
    """A file that is added to, and refused once somebody else has changed it.

    The digest stands inside of the file: what a killed write leaves is the old file or
    the new one, each with its own digest. A manifest beside it could be lost between
    the two writes, and with it the evidence of all earlier runs.
    """

    content: ClassVar[str]
    lost: ClassVar[str]

    def _write_sealed(self, stored: dict[str, Any]) -> None:
        write_json(self._filepath, {**stored, SEAL: sha256_json(stored)})

    def _read_sealed(self) -> dict[str, Any]:
        """Read the document without its digest.

        Raises
        ------
        UserError
            It is no JSON object, or not as it was written.
        """
        try:
            stored: dict[str, Any] = json.loads(self._filepath.read_text("utf-8"))
            seal = stored.pop(SEAL, None)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._damaged(error) from None
        if seal is None:
            log.warning(
                "%s carries no digest: an earlier version wrote it, or somebody removed "
                "it. It is taken as it is, and sealed when it is next written.",
                self._filepath,
            )
        elif seal != sha256_json(stored):
            raise self._refused("was changed after it was written")
        return stored

    def _damaged(self, error: Exception) -> UserError:
        what = f"{type(error).__name__}: {error}"
        return self._refused(f"is damaged: no {self.content} ({what})")

    def _refused(self, why: str) -> UserError:
        return UserError(
            f"{self._filepath} {why}. Restore it from a copy; without it, earlier "
            f"{self.lost} are not counted. Delete it only where that is meant."
        )
