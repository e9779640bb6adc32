"""The text of CSV files: their first lines, and what is wrong with their encoding."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.errors import UserError

_PIECE_BYTES = 1 << 24
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


def refuse_extra_cells(path: Path, name: str, n_columns: int) -> None:
    """Refuse a line with more cells than the header, whose values would be shifted.

    Files with quotes are left alone: a comma in them separates nothing. So are those
    of encodings in which a comma is not one byte.

    Raises
    ------
    UserError
        Names the line, and what it holds.
    """
    done = 0
    with path.open("rb") as stream:
        while lines := stream.readlines(_PIECE_BYTES):
            piece = b"".join(lines)
            if b'"' in piece or b"\x00" in piece:
                return
            starts = np.cumsum([0, *(len(line) for line in lines[:-1])])
            commas = np.frombuffer(piece, np.uint8) == ord(",")
            counts = np.add.reduceat(commas, starts, dtype=np.int64)
            wrong = np.flatnonzero(counts >= n_columns)
            if len(wrong):
                line = lines[wrong[0]].decode("utf-8", "replace").strip()
                raise UserError(
                    f"{name}, line {done + int(wrong[0]) + 1} has "
                    f"{counts[wrong[0]] + 1} cells under {n_columns} columns: "
                    f"{line[:80]}. Write numbers without thousands separators, and "
                    "texts that hold a comma in quotes."
                )
            done += len(lines)
