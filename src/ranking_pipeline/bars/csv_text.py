"""The text of CSV files: their first lines, and what is wrong with their encoding."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.errors import UserError

MISSING_NUMBERS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]


@contextmanager
def explain_text(path: Path, name: str, config: ChecksConfig) -> Iterator[None]:
    """Turn errors of the encoding into one that names the byte and the remedy."""
    try:
        codecs.lookup(config.encoding)
    except LookupError as error:
        raise UserError(f"data.encoding: {config.encoding!r} is unknown.") from error
    try:
        yield
    except UnicodeDecodeError as error:
        offset = _first_bad_byte(path, config.encoding, error.start)
        raise UserError(
            f"{name} is not {config.encoding}: byte {offset} cannot be decoded. "
            "Set data.encoding (for example latin-1) or save the file as UTF-8."
        ) from error


def _first_bad_byte(path: Path, encoding: str, found: int) -> int:
    """Offset in the whole file; the parser knows it only within its buffer."""
    try:
        path.read_bytes().decode(encoding)
    except UnicodeDecodeError as whole:
        return whole.start
    return found


def first_lines(
    path: Path, name: str, config: ChecksConfig, count: int
) -> list[list[str]]:
    """Cells of the first lines of a CSV file, as text and without a byte order mark.

    Raises
    ------
    ValueError
        The file is empty.
    UserError
        The bytes are not text in ``data.encoding``.
    """
    with (
        explain_text(path, name, config),
        path.open(encoding=config.encoding, newline="") as stream,
    ):
        lines = list(islice(csv.reader(stream), count))
    if not lines:
        raise ValueError("the file is empty")
    if lines[0]:
        lines[0][0] = lines[0][0].removeprefix("\ufeff")
    return lines
