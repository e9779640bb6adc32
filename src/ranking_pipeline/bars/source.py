"""BarSource: where bars come from, and the digest of what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ranking_pipeline.storage import sha256_file, sha256_json

SIMULATED = "simulated"
READABLE_SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class BarSource:
    """A parquet or CSV file, a folder of them, or the simulated market.

    Parameters
    ----------
    location : str
        A path, or ``simulated``.
    """

    location: str

    @property
    def simulated(self) -> bool:
        """Whether the bars are made by the simulator."""
        return self.location == SIMULATED

    def files(self) -> list[Path]:
        """The files behind the source in sorted order; none for the simulator."""
        path = Path(self.location)
        if self.simulated:
            return []
        if path.is_file():
            return [path]
        return sorted(p for p in path.rglob("*") if p.suffix in READABLE_SUFFIXES)

    def digest(self) -> str:
        """SHA-256 over names and bytes of the files; a constant for the simulator."""
        root = Path(self.location)
        if self.simulated:
            return sha256_json(SIMULATED)
        return sha256_json(
            [(str(path.relative_to(root)), sha256_file(path)) for path in self.files()]
        )
