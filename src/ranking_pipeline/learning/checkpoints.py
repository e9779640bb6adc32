"""Checkpoints: a training that was killed goes on at the very step it had reached."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.device import Group

_LOG = logging.getLogger(__name__)
_SCHEMA = 1
# Processes agree by a message on whether to write; they do so once in this many steps.
_STEPS_BETWEEN_VOTES = 16
_CONSTANTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Stateful(Protocol):
    """What can be kept and put back: a network, an optimizer, a schedule."""

    def state_dict(self) -> Mapping[str, Any]:
        """Nested dicts, lists and tuples of tensors, arrays and plain values."""

    def load_state_dict(self, state: Any) -> Any:
        """Put a state back."""


@dataclass(frozen=True)
class CheckpointFile:
    """Where a training keeps its state, and for which work.

    Parameters
    ----------
    path : Path
    key : str
        Whatever decides the result: a checkpoint with another key is not used.
    every_seconds : float
        Least time between two writes inside an epoch; 0 writes after every step. The
        end of an epoch is always written.
    """

    path: Path
    key: str
    every_seconds: float = 60.0

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file in one move, so that a kill leaves the old one or the new.

        A full disk is logged and does not end the training.
        """
        content = encode({"schema": _SCHEMA, "key": self.key, "state": state})
        try:
            self._replace(content)
        except OSError as problem:
            _LOG.warning(
                "checkpoint %s could not be written (%s); training goes on without it. "
                "Free space or check the folder's rights.",
                self.path,
                problem,
            )

    def load(self) -> dict[str, Any] | None:
        """Read the state; None, with a line in the log, where there is none to use."""
        if not self.path.exists():
            return None
        try:
            saved = decode(self.path.read_bytes())
            schema, key, state = saved["schema"], saved["key"], saved["state"]
        except Exception as problem:  # noqa: BLE001 - damaged bytes break in any way
            _LOG.warning(
                "checkpoint %s cannot be read (%s: %s); training starts anew.",
                self.path,
                type(problem).__name__,
                problem,
            )
            return None
        if (schema, key) != (_SCHEMA, self.key):
            _LOG.info(
                "checkpoint %s belongs to other work; training starts anew.", self.path
            )
            return None
        return dict(state)

    def _replace(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Keeper:
    """Writes the state of a training when it is time, and puts it back.

    Parameters
    ----------
    file : CheckpointFile or None
        None keeps nothing.
    group : Group
        Rank 0 writes; the others hand it what is theirs alone.
    shared : mapping of Stateful
        Parts that are the same in every process.
    own : mapping of Stateful
        Parts that each process has for itself; its random state is added.
    device : torch.device
    """

    def __init__(
        self,
        file: CheckpointFile | None,
        group: Group,
        shared: Mapping[str, Stateful],
        own: Mapping[str, Stateful],
        device: torch.device,
    ) -> None:
        self._file = file
        self._group = group
        self._shared = shared
        self._own = {**own, "random": RandomState(device)}
        self._device = device
        self._written = time.monotonic()
        self._steps = 0

    def resume(self) -> None:
        """Put the parts into the state of the file, where it has one for them."""
        saved = None if self._file is None else self._file.load()
        if saved is None or len(saved["own"]) != self._group.size:
            return
        _put_back(self._shared, saved["shared"])
        _put_back(self._own, decode(saved["own"][self._group.rank].tobytes()))

    def after_step(self) -> None:
        """Write when enough time has passed."""
        self._steps += 1
        if self._file is not None and self._is_due(self._file.every_seconds):
            self.write()

    def write(self) -> None:
        """Write now; every process of the group has to call it."""
        if self._file is None:
            return
        own = encode({name: part.state_dict() for name, part in self._own.items()})
        gathered = _gather(own, self._group, self._device)
        if self._group.rank == 0:
            shared = {name: part.state_dict() for name, part in self._shared.items()}
            self._file.save({"shared": shared, "own": gathered})
        self._written = time.monotonic()

    def _is_due(self, every_seconds: float) -> bool:
        due = time.monotonic() - self._written >= every_seconds
        if self._group.size == 1 or every_seconds <= 0:
            return due
        if self._steps % _STEPS_BETWEEN_VOTES:
            return False
        # The clock of rank 0 decides: all must write after the same step.
        vote = torch.tensor(float(due and self._group.rank == 0), device=self._device)
        return bool(self._group.all_reduce_(vote) > 0)


class RandomState:
    """The global random generators of torch, numpy and Python."""

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"

    def state_dict(self) -> dict[str, Any]:
        """States of the generators."""
        state = {
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),  # noqa: NPY002
            "python": random.getstate(),
        }
        return state | ({"cuda": torch.cuda.get_rng_state()} if self._on_cuda else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the generators."""
        torch.set_rng_state(state["torch"])
        np.random.set_state(state["numpy"])  # noqa: NPY002
        random.setstate(state["python"])
        if self._on_cuda:
            torch.cuda.set_rng_state(state["cuda"])


def encode(value: Any) -> bytes:
    """Write nested dicts, lists, tuples, tensors, arrays and plain values as npz.

    Each member of the archive has a checksum, and nothing is pickled.
    """
    arrays: list[npt.NDArray[Any]] = []
    text = json.dumps(_pack(value, arrays)).encode()
    members: dict[str, Any] = {f"array_{i}": part for i, part in enumerate(arrays)}
    members["document"] = np.frombuffer(text, dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def decode(content: bytes) -> Any:
    """Read what :func:`encode` wrote.

    Raises
    ------
    Exception
        Of any kind, when the content is damaged.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = [archive[f"array_{place}"] for place in range(len(archive.files) - 1)]
        text = archive["document"].tobytes()
    return _unpack(json.loads(text, parse_constant=_CONSTANTS.__getitem__), arrays)


def _pack(value: Any, arrays: list[npt.NDArray[Any]]) -> Any:
    """Move arrays out of a nested value; what is left is JSON, tagged by its type."""
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
        arrays.append(flat.numpy())
        dtype = str(value.dtype).removeprefix("torch.")
        return {"tensor": [len(arrays) - 1, dtype, list(value.shape)]}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):
        return {"dict": [[key, _pack(part, arrays)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        tag = "list" if isinstance(value, list) else "tuple"
        return {tag: [_pack(part, arrays) for part in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _unpack(value: Any, arrays: list[npt.NDArray[Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "tensor":
        place, dtype, shape = content
        made = torch.empty(shape, dtype=getattr(torch, dtype))
        if made.numel():  # an empty one has no bytes to view
            made.view(-1).view(torch.uint8).copy_(torch.from_numpy(arrays[place]))
        return made
    if tag == "array":
        return arrays[content]
    if tag == "dict":
        return {key: _unpack(part, arrays) for key, part in content}
    parts = [_unpack(part, arrays) for part in content]
    return parts if tag == "list" else tuple(parts)


def _put_back(parts: Mapping[str, Stateful], states: Mapping[str, Any]) -> None:
    for name, part in parts.items():
        part.load_state_dict(states[name])


def _gather(
    content: bytes, group: Group, device: torch.device
) -> list[npt.NDArray[np.uint8]]:
    """Bytes of every process, by rank; sums of zeros are the only message there is."""
    own = np.frombuffer(content, dtype=np.uint8)
    if group.size == 1:
        return [own]
    sizes = torch.zeros(group.size, dtype=torch.int64, device=device)
    sizes[group.rank] = len(content)
    lengths = group.all_reduce_(sizes).tolist()
    table = torch.zeros((group.size, max(lengths)), dtype=torch.int32)
    table[group.rank, : len(content)] = torch.from_numpy(own.astype(np.int32))
    rows = group.all_reduce_(table.to(device)).cpu().numpy().astype(np.uint8)
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]
