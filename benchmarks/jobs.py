"""jobs: overhead per job and memory over the frame's size, beside the naive ways."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness import Row, _proportional_kilobytes, row
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.storage import sha256_file

WORKERS = 2
N_JOBS, N_NAIVE_JOBS = 200, 10
N_ROWS, N_COLUMNS = 500_000, 50  # 200 MB of float64
SECONDS_OF_WORK = 0.05


@dataclass(frozen=True)
class Job:
    """A little work on one column of a stored frame."""

    job_id: str
    column: int
    path: str
    sha256: str


@dataclass(frozen=True)
class Case:
    """Wall ms per job beyond the jobs' own time over the workers, and the peak in MB."""

    overhead_ms: float
    peak_mb: float


def run(rounds: int | None) -> list[Row]:
    """Measure both engines, ``rounds`` times (3 by default), and the naive ways once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.npy"
        rng = np.random.default_rng(0)
        np.save(path, rng.standard_normal((N_COLUMNS, N_ROWS)))
        frame_mb = path.stat().st_size / 2**20
        base_mb = _megabytes()
        jobs = _jobs(path, N_JOBS)
        naive = {"loky": _naive_loky, "dask": _naive_dask}
        rows: list[Row] = []
        for engine in ("loky", "dask"):
            ours = [_seam(engine, jobs) for _ in range(rounds or 3)]
            peer = naive[engine](path)
            peers = [peer] * len(ours)
            rows += _rows(engine, ours, peers, frame_mb, base_mb)
    return rows


def _rows(
    engine: str, ours: list[Case], peers: list[Case], frame_mb: float, base_mb: float
) -> list[Row]:
    def times_the_frame(cases: list[Case]) -> list[float]:
        return [(case.peak_mb - base_mb) / frame_mb for case in cases]

    overheads = [[case.overhead_ms for case in side] for side in (ours, peers)]
    return [
        row(f"overhead {engine}", "ms/job", *overheads),
        row(f"peak {engine}", "MB", *[[c.peak_mb for c in s] for s in (ours, peers)]),
        row(
            f"memory {engine}",
            "x frame beyond the parent",
            times_the_frame(ours),
            times_the_frame(peers),
        ),
    ]


def _jobs(path: Path, n: int) -> list[Job]:
    sha256 = sha256_file(path)
    return [Job(f"job:{k}", k % N_COLUMNS, str(path), sha256) for k in range(n)]


def work_on_file(job: Job) -> float:
    """Map the frame into memory and work on one column; this runs in a worker."""
    return _work(np.load(job.path, mmap_mode="r")[job.column])


def work_on_frame(frame: pd.DataFrame, column: int) -> tuple[float, float]:
    """Do the same work on a frame that came as an argument; and the seconds it took."""
    start = time.perf_counter()
    found = _work(frame[column].to_numpy())
    return found, time.perf_counter() - start


def _work(column: Any) -> float:
    """Use the processor for a fixed time, so that overhead is all that differs."""
    total, end = 0.0, time.perf_counter() + SECONDS_OF_WORK
    while time.perf_counter() < end:
        total = float(np.sum(column))
    return total


def _seam(engine: str, jobs: list[Job]) -> Case:
    """Run jobs over the seam, ledger and all; the first ones warm the workers up."""
    with tempfile.TemporaryDirectory() as folder, _peak() as peak:
        ended: dict[str, Outcome] = {}
        start = 0.0
        options: dict[str, Any] = {"engine": engine, "workers": WORKERS, "threads": 1}
        if engine == "loky":  # its workers stay from one call to the next
            list(run_jobs(jobs[: 2 * WORKERS], work_on_file, **options))
            start = time.perf_counter()
        for job_id, outcome in run_jobs(
            jobs, work_on_file, ledger=Path(folder), **options
        ):
            ended[job_id] = outcome
            if len(ended) == 2 * WORKERS and engine == "dask":
                start, warm = (
                    time.perf_counter(),
                    sum(o.seconds for o in ended.values()),
                )
            last = time.perf_counter()
    skipped = 2 * WORKERS if engine == "dask" else 0
    busy = sum(o.seconds for o in ended.values()) - (warm if skipped else 0.0)
    if any(o.status != "done" for o in ended.values()):
        raise RuntimeError(f"jobs failed on {engine}")
    return Case(_overhead(last - start, busy, len(jobs) - skipped), peak[0])


def _overhead(seconds: float, busy: float, n: int) -> float:
    return 1e3 * (seconds - busy / WORKERS) / n


def _naive_loky(path: Path) -> Case:
    """Joblib's way with memory maps switched off: the frame is pickled for each job."""
    from loky import ProcessPoolExecutor

    frame = pd.DataFrame(np.load(path).T)
    with _peak() as peak, ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(abs, range(2 * WORKERS)))
        start = time.perf_counter()
        futures = [pool.submit(work_on_frame, frame, k) for k in range(N_NAIVE_JOBS)]
        busy = sum(future.result()[1] for future in futures)
        seconds = time.perf_counter() - start
    return Case(_overhead(seconds, busy, N_NAIVE_JOBS), peak[0])


def _naive_dask(path: Path) -> Case:
    """Give dask the frame as a plain argument of each task."""
    import logging
    import warnings
    from importlib import import_module

    distributed = import_module("distributed")
    frame = pd.DataFrame(np.load(path).T)
    options = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    warnings.simplefilter("ignore")
    with (
        _peak() as peak,
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, memory_limit=0, **options
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.gather(client.map(abs, range(2 * WORKERS)))
        start = time.perf_counter()
        futures = [
            client.submit(work_on_frame, frame, k, pure=False)
            for k in range(N_NAIVE_JOBS)
        ]
        busy = sum(found[1] for found in client.gather(futures))
        seconds = time.perf_counter() - start
    return Case(_overhead(seconds, busy, N_NAIVE_JOBS), peak[0])


@contextmanager
def _peak() -> Iterator[list[float]]:
    """Sample the proportional set size of this process's tree; the peak in MB."""
    peak, ended = [_megabytes()], threading.Event()

    def sample() -> None:
        while not ended.wait(0.1):
            peak[0] = max(peak[0], _megabytes())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _megabytes() -> float:
    """Sum over this process and its workers, whichever thread of it started them."""
    pids = [os.getpid(), *(p.pid for p in multiprocessing.active_children() if p.pid)]
    return sum(_proportional_kilobytes(pid) for pid in pids) / 1024
