"""The one way to write and to trust a file: atomic, checksummed, manifest last."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ranking_pipeline.errors import UserError, refusal
from ranking_pipeline.panel import Panel

if TYPE_CHECKING:
    import pandas as pd

MANIFEST_SUFFIX = ".manifest.json"
TEMPORARY_PREFIX = ".tmp-"
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which it becomes in one step at the end.

    A reader sees the old file or the new one, never a part: the bytes reach the disk
    (fsync) before the name does, and the folder is synced after the rename. When the
    body raises, ``path`` is untouched and the temporary file is removed.

    Raises
    ------
    OSError
        Naming ``path``, where the operating system refuses.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except Exception as error:
        number = refusal(error)
        named = getattr(error, "filename", None)
        if number is None or named not in (None, str(temporary)):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically; NaN is refused, use null."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def number_or_null(value: float) -> float | None:
    """Number as JSON can have it: null where it is not finite."""
    return float(value) if math.isfinite(value) else None


def sweep_temporaries(root: Path) -> int:
    """Remove the files and folders that killed writers left; count them.

    A living writer's go too: call it where nobody else writes under ``root``.
    """
    orphans = list(root.rglob(f"{TEMPORARY_PREFIX}*")) if root.exists() else []
    for orphan in orphans:
        if orphan.is_dir() and not orphan.is_symlink():
            shutil.rmtree(orphan, ignore_errors=True)
        else:
            orphan.unlink(missing_ok=True)
    return len(orphans)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What an artefact is and what it was made from.

    Attributes
    ----------
    sha256, bytes
        Of the artefact's file.
    producer
        Name of the node that made it.
    ancestors
        Digest of every artefact and parameter section that it depends on, directly or
        not, by name.
    """

    sha256: str
    bytes: int
    producer: str = ""
    ancestors: Mapping[str, str] = field(default_factory=dict)


def manifest_path(path: Path) -> Path:
    """Where the manifest of ``path`` lives: beside it."""
    return path.with_name(path.name + MANIFEST_SUFFIX)


def write_artefact(
    path: Path,
    write: Callable[[Path], None],
    *,
    producer: str = "",
    ancestors: Mapping[str, str] | None = None,
) -> Manifest:
    """Write an artefact and, last, the manifest that makes it exist.

    Parameters
    ----------
    path
        The artefact's final place.
    write
        Called with a temporary path, to which it writes the whole file.
    """
    with atomic_write(path) as temporary:
        write(temporary)
        manifest = Manifest(
            sha256_file(temporary), temporary.stat().st_size, producer, ancestors or {}
        )
        # The old manifest must not stand beside the new bytes: it goes just before them.
        manifest_path(path).unlink(missing_ok=True)
    write_json(manifest_path(path), asdict(manifest))
    return manifest


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of ``path``, or None when the artefact does not exist for us."""
    try:
        manifest = Manifest(**json.loads(manifest_path(path).read_text("utf-8")))
        size = path.stat().st_size
    except (*_NOT_THERE, ValueError, TypeError):
        return None
    known = isinstance(manifest.ancestors, Mapping) and size == manifest.bytes
    return manifest if known else None


def verify_artefact(path: Path) -> Manifest:
    """Check ``path`` against its manifest before any parser sees a byte.

    Raises
    ------
    UserError
        When the manifest is missing or the bytes are not the ones that were written.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise UserError(
            f"{path} has no valid manifest: it was never finished or was copied alone. "
            "Run the pipeline that makes it again."
        )
    if sha256_file(path) != manifest.sha256:
        # a node's name begins with its pipeline
        maker = manifest.producer.split(".", maxsplit=1)[0]
        again = f"`kedro run --pipelines={maker}`" if maker else "its pipeline"
        raise UserError(
            f"{path} is damaged: its SHA-256 differs from its manifest. Run {again} "
            "again."
        )
    return manifest


@dataclass(frozen=True)
class TableStream:
    """A table larger than memory, made block by block while it is written.

    Attributes
    ----------
    blocks : callable
        Gives the frames in the order of the rows, all with the same columns.
    """

    blocks: Callable[[], Iterator[pd.DataFrame]]


