"""Job check: what cannot run is told at once, and nothing is started."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.tasks import config

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.check import check_jobs


@pytest.fixture
def door() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def closed_door() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "serial"},
        {"engine": "loky", "timeout_seconds": 3.0},
        {"engine": "dask"},
        {"engine": "tests.jobs.tasks:own_pool"},
    ],
)
def test_what_can_run_passes(changes: dict[str, Any], tmp_path: Path) -> None:
    check_jobs(config(tmp_path, **changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"engine": "serial", "timeout_seconds": 3.0}, "timeout_seconds 3 needs"),
        ({"engine": "tests.jobs.tasks:no_pool"}, "no_pool' does not exist"),
        ({"engine": "no_such_package:pool"}, "no_such_package:pool' does not exist"),
        ({"engine": "dask", "address": "/none/s.json"}, "no scheduler file /none/s"),
    ],
)
def test_what_cannot_run_is_named(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        check_jobs(config(tmp_path, **changes))


@pytest.mark.parametrize("scheme", ["tcp://", "tls://", ""])
def test_somebody_has_to_answer(
    scheme: str, door: int, closed_door: int, tmp_path: Path
) -> None:
    check_jobs(config(tmp_path, engine="dask", address=f"{scheme}127.0.0.1:{door}"))
    address = f"{scheme}127.0.0.1:{closed_door}"
    with pytest.raises(UserError, match=r"no dask scheduler answers .*refused"):
        check_jobs(config(tmp_path, engine="dask", address=address))


def test_a_scheduler_file_is_followed(
    door: int, closed_door: int, tmp_path: Path
) -> None:
    file = tmp_path / "scheduler.json"
    ours = config(tmp_path, engine="dask", address=str(file))
    file.write_text(json.dumps({"address": f"tcp://127.0.0.1:{door}"}))
    check_jobs(ours)
    file.write_text(json.dumps({"address": f"tcp://127.0.0.1:{closed_door}"}))
    with pytest.raises(UserError, match=r"scheduler\.json.*no dask scheduler answers"):
        check_jobs(ours)
    file.write_text("[]")
    with pytest.raises(UserError, match="is no scheduler file"):
        check_jobs(ours)
