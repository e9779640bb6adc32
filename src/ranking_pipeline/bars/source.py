"""BarSource: where bars come from, and the digest of what is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ranking_pipeline.storage import sha256_file, sha256_json

SIMULATED = "simulated"
READABLE_SUFFIXES = (".parquet", ".csv")
QLIB_FOLDERS = {"calendars": ".txt", "instruments": ".txt", "features": ".bin"}


def is_qlib_folder(root: Path) -> bool:
    """Whether a folder is laid out as qlib's binary data, complete or not.

    It has at least two of the folders calendars, instruments and features, or binary
    files two levels below features.
    """
    if sum((root / name).is_dir() for name in QLIB_FOLDERS) >= 2:
        return True
    return next((root / "features").glob("*/*.bin"), None) is not None


@dataclass(frozen=True)
class BarSource:
    """A parquet or CSV file, a folder of them, a qlib folder, or the simulated market.

    Parameters
    ----------
    location : str
        A path, or ``simulated``.
    """

    location: str

    def __post_init__(self) -> None:
        """Write out ``~``, which no shell expands behind ``data.source=``."""
        object.__setattr__(self, "location", os.path.expanduser(self.location))

    @property
    def simulated(self) -> bool:
        """Whether the bars are made by the simulator."""
        return self.location == SIMULATED

    def files(self) -> list[Path]:
        """The files behind the source in sorted order; none for the simulator."""
        root = Path(self.location)
        if self.simulated:
            return []
        if root.is_file():
            return [root]
        found = {p for p in root.rglob("*") if p.suffix.lower() in READABLE_SUFFIXES}
        if is_qlib_folder(root):
            for folder, suffix in QLIB_FOLDERS.items():
                found.update((root / folder).rglob(f"*{suffix}"))
        return sorted(path for path in found if path.is_file())

    def digest(self) -> str:
        """SHA-256 over names and bytes of the files; a constant for the simulator."""
        root = Path(self.location)
        if self.simulated:
            return sha256_json(SIMULATED)
        return sha256_json(
            [(str(path.relative_to(root)), sha256_file(path)) for path in self.files()]
        )