def write_table(frames: pd.DataFrame | Iterator[pd.DataFrame], path: Path) -> None:
    """Write a frame, or frame after frame, as one parquet file with page checksums.

    Text columns are dictionaries; on columns of floats they cost ten times the time and
    save nothing. Each frame of several becomes a row group.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks = frames if isinstance(frames, Iterator) else iter([frames])
    first = pa.Table.from_pandas(next(blocks), preserve_index=False)
    text = [column.name for column in first.schema if _is_text(column.type)]
    with pq.ParquetWriter(
        path,
        first.schema,
        use_dictionary=text,
        compression="zstd",
        write_page_checksum=True,
    ) as writer:
        writer.write_table(first)
        del first
        for block in blocks:
            writer.write_table(
                pa.Table.from_pandas(block, schema=writer.schema, preserve_index=False)
            )


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    plain = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(plain or pa.types.is_dictionary(kind))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a parquet file written by :func:`write_table`, verifying page checksums."""
    import pyarrow.parquet as pq

    table = pq.read_table(
        path,
        columns=list(columns) if columns is not None else None,
        page_checksum_verification=True,
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame


@dataclass(frozen=True)
class TableHandle:
    """A stored table by place and content: what travels to a job instead of a frame."""

    path: str
    sha256: str

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read ``columns`` (all by default).

        Raises
        ------
        UserError
            When the file no longer holds the content that the handle names.
        """
        check_content(Path(self.path), self.sha256)
        return read_table(Path(self.path), columns)

    def read_columns(self) -> tuple[str, ...]:
        """Read the names of the columns alone; only a file that is no table is checked."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return tuple(pq.read_schema(Path(self.path)).names)
        except (pa.ArrowException, OSError):
            check_content(Path(self.path), self.sha256)
            raise


@dataclass(frozen=True)
class PanelHandle:
    """A stored panel by place and content."""

    path: str
    sha256: str

    def read(self) -> Panel:
        """Read the panel; see :meth:`TableHandle.read` for the errors."""
        check_content(Path(self.path), self.sha256)
        return read_panel(Path(self.path))

    def read_symbols(self) -> tuple[str, ...]:
        """Read the symbols alone, cheap at any size; only a damaged head is checked."""
        from safetensors import SafetensorError

        try:
            return tuple(_read_axes(Path(self.path))["symbols"])
        except (SafetensorError, ValueError, KeyError, TypeError, OSError):
            check_content(Path(self.path), self.sha256)
            raise


def check_content(path: Path, sha256: str) -> None:
    """Raise a UserError unless ``path`` holds the bytes named by ``sha256``."""
    if not path.exists():
        raise UserError(f"{path} is not there (or not visible from this machine).")
    if sha256_file(path) != sha256:
        raise UserError(f"{path} has changed since this run referred to it; run again.")


def write_panel(panel: Panel, path: Path) -> None:
    """Write a panel as one safetensors file, which a reader can map into memory."""
    from safetensors.numpy import save_file

    arrays = {
        "values": np.ascontiguousarray(panel.values),
        "tradable": np.ascontiguousarray(panel.tradable),
        "timestamps": panel.timestamps.astype("datetime64[ns]").view("i8"),
        "trading_dates": panel.trading_dates.astype("datetime64[D]").view("i8"),
        "session_minutes": np.ascontiguousarray(panel.session_minutes),
        "sectors": np.ascontiguousarray(panel.sectors),
    }
    # One entry: safetensors writes several in random order, and bytes must repeat.
    names = {"symbols": panel.symbols, "fields": panel.fields}
    axes = json.dumps({**names, "sector_names": panel.sector_names})
    save_file(arrays, path, metadata={"axes": axes})


def _read_axes(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stored:
        axes: dict[str, Any] = json.loads(stored.metadata()["axes"])
    return axes


def read_panel(path: Path) -> Panel:
    """Read a panel written by :func:`write_panel`."""
    from safetensors import safe_open

    axes = _read_axes(path)
    with safe_open(path, framework="numpy") as stored:
        return Panel(
            symbols=tuple(axes["symbols"]),
            timestamps=stored.get_tensor("timestamps").view("datetime64[ns]"),
            fields=tuple(axes["fields"]),
            values=stored.get_tensor("values"),
            tradable=stored.get_tensor("tradable"),
            trading_dates=stored.get_tensor("trading_dates").view("datetime64[D]"),
            session_minutes=stored.get_tensor("session_minutes"),
            sectors=stored.get_tensor("sectors"),
            sector_names=tuple(axes["sector_names"]),
        )


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
