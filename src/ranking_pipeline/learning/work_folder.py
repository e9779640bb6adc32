"""The folder through which a process and its workers talk: files, never pickles."""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

Arrays = Mapping[str, npt.NDArray[Any]]
Report = Callable[[dict[str, Any]], None]

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class WorkFolder:
    """Job, arrays, messages, errors and result of one distributed training.

    Attributes
    ----------
    path : Path
        An empty folder of its own.
    """

    path: Path

    def write_json(self, name: str, value: object) -> None:
        """Write plain values; a reader sees all of the file or none."""
        part = self.path / f"{name}.part"
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(self.path / f"{name}.json")

    def read_json(self, name: str) -> Any:
        """Read what :meth:`write_json` wrote."""
        return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))

    def write_arrays(self, name: str, arrays: Arrays) -> None:
        """Write arrays as one file each."""
        (self.path / name).mkdir()
        for key, array in arrays.items():
            np.save(self.path / name / f"{key}.npy", array, allow_pickle=False)

    def read_arrays(self, name: str, *, mapped: bool) -> dict[str, npt.NDArray[Any]]:
        """Read arrays into memory, or map them so that readers share the memory.

        A mapped array can be written to; the change stays in this process.
        """
        return {
            file.stem: _read(file, mapped=mapped)
            for file in sorted((self.path / name).glob("*.npy"))
        }

    def write_error(self, rank: int, error: BaseException) -> None:
        """Keep what ended a worker."""
        details = {
            "user": isinstance(error, UserError),
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "time": time.time(),
        }
        self.write_json(f"error-{rank}", details)

    def errors(self) -> list[dict[str, Any]]:
        """Errors of the workers: a user's first, then by time.

        When one worker fails the others lose their connections and fail too, within
        moments: only the first error tells why.
        """
        found = [self.read_json(file.stem) for file in self.path.glob("error-*.json")]
        return sorted(found, key=lambda error: (not error["user"], error["time"]))

    @property
    def messages(self) -> Path:
        """File of messages, one JSON object per line."""
        return self.path / "messages.jsonl"

    def send(self, kind: str, **content: Any) -> None:
        """Append a message; one worker alone may send."""
        with self.messages.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind} | content) + "\n")

    @contextmanager
    def delivering(self, on_report: Report | None) -> Iterator[None]:
        """Inside the block, hand on reports and log lines as they come.

        An error that ``on_report`` raises ends the delivery and is raised at the end.
        """
        self.messages.touch()
        delivery = _Delivery(self.messages, on_report)
        delivery.start()
        try:
            yield
        finally:
            delivery.stop()
        if delivery.error is not None:
            raise delivery.error


def _read(file: Path, *, mapped: bool) -> npt.NDArray[Any]:
    with file.open("rb") as content:
        version = np.lib.format.read_magic(content)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        empty = 0 in read_header(content)[0]
    array: npt.NDArray[Any] = np.load(
        file, mmap_mode="c" if mapped and not empty else None
    )
    return array


class SendLogs(logging.Handler):
    """Sends log lines of a worker to the process that started it."""

    def __init__(self, folder: WorkFolder) -> None:
        super().__init__()
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        self._folder.send(
            "log",
            logger=record.name,
            level=record.levelno,
            message=record.getMessage(),
        )


class _Delivery(threading.Thread):
    """Reads messages while they are being written."""

    def __init__(self, path: Path, on_report: Report | None) -> None:
        super().__init__(daemon=True, name="deliver-messages")
        self._path = path
        self._on_report = on_report
        self._ended = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with self._path.open(encoding="utf-8") as file:
                last = False
                rest = ""
                while not last:
                    # Looked at before reading: what came before the end is read.
                    last = self._ended.wait(_POLL_SECONDS)
                    *lines, rest = (rest + file.read()).split("\n")
                    for line in lines:
                        self._deliver(json.loads(line))
        except Exception as error:  # noqa: BLE001 - told to the thread that waits
            self.error = error

    def stop(self) -> None:
        """Read what is left and end."""
        self._ended.set()
        self.join()

    def _deliver(self, message: dict[str, Any]) -> None:
        if message["kind"] == "log":
            logger = logging.getLogger(message["logger"])
            logger.log(message["level"], "%s", message["message"])
        elif self._on_report is not None:
            self._on_report(message["content"])
