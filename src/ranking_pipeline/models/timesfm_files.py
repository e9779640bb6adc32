"""TimesFM's files: the pretrained checkpoint that a fit reads, known by its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import sha256_file

FAMILY, CONFIG = "timesfm", "config.json"
REMEDY = (
    "Download google/timesfm-2.0-500m-pytorch (huggingface-cli download NAME "
    "--local-dir FOLDER) and set model_training.parameters.timesfm.weights to FOLDER, "
    "or take timesfm out of the list of families."
)


def checkpoint_files(folder: str) -> list[Path]:
    """Files of a checkpoint that are read; they are not opened.

    Raises
    ------
    UserError
        When the folder is no checkpoint of config.json and safetensors files.
    """
    place = Path(folder)
    weights = sorted(place.glob("*.safetensors")) if place.is_dir() else []
    if not weights or not (place / CONFIG).is_file():
        raise UserError(
            f"timesfm: weights is {folder!r}, which holds no pretrained model "
            f"({CONFIG} and *.safetensors). {REMEDY}"
        )
    index = sorted(place.glob("*.safetensors.index.json"))
    return [place / CONFIG, *weights, *index]


def weight_files(folder: str) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint that is read, by name.

    Raises
    ------
    UserError
        See :func:`checkpoint_files`.
    """
    return {path.name: _hash(path) for path in checkpoint_files(folder)}


def check_files(folder: str, expected: Mapping[str, str]) -> None:
    """Refuse a checkpoint other than the one that a head was trained on.

    Raises
    ------
    UserError
        Naming the files that differ.
    """
    found = weight_files(folder)
    names = sorted(found.keys() | expected.keys())
    other = [name for name in names if found.get(name) != expected.get(name)]
    if other:
        raise UserError(
            f"timesfm: {', '.join(other)} in {folder!r} is not what the model was "
            "trained with; set weights to the folder of that time, or train again."
        )


def _hash(path: Path) -> str:
    """Hash a file of gigabytes once per process, as long as it is not written."""
    facts = path.stat()
    return _hash_of(path.resolve(), facts.st_ino, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_of(path: Path, *_facts: int) -> str:
    return sha256_file(path)
