"""Entry store: folders of files, addressed by the hash of what they were made from."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import sha256_file, sync, write_json

MANIFEST = "manifest.json"
_SCRATCH_PREFIX = ".scratch-"
_KEY_LENGTH = 64
_SWAPS = 20


@dataclass(frozen=True)
class Entry:
    """One finished entry of a store.

    Attributes
    ----------
    key
        Hash of everything that the entry was made from.
    folder
        Where its files are.
    files
        Hex SHA-256 by file name.
    facts
        What its maker recorded.
    """

    key: str
    folder: Path
    files: Mapping[str, str]
    facts: Mapping[str, Any]


class EntryStore:
    """Folders ``<key[:2]>/<key>/`` under a root, each vouched for by its manifest.

    An entry is made in a scratch folder, its manifest last, and gets its name in one
    step: a reader sees all of it or nothing, wherever a writer is killed. Every file's
    hash is checked before a parser sees a byte of it, because native parsers crash the
    process on damaged bytes and text.
    """

    title: ClassVar[str] = "cache"
    content: ClassVar[str] = "entry"
    remedy: str = "It is to be made again"
    manifest: ClassVar[str] = MANIFEST

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Where an entry lives, finished or not."""
        if len(key) != _KEY_LENGTH or set(key) - set("0123456789abcdef"):
            raise UserError(f"{key!r} is no key of the {self.title} (64 hex digits).")
        return self.root / key[:2] / key

    def find(self, key: str) -> Entry | None:
        """Find a finished and undamaged entry; None: it is to be made (again)."""
        try:
            return self.verified(key)
        except UserError:
            return None

    def listed(self, key: str) -> Entry:
        """Read the manifest of an entry, its files unseen.

        Raises
        ------
        UserError
            When the entry is missing or unfinished.
        """
        folder = self.folder(key)
        try:
            document = json.loads(self.manifest_of(key).read_text("utf-8"))
            return Entry(key, folder, *self._parts(document))
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.title} {self.root} has no finished {self.content} {key}. "
                f"{self.remedy}."
            ) from None

    def entries(self) -> Iterator[Entry]:
        """List the finished entries, their files unseen."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]/*")):
            with suppress(UserError):
                yield self.listed(folder.name)

    def verified(self, key: str) -> Entry:
        """Get a finished entry after checking every file against the manifest.

        Hidden files, which file managers leave and nothing here reads, do not count.

        Raises
        ------
        UserError
            When the entry is missing, unfinished or altered, or has a file that its
            manifest does not list.
        """
        entry = self.listed(key)
        self._refuse_unlisted(entry)
        for name, sha256 in entry.files.items():
            path = entry.folder / name
            if Path(name).name != name:
                raise UserError(f"{path} is no file of an entry. {self.remedy}.")
            try:
                found = sha256_file(path)
            except OSError as problem:
                raise self._unreadable(path, problem) from None
            if found != sha256:
                raise UserError(
                    f"{path} is damaged or was altered: its SHA-256 differs from the "
                    f"manifest. It is not opened. {self.remedy}."
                )
        return entry

    def _refuse_unlisted(self, entry: Entry) -> None:
        listed = {*entry.files, self.manifest_of(entry.key).name}
        try:
            found = sorted(path.name for path in entry.folder.iterdir())
        except OSError as problem:
            raise self._unreadable(entry.folder, problem) from None
        for name in found:
            if name not in listed and not name.startswith("."):
                raise UserError(
                    f"{entry.folder / name} is not listed in the manifest: nothing "
                    f"vouches for its content. It is not opened. {self.remedy}."
                )

    def _unreadable(self, path: Path, problem: OSError) -> UserError:
        return UserError(
            f"{path} is missing or unreadable ({problem.strerror}). {self.remedy}."
        )

    def manifest_of(self, key: str) -> Path:
        """Where the manifest of an entry is."""
        return self.folder(key) / self.manifest

    def write(
        self, key: str, fill: Callable[[Path], None], facts: Mapping[str, Any]
    ) -> Entry:
        """Make an entry: ``fill`` writes its files into a scratch folder.

        An entry of the same key is replaced. Two writers of one key write the same
        content, so it does not matter whose stays.
        """
        folder = self.folder(key)
        with self._scratch() as scratch:
            fill(scratch)
            made = sorted(scratch.iterdir())
            files = {path.name: sha256_file(path) for path in made}
            for path in made:
                sync(path)
            write_json(scratch / self.manifest, self._document(files, dict(facts)))
            self._install(scratch, folder)
        return Entry(key, folder, files, dict(facts))

    def _document(self, files: dict[str, str], facts: dict[str, Any]) -> dict[str, Any]:
        """Make the manifest of an entry."""
        return {"files": files, "facts": facts}

    def _parts(self, document: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """Take files and facts out of a manifest."""
        return dict(document["files"]), dict(document["facts"])

    def sweep(self, older_than_seconds: float | None = None) -> int:
        """Remove the scratch folders of dead writers, and entries above an age.

        A living writer holds a lock on its scratch folder, which the kernel frees when
        it dies: what is locked stays. An entry's age is that of its manifest.

        Returns
        -------
        int
            Number of folders removed.
        """
        scratches = list(self.root.glob(f"{_SCRATCH_PREFIX}*"))
        gone = [self._remove_dead(scratch) for scratch in scratches]
        gone += [self._remove(folder) for folder in self._old(older_than_seconds)]
        return sum(gone)

    def _old(self, age: float | None) -> list[Path]:
        if age is None:
            return []
        limit, found = time.time() - age, []
        for manifest in self.root.glob(f"[0-9a-f][0-9a-f]/*/{self.manifest}"):
            with suppress(FileNotFoundError):
                if manifest.stat().st_mtime < limit:
                    found.append(manifest.parent)
        return found

    def _remove_dead(self, scratch: Path) -> bool:
        """Remove a scratch folder unless a living process holds its lock."""
        try:
            # held until the name is gone: no writer may take the folder in between
            with _lock(scratch):
                return self._remove(scratch)
        except (BlockingIOError, FileNotFoundError):
            return False

    def _remove(self, folder: Path) -> bool:
        """Take a folder out of sight in one step, then delete it."""
        hidden = self.root / f"{_SCRATCH_PREFIX}{uuid.uuid4().hex}"
        try:
            os.rename(folder, hidden)
        except OSError:
            return False
        if hidden.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            hidden.unlink(missing_ok=True)
        return True

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Yield an empty folder that a sweep leaves alone while this process lives."""
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            scratch = self._claim(held)
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _claim(self, held: ExitStack) -> Path:
        """Make a folder and lock it; another one where a sweep was quicker."""
        while True:
            scratch = self.root / f"{_SCRATCH_PREFIX}{uuid.uuid4().hex}"
            scratch.mkdir()
            with suppress(BlockingIOError, FileNotFoundError):
                held.enter_context(_lock(scratch))
                if scratch.exists():
                    return scratch

    def _install(self, scratch: Path, folder: Path) -> None:
        """Give a complete folder its name, in the place of what has it now."""
        sync(scratch)
        folder.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_SWAPS):
            try:
                os.rename(scratch, folder)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                    raise
                self._remove(folder)
            else:
                sync(folder.parent)
                return
        raise UserError(
            f"{folder} is written again and again by other processes. Give this run a "
            f"{self.title} of its own."
        )


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the kernel's lock on a folder; it ends with the process at the latest."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
