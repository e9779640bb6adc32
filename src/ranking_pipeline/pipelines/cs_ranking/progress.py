"""Progress bar of the ranking network: windows per second, loss, IC and time left."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from ranking_pipeline.ranking.ranker import Watcher

log = logging.getLogger(__name__)


@contextmanager
def progress_bar(title: str) -> Iterator[Watcher]:
    """Show a bar while training goes on; it counts windows over all seeds and epochs.

    A seed that stops early, or that a checkpoint has brought forward, lets it jump to
    the seed's end. Where nobody watches (the output is no terminal) each epoch is a
    line of the log instead.
    """
    with tqdm(
        desc=f"ranking network, {title}", unit=" windows", unit_scale=True, disable=None
    ) as bar:
        yield _Bar(bar)


class _Bar(Watcher):
    def __init__(self, bar: tqdm[None]) -> None:
        self._bar = bar

    def start(self, windows: int) -> None:
        if not self._bar.disable:
            self._bar.reset(total=windows)

    def step(self, windows: int) -> None:
        # Bars differ in size: a capped epoch may take a few windows more than foreseen.
        self._bar.update(min(windows, (self._bar.total or windows) - self._bar.n))

    def reach(self, windows: int) -> None:
        self._bar.update(windows - self._bar.n)

    def epoch(self, row: dict[str, float]) -> None:
        shown = {
            "seed": f"{row['seed']:.0f}",
            "epoch": f"{row['epoch']:.0f}",
            "loss": f"{row['train_loss']:.4f}",
            "train IC": f"{row['train_ic']:.3f}",
        }
        if "validation_ic" in row:
            shown["IC"] = f"{row['validation_ic']:.3f}"
        if self._bar.disable:
            said = ", ".join(f"{name} {value}" for name, value in shown.items())
            log.info("%s; %.0f windows/s", said, row["windows_per_second"])
        else:
            self._bar.set_postfix(shown)
