"""Several processes that train one network, each on its share of every batch."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy.typing as npt
import torch
from torch import Tensor, distributed

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.work_folder import (
    Arrays,
    Report,
    SendLogs,
    WorkFolder,
)

# A worker is a plain command: what it is to do stands in the folder it is given.
_START = (
    "import json, sys; from pathlib import Path; "
    "sys.path[:] = json.loads(Path(sys.argv[1], 'path.json').read_text()); "
    "from ranking_pipeline.learning.distributed import run_worker; "
    "run_worker(Path(sys.argv[1]))"
)
_WATCH_SECONDS = 0.5
_STOPPING_SECONDS = 5


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training.

    Attributes
    ----------
    rank : int
        This process, from 0.
    size : int
        Number of processes.
    """

    rank: int
    size: int

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place, and return it."""
        distributed.all_reduce(tensor)
        return tensor


@dataclass(frozen=True)
class Share:
    """What the function of :func:`train_distributed` is given in each process.

    Attributes
    ----------
    arrays : dict of ndarray
        Mapped from files: the processes share one copy in memory. Writing to an array
        changes this process's view alone.
    options : dict
        Plain values, as they were given.
    device : str
        ``cpu``, or ``cuda``: this process's own GPU is the current one.
    group : ProcessGroup
    report : callable
        Sends a dict of plain values to the process that started the work. What rank 0
        sends arrives; the others' reports are dropped.
    """

    arrays: dict[str, npt.NDArray[Any]]
    options: dict[str, Any]
    device: str
    group: ProcessGroup
    report: Report


@dataclass(frozen=True)
class Outcome:
    """What the function returned in rank 0: arrays by name, and plain values."""

    arrays: dict[str, npt.NDArray[Any]]
    values: dict[str, Any]


def train_distributed(
    function: str,
    arrays: Arrays,
    options: Mapping[str, Any],
    *,
    processes: int,
    device: str = "cpu",
    threads: int = 1,
    timeout_seconds: float = 1800.0,
    on_report: Report | None = None,
    folder: Path | None = None,
) -> Outcome:
    """Run one function in several processes that train one network together.

    Every process does the same training on the same data. The function hands its
    process group to the loop, which takes the process's share of the cross-sections of
    each batch and sums the gradients: the losses are those of one process.

    Parameters
    ----------
    function : str
        ``package.module:name`` of a function that takes a :class:`Share` and returns
        (arrays by name, plain values).
    arrays : mapping of ndarray
        Written once to a temporary folder, from which all processes map them.
    options : mapping
        Values that JSON can hold.
    processes : int
        With ``cuda`` at most one for each GPU.
    device : str
        ``cpu`` (the processes talk through gloo) or ``cuda`` (through nccl).
    threads : int
        CPU threads of each process.
    timeout_seconds : float
        Longest wait of one process for the others.
    on_report : callable, optional
        Called with each dict that rank 0 reports, in a thread of its own.
    folder : Path, optional
        Where the temporary folder is made; it must have room for the arrays.

    Raises
    ------
    UserError
        When there are too few GPUs, when the function raised a UserError in a process
        (with the same message), or when a process was killed.
    RuntimeError
        When the function raised anything else; it holds the traceback.

    Notes
    -----
    When this process ends, the others end, after a SIGKILL too: they watch it.
    """
    _check(processes, device)
    with tempfile.TemporaryDirectory(prefix="training-", dir=folder) as name:
        work = WorkFolder(Path(name))
        work.write_json("path", sys.path)
        work.write_arrays("arrays", arrays)
        job = {
            "function": function,
            "options": dict(options),
            "device": device,
            "threads": threads,
            "timeout_seconds": timeout_seconds,
            "parent": os.getpid(),
            "log_level": logging.getLogger("ranking_pipeline").getEffectiveLevel(),
        }
        work.write_json("job", job)
        with work.delivering(on_report):
            _launch(work, processes, timeout_seconds)
        return Outcome(
            work.read_arrays("result", mapped=False), work.read_json("values")
        )


def run_worker(path: Path) -> None:
    """Do one process's share of the work in a folder; a launcher calls this.

    The environment tells the rank, as torchrun sets it.
    """
    work = WorkFolder(path)
    job = work.read_json("job")
    _follow(job["parent"], path)
    rank = int(os.environ["RANK"])
    try:
        torch.set_num_threads(job["threads"])
        _join(job, int(os.environ["LOCAL_RANK"]))
        if rank == 0:
            _send_logs(work, job["log_level"])
        share = Share(
            work.read_arrays("arrays", mapped=True),
            job["options"],
            job["device"],
            ProcessGroup(rank, int(os.environ["WORLD_SIZE"])),
            _reporter(work, rank),
        )
        arrays, values = _resolved(job["function"])(share)
        if rank == 0:
            work.write_arrays("result", arrays)
            work.write_json("values", values)
        # Nobody leaves while another still needs the connections.
        distributed.barrier()
    except BaseException as error:  # noqa: BLE001 - the parent is told, whatever it is
        work.write_error(rank, error)
        _leave(1)
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End the process at once.

    After a failure an orderly end would wait for processes that may be gone; and after
    a success it crashed now and then, in the threads of the connections.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _check(processes: int, device: str) -> None:
    if processes < 1:
        raise UserError(f"training.processes is {processes}; use 1 or more.")
    if device not in {"cpu", "cuda"}:
        raise UserError(f"device is {device!r}; several processes need cpu or cuda.")
    places = torch.cuda.device_count() if device == "cuda" else processes
    if processes > places:
        raise UserError(
            f"training.processes is {processes} but torch sees {places} GPUs; use at "
            "most one process for each GPU, or device 'cpu'."
        )


def _launch(work: WorkFolder, processes: int, timeout_seconds: float) -> None:
    """Start the processes as torchrun does, and wait for all of them."""
    # Imported here: the loop wants the group alone, and these take long to import.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logs = work.path / "logs"
    logs.mkdir()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=work.path.name,
        role="train",
        # Port 0: the system picks free ones, so that two trainings never meet.
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        rdzv_configs={"timeout": 300},
        local_addr="localhost",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL),
    )
    if hasattr(config, "shutdown_timeout"):  # torch 2.11 waits 30 seconds, always
        config.shutdown_timeout = _STOPPING_SECONDS
    start = elastic_launch(config, sys.executable)
    codes: dict[int, int] = {}
    with _quiet(), _same_signal_handlers():
        try:
            start("-c", _START, str(work.path))
        except ChildFailedError as error:
            codes = {rank: end.exitcode for rank, end in error.failures.items()}
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise
    if codes:
        _raise_first_error(work, codes)


def _raise_first_error(work: WorkFolder, exit_codes: Mapping[int, int]) -> NoReturn:
    """Raise what ended the training, not what followed from it.

    A user's error comes first; then a kill, which leaves no trace but its exit code;
    then the earliest error.
    """
    errors = work.errors()
    if errors and errors[0]["user"]:
        raise UserError(errors[0]["message"])
    for rank, code in exit_codes.items():
        if code == -signal.SIGKILL:
            raise UserError(
                f"training process {rank} was killed (out of memory?). Start again: "
                "with a checkpoint it goes on from there."
            )
    # The launcher ends the others with SIGTERM: they tell nothing.
    crashed = [
        r for r, code in exit_codes.items() if code < 0 and code != -signal.SIGTERM
    ]
    said = "\n".join(_last_lines(work.path, rank) for rank in crashed)
    if errors and not said:
        said = errors[0]["traceback"]
    raise RuntimeError(f"a training process failed, codes {exit_codes}:\n{said}")


def _last_lines(work: Path, rank: int) -> str:
    files = [file for file in work.rglob("stderr.log") if file.parent.name == str(rank)]
    return "\n".join(file.read_text(errors="replace")[-2000:] for file in files)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the launcher's own account back: the error that is raised says it all."""
    names = ("torch.distributed.elastic", "torchelastic-events-null")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _same_signal_handlers() -> Iterator[None]:
    """Put back the signal handlers that the launcher replaces for good."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _join(job: Mapping[str, Any], local_rank: int) -> None:
    """Meet the other processes."""
    backend = "gloo"
    if job["device"] == "cuda":
        backend = "nccl"
        torch.cuda.set_device(local_rank)
    elif sys.platform == "linux":
        # All are on this machine, and its own name may lead nowhere.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    patience = timedelta(seconds=job["timeout_seconds"])
    distributed.init_process_group(backend, timeout=patience)


def _follow(parent: int, work: Path) -> None:
    """End this process, and clear up, when the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        shutil.rmtree(work, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="follow-parent").start()


def _send_logs(work: WorkFolder, level: int) -> None:
    logger = logging.getLogger("ranking_pipeline")
    logger.setLevel(level)
    logger.addHandler(SendLogs(work))


def _reporter(work: WorkFolder, rank: int) -> Report:
    def report(content: dict[str, Any]) -> None:
        if rank == 0:
            work.send("report", content=content)

    return report


def _resolved(function: str) -> Callable[[Share], tuple[Arrays, Mapping[str, Any]]]:
    module, _, name = function.partition(":")
    found: Callable[[Share], tuple[Arrays, Mapping[str, Any]]]
    found = getattr(import_module(module), name)
    return found
