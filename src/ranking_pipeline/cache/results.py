"""Result cache: values computed by earlier runs, found by what they were made from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from ranking_pipeline.cache.codec import Codec
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.entries import Entry, EntryStore
from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import sha256_bytes, sha256_json

Status = Literal["hit", "miss", "expired", "damaged", "forced", "disabled"]
DAY_SECONDS = 86_400.0
_FUTURE = timedelta(days=1)  # clocks of machines differ, but not by more
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a look into the cache gave.

    Attributes
    ----------
    status
        ``hit``, or why there is no value.
    value
        The stored value; None unless a hit.
    seconds
        What the value once took to compute; 0 unless a hit.
    """

    status: Status
    value: Any = None
    seconds: float = 0.0


class ResultCache:
    """Values under the hash of everything that they were made from.

    Nothing is believed that cannot be checked: the manifest must name the origin whose
    hash is the key, and every file must have the recorded hash. What fails is reported
    as damaged, with a warning, and is to be computed again.

    Parameters
    ----------
    config : CacheConfig
    codec : Codec
        Knows the types of the values.
    """

    def __init__(self, config: CacheConfig, codec: Codec) -> None:
        self._config, self._codec = config, codec
        self.store = EntryStore(Path(config.store))

    def find(self, made_from: Mapping[str, Any]) -> Found:
        """Look for the value made from ``made_from``, a JSON object."""
        if not self._config.enabled:
            return Found("disabled")
        if self._config.force_refresh:
            return Found("forced")
        key = sha256_json(made_from)
        try:
            return self._read(key)
        except UserError:
            # Another process may have replaced the entry between two of its files.
            try:
                return self._read(key)
            except UserError as damage:
                _logger.warning("cache: %s Computed again.", damage)
                return Found("damaged")

    def keep(self, made_from: Mapping[str, Any], value: Any, seconds: float) -> str:
        """Store a value and what it took to compute.

        Returns
        -------
        str
            Why it could not be stored; empty when it was. A full disk does not undo a
            result.
        """
        if not self._config.enabled:
            return ""
        key = sha256_json(made_from)
        facts = {
            "made_from": dict(made_from),
            "created": datetime.now(UTC).isoformat(),
            "seconds": seconds,
        }
        try:
            contents = self._codec.encode(value)
            self.store.write(
                key,
                lambda folder: _fill(folder, contents),
                {**facts, "sha256": sha256_json(facts)},
            )
        except (OSError, TypeError, UserError) as problem:
            return f"{type(problem).__name__}: {problem}"
        return ""

    def nearest(
        self, made_from: Mapping[str, Any], same: Sequence[str]
    ) -> dict[str, Any] | None:
        """Give the origin of the newest entry that shares the parts named by ``same``.

        For people: it tells why a value was not found.
        """
        best: tuple[str, dict[str, Any] | None] = ("", None)
        for entry in self.store.entries():
            origin = entry.facts.get("made_from", {})
            created = str(entry.facts.get("created", ""))
            shared = all(origin.get(part) == made_from[part] for part in same)
            if shared and created > best[0]:
                best = (created, origin)
        return best[1]

    def sweep(self) -> int:
        """Remove expired entries and what dead writers left; return how many went."""
        days = self._config.ttl_days
        if not self._config.enabled:
            return 0
        return self.store.sweep(None if days is None else days * DAY_SECONDS)

    def _read(self, key: str) -> Found:
        if not self.store.folder(key).exists():
            return Found("miss")
        entry = self.store.listed(key)
        created, seconds = _checked(entry)
        if self._is_old(created):
            return Found("expired")
        contents = {name: _content(entry, name) for name in entry.files}
        try:
            value = self._codec.decode(contents)
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            raise _damage(entry, f"it cannot be decoded ({problem})") from None
        return Found("hit", value, seconds)

    def _is_old(self, created: datetime) -> bool:
        days, age = self._config.ttl_days, datetime.now(UTC) - created
        return age < -_FUTURE or (days is not None and age > timedelta(days=days))


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _checked(entry: Entry) -> tuple[datetime, float]:
    """Give the creation time and the seconds of an entry that is what it says."""
    facts = dict(entry.facts)
    if facts.pop("sha256", None) != sha256_json(facts):
        raise _damage(entry, "its manifest was altered")
    if sha256_json(facts["made_from"]) != entry.key:
        raise _damage(entry, "it is the entry of another key")
    return datetime.fromisoformat(facts["created"]), float(facts["seconds"])


def _content(entry: Entry, name: str) -> bytes:
    """Bytes of a file of an entry, checked as they are handed on."""
    if Path(name).name != name:
        raise _damage(entry, f"{name} is no file of an entry")
    try:
        content = (entry.folder / name).read_bytes()
    except OSError as problem:
        raise _damage(entry, f"{name} is missing ({problem.strerror})") from None
    if sha256_bytes(content) != entry.files[name]:
        raise _damage(entry, f"the SHA-256 of {name} differs from the manifest")
    return content


def _damage(entry: Entry, what: str) -> UserError:
    return UserError(f"{entry.folder} is damaged: {what}.")
