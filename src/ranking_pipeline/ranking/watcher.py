"""Watcher: hears how a training goes."""

from __future__ import annotations

HistoryRow = dict[str, float]


class Watcher:
    """Hears how training goes; this one does nothing with it."""

    def start(self, windows: int) -> None:
        """Training begins, of at most so many windows over all epochs and seeds."""

    def step(self, windows: int) -> None:
        """A step took so many windows."""

    def epoch(self, row: HistoryRow) -> None:
        """An epoch is over; the row also holds ``windows_per_second``."""

    def reach(self, windows: int) -> None:
        """So many windows need no more steps: a seed has stopped, early or not."""
