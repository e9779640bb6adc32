"""Study journal: a study on a file that survives the death of its writer."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import sync

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

_log = logging.getLogger(__name__)


def require_optuna() -> Any:
    """Import Optuna, quiet: the studies have a progress bar.

    Raises
    ------
    UserError
        When it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UserError(
            "tuning needs the package 'optuna', which is not installed: "
            "pip install 'ranking_pipeline[tuning]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def open_journal(path: Path) -> Iterator[JournalStorage]:
    """Open a study's storage, alone, after mending what a killed run left.

    Parameters
    ----------
    path : Path
        One operation per line, as Optuna writes them; made where it is not there.

    Raises
    ------
    UserError
        When another process works on the study, or Optuna is not installed.
    """
    require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        dropped = repair(path)
        if dropped:
            _log.warning(
                "tuning: the last %d bytes of %s were torn; dropped", dropped, path
            )
        # We hold the kernel's lock: Optuna's own is a dead run's, if it is there.
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        lock = JournalFileOpenLock(str(path))
        yield JournalStorage(JournalFileBackend(str(path), lock))


def repair(path: Path) -> int:
    """Cut a journal where its first line does not hold; count the bytes dropped.

    A run that dies while it writes leaves half a line, and what would be appended to it
    could never be read.
    """
    if not path.exists():
        return 0
    sound = 0
    with path.open("rb") as stream:
        for line in stream:
            if not _is_whole(line):
                break
            sound += len(line)
        size = stream.seek(0, os.SEEK_END)
    if sound < size:
        os.truncate(path, sound)
        sync(path)
    return size - sound


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the study's lock, which the kernel frees when its holder dies."""
    import fcntl

    with path.with_name(f"{path.name}.held").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"tuning: another process works on the study {path}; wait for it, or "
                "name another folder in tuning.studies"
            ) from None
        yield
