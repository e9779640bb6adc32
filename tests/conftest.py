"""Fixtures that several rooms share: the shipped parameters and small bars."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ranking_pipeline.panel import OHLCV, Panel
from tests.running import Place

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that read real bars where there are none."""
    if not REAL_DATA.exists():
        for item in items:
            if "realdata" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no real bars on this machine"))


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    return REAL_DATA


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place in which the whole job has run once, on the smoke market.

    The workers of one test run share it, so a test only reads it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, done = shared / "whole", shared / "whole.done"
    with (shared / "whole.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed
            Place.make(folder).run()
            done.touch()
    return Place(folder)


@pytest.fixture
def copied(finished: Place, tmp_path: Path) -> Place:
    """The same outputs, for a test that changes them."""
    return finished.copy(tmp_path)


@pytest.fixture(scope="session")
def base_parameters() -> dict[str, Any]:
    """The sections of ``conf/base``, as YAML holds them."""
    sections: dict[str, Any] = {}
    for path in sorted((PROJECT / "conf" / "base").glob("parameters*.yml")):
        sections.update(yaml.safe_load(path.read_text("utf-8")))
    return sections


@pytest.fixture(scope="session")
def random_walk_panel() -> Panel:
    """Eight symbols, 120 days, one gap and one late listing."""
    rng = np.random.default_rng(11)
    n_symbols, n_bars = 8, 120
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_symbols, n_bars)), axis=1))
    opening = close * np.exp(rng.normal(0, 0.005, close.shape))
    high = np.maximum(opening, close) * 1.01
    low = np.minimum(opening, close) * 0.99
    volume = np.exp(rng.normal(12, 0.5, close.shape))
    values = np.stack([opening, high, low, close, volume], axis=-1).astype(np.float32)
    values[2, 40:43] = np.nan
    values[5, :30] = np.nan
    days = np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(
        1, "D"
    )
    return Panel(
        symbols=tuple(f"SYM{i}" for i in range(n_symbols)),
        timestamps=days,
        fields=OHLCV,
        values=values,
        tradable=~np.isnan(values[:, :, 3]),
    )
