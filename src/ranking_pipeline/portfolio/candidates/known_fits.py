"""Known fits: what the cache holds of one name, each fit found by its window's bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.cache.codec import Codec
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.results import DAY_SECONDS, ResultCache
from ranking_pipeline.portfolio.candidates.garch import NO_PATH, GarchPath

# The latest fits that are kept of a name: twenty vintages of five years of months.
_MOST = 1200
_FORMAT = 1  # of an entry; another number makes every stored one unknown


@dataclass(frozen=True)
class Fits:
    """Fits of one name, each array of shape (n,).

    Attributes
    ----------
    windows : ndarray of bytes
        Hex SHA-256 of the returns that each was fitted on.
    path : GarchPath
    seconds : ndarray of float64
        What each took.
    born : ndarray of datetime64[s]
        When each was made, UTC.
    """

    windows: npt.NDArray[np.bytes_]
    path: GarchPath
    seconds: npt.NDArray[np.float64]
    born: npt.NDArray[np.datetime64]

    @classmethod
    def made_now(cls, windows: Iterable[str], path: GarchPath, seconds: float) -> Fits:
        """Note fits that took some seconds together."""
        names = np.array(tuple(windows), dtype="S64")
        each = np.full(len(names), seconds / max(len(names), 1))
        return cls(names, path, each, np.full(len(names), np.datetime64("now", "s")))

    def places(self) -> dict[str, int]:
        """Place of each window."""
        return {name.decode(): place for place, name in enumerate(self.windows)}

    def taken(self, chosen: npt.NDArray[Any] | slice) -> Fits:
        """Give some of the fits, by place or mask."""
        path = GarchPath._make(column[chosen] for column in self.path)
        return Fits(self.windows[chosen], path, self.seconds[chosen], self.born[chosen])

    def joined(self, later: Fits) -> Fits:
        """Give these and then those of ``later`` whose windows are not among them."""
        known = self.places()
        unknown = [window.decode() not in known for window in later.windows]
        new = later.taken(np.array(unknown, dtype=bool))
        both = zip(self.path, new.path, strict=True)
        return Fits(
            np.concatenate([self.windows, new.windows]),
            GarchPath._make(np.concatenate(pair) for pair in both),
            np.concatenate([self.seconds, new.seconds]),
            np.concatenate([self.born, new.born]),
        )


class KnownFits:
    """The cache's entry of one name, which grows by every window that is fitted.

    Its key names the method, the options and the code, and says nothing of returns: what
    a fit rests on is the digest of its own window, beside it in the entry. Thus a fit
    is found again whichever months are asked for and whatever bars come after it. Two
    runs that add at once may lose the fits of one: they are made again, the same.

    Parameters
    ----------
    cache : CacheConfig
    made_from : mapping
        What decides every fit of the name but its window.
    """

    def __init__(self, cache: CacheConfig, made_from: Mapping[str, Any]) -> None:
        self._days = cache.ttl_days
        self._made_from = {**made_from, "format": _FORMAT}
        self._cache = ResultCache(cache, Codec())

    def find(self) -> Fits:
        """Give the fits that are not too old; none where there is no entry."""
        found = self._cache.find(self._made_from)
        if found.status != "hit":
            return Fits.made_now((), NO_PATH, 0.0)
        parts = dict(found.value)
        of_entry = [parts.pop(name) for name in ("windows", "seconds", "born")]
        fits = Fits(of_entry[0], GarchPath(**parts), *of_entry[1:])
        if self._days is None:
            return fits
        age = (np.datetime64("now", "s") - fits.born) / np.timedelta64(1, "s")
        return fits.taken(age <= self._days * DAY_SECONDS)

    def add(self, fits: Fits) -> str:
        """Keep fits beside those of the entry; say why where it cannot be done."""
        kept = self.find().joined(fits).taken(slice(-_MOST, None))
        value = {
            "windows": kept.windows, "seconds": kept.seconds, "born": kept.born,
            **kept.path._asdict(),
        }  # fmt: skip
        return self._cache.keep(self._made_from, value, float(kept.seconds.sum()))
