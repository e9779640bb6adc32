"""What benchmarks share: rows, the machine, private data roots, and measured runs."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data"
Row = dict[str, Any]


def row(case: str, unit: str, ours: Sequence[float], peer: Sequence[float] = ()) -> Row:
    """One row: medians, and the ratio with its spread over paired rounds.

    Parameters
    ----------
    ours, peer
        One figure per round, smaller is better; ``peer`` is empty where there is none.
    """
    ratios = [b / a for a, b in zip(ours, peer, strict=True)] if peer else []
    return {
        "case": case,
        "unit": unit,
        "ours": statistics.median(ours),
        "peer": statistics.median(peer) if peer else None,
        "ratio": statistics.median(ratios) if ratios else None,
        "low": min(ratios) if ratios else min(ours),
        "high": max(ratios) if ratios else max(ours),
    }


def environment() -> Row:
    """Machine and versions, so that two files can be compared."""
    packages = ("kedro", "lightgbm", "numpy", "pandas", "torch")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        **{name: version(name) for name in packages},
    }


def private_conf(folder: Path, env: str = "base") -> Path:
    """Copy the configuration with a data root below ``folder``."""
    conf = folder / "conf"
    shutil.copytree(PROJECT / "conf", conf)
    root = {"data_root": str(folder / "data")}
    (conf / env / "globals.yml").write_text(yaml.safe_dump(root), encoding="utf-8")
    return conf


@dataclass(frozen=True)
class Measured:
    """Wall seconds, and the peak of the memory of a process and its children in MB."""

    seconds: float
    peak_mb: float


def kedro_run(conf: Path, *arguments: str) -> Measured:
    """Run ``kedro run`` on a private configuration and measure it."""
    command = [
        sys.executable,
        "-m",
        "kedro",
        "run",
        f"--conf-source={conf}",
        *arguments,
    ]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL) as process:
        peak = _PeakMemory(process.pid)
        peak.start()
        code = process.wait()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with code {code}")
    return Measured(time.perf_counter() - started, peak.megabytes)


class _PeakMemory(threading.Thread):
    """Sample the proportional set size of a process tree until it is gone."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.megabytes = 0.0

    def run(self) -> None:
        while Path(f"/proc/{self._pid}").exists():
            kilobytes = sum(_proportional_kilobytes(pid) for pid in _tree(self._pid))
            self.megabytes = max(self.megabytes, kilobytes / 1024)
            time.sleep(0.2)


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _tree(int(child)))]


def _proportional_kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
