"""Job check: whether the workers that are asked for can be had, before hours of work."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.dask_engine import (
    distributed_package,
    no_scheduler,
    scheduler_file,
)
from ranking_pipeline.jobs.engines import executor_factory
from ranking_pipeline.jobs.run import check_serial

_SECONDS = 5.0
_SOCKETS = ("", "tcp", "tls")


def check_jobs(config: JobsConfig) -> None:
    """Refuse an engine that cannot run, within a few seconds.

    Nothing is started; at the door of a dask scheduler somebody has to answer. What
    passes can still fail later, when a worker or the scheduler goes.

    Parameters
    ----------
    config : JobsConfig

    Raises
    ------
    UserError
        For an engine that does not exist or whose package is missing, a time limit with
        the serial engine, a scheduler file that is missing or is none, and an address
        at which nobody answers.
    """
    if config.engine == "serial":
        check_serial(config.timeout_seconds, config.family_timeout_seconds)
    elif config.engine == "dask":
        distributed_package()
        if config.address is not None:
            _check_scheduler(config.address)
    elif config.engine != "loky":
        executor_factory(config.engine)


def _check_scheduler(address: str) -> None:
    file = scheduler_file(address)
    contact = address if file is None else _contact(file)
    parts = urlsplit(contact if "://" in contact else f"tcp://{contact}")
    if parts.scheme not in _SOCKETS:
        return  # only dask itself can open other connections
    try:
        place = (parts.hostname or "", parts.port or 0)
        with socket.create_connection(place, timeout=_SECONDS):
            return
    except (OSError, ValueError) as error:
        raise no_scheduler(address, error) from None


def _contact(file: Path) -> str:
    """Address that a scheduler file names."""
    try:
        return str(json.loads(file.read_text("utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"jobs.address: {file} is no scheduler file ({type(error).__name__}: "
            f"{error}). `dask scheduler --scheduler-file {file}` writes one."
        ) from None
