"""A folder with one wide file per field: open.parquet, high.csv and so on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ranking_pipeline.bars.columns import find_column
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.files import PEEK_ROWS, SourceFile
from ranking_pipeline.bars.reading import Part, one_line
from ranking_pipeline.bars.timestamps import parse_stamps
from ranking_pipeline.bars.wide import (
    Matrix,
    is_long,
    matrix,
    read_header,
    read_positions,
    require_adjustment,
    stack,
)
from ranking_pipeline.bars.wide_names import REQUIRED, field_of
from ranking_pipeline.errors import UserError

_NO_NAMES = ("", "Unnamed: 0", "__index_level_0__")


@dataclass(frozen=True)
class FieldFiles:
    """The files of one folder, each with one field of all symbols.

    Attributes
    ----------
    name : str
        Name of the folder in tables.
    files : mapping of str to SourceFile
        Our field -> its file.
    ignored : tuple of str
        Names of other files of the folder.
    """

    name: str
    files: Mapping[str, SourceFile]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class _Field:
    """One field: stamps of shape (T,), one column per symbol."""

    file: str
    stamps: pd.Series
    columns: pd.DataFrame


def group_fields(
    files: Sequence[SourceFile], config: ChecksConfig
) -> list[SourceFile | FieldFiles]:
    """Put the files of a folder that hold one field each together; others stay alone.

    Raises
    ------
    UserError
        A field has two files, or some fields have a file and a required one has none.
    """
    if config.layout in {"long", "qlib"}:
        return list(files)
    folders: dict[Path, list[SourceFile]] = defaultdict(list)
    for file in files:
        folders[file.path.parent].append(file)
    units: list[SourceFile | FieldFiles] = []
    for members in folders.values():
        group = _group(members, config)
        units += members if group is None else [group]
    return units


def _group(members: Sequence[SourceFile], config: ChecksConfig) -> FieldFiles | None:
    found: dict[str, list[SourceFile]] = defaultdict(list)
    for file in members:
        field = field_of(file.path.stem, config.column_map)
        if field is not None:
            found[field].append(file)
    if "close" not in found or len(found) < 3 or _holds_bars(found, config):
        return None
    folder = Path(members[0].name).parent.as_posix()
    folder = members[0].path.parent.name if folder == "." else folder
    for field, files in found.items():
        if len(files) > 1:
            raise UserError(
                f"{folder}: {' and '.join(f.name for f in files)} could both be {field} "
                "of all symbols. Remove one."
            )
    missing = [field for field in REQUIRED if field not in found]
    if missing:
        raise UserError(
            f"{folder} has one file per field ({', '.join(sorted(found))}), but none "
            f"named {', '.join(missing)}. Add it; if it has another name, say so: "
            f"data.column_map: {{{missing[0]}: name_of_file}}."
        )
    chosen = {field: files[0] for field, files in found.items()}
    ignored = [f.path.stem for f in members if f not in chosen.values()]
    return FieldFiles(folder, chosen, tuple(ignored))


def _holds_bars(
    found: Mapping[str, Sequence[SourceFile]], config: ChecksConfig
) -> bool:
    """Whether the files hold whole bars: they are of the tickers OPEN, LOW ..."""
    for files in found.values():
        try:
            return is_long(files[0], read_header(files[0], config), config)
        except (OSError, ValueError):
            continue
    return False


def peek_fields(group: FieldFiles, config: ChecksConfig) -> pd.DataFrame:
    """The first stamps of a folder of fields, all of whose files can be opened."""
    heads = [_read(group, field, config, PEEK_ROWS) for field in group.files]
    close = list(group.files).index("close")
    return pd.DataFrame({"timestamp": heads[close].stamps})


def read_fields(group: FieldFiles, config: ChecksConfig) -> Part | None:
    """Read a folder of fields; None where it has none of the symbols asked for.

    A field that cannot be read makes the folder unreadable. A symbol that lacks one of
    the fields is left out and named.

    Raises
    ------
    ValueError
        A file is damaged.
    UserError
        Files with different stamps have unreadable or repeated ones.
    """
    read = {field: _read(group, field, config) for field in group.files}
    names = (str(name) for part in read.values() for name in part.columns)
    lacking = {
        symbol: [read[f].file for f in REQUIRED if symbol not in read[f].columns]
        for symbol in dict.fromkeys(names)
        if not config.symbols or symbol in config.symbols
    }
    whole = [symbol for symbol, fields in lacking.items() if not fields]
    if not whole:
        return None
    if "adj_close" in read:
        adjusted = read["adj_close"].columns
        require_adjustment({s: s in adjusted for s in whole}, read["adj_close"].file)
    stamps, matrices = _aligned(read, whole, config)
    left_out = [
        (f"{group.name}: {symbol}", f"no column of this symbol in {', '.join(fields)}")
        for symbol, fields in lacking.items()
        if fields
    ]
    rows = stack(stamps, matrices, whole, read["close"].file)
    return Part(rows, group.ignored, tuple(left_out), "wide")


def _read(
    group: FieldFiles, field: str, config: ChecksConfig, rows: int | None = None
) -> _Field:
    file = group.files[field]
    try:
        header = read_header(file, config)
        names = header.texts
        stamp = find_column("timestamp", names, config.column_map, file.name)
        if stamp is None:
            raise UserError(
                f"{file.name} has no column timestamp. If it has another name, say so: "
                "data.column_map: {timestamp: name_in_file}."
            )
        at = names.index(stamp)
        symbols = {n: i for i, n in enumerate(names) if i != at and n not in _NO_NAMES}
        places = list(symbols.values())
        _require_unique(names, file.name)
        table = read_positions(file, header, places, at, config, rows)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file.name}: {one_line(error)}") from error
    return _Field(file.name, table[at], table[places].set_axis(list(symbols), axis=1))


def _require_unique(names: Sequence[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{where} has two columns named {twice[0]!r}. Remove one.")


def _aligned(
    read: Mapping[str, _Field], symbols: Sequence[str], config: ChecksConfig
) -> tuple[pd.Series, dict[str, Matrix]]:
    """Stamps that all fields share, with the values of each at them."""
    stamps = read["close"].stamps
    cells = {field: part.columns[symbols] for field, part in read.items()}
    if not all(part.stamps.equals(stamps) for part in read.values()):
        times = {field: _times(part, config) for field, part in read.items()}
        _require_one_kind(read, times)
        axis = pd.Index(pd.concat(list(times.values())).unique()).sort_values()
        stamps = pd.Series(axis)
        cells = {
            field: part.set_axis(pd.Index(times[field])).reindex(axis)
            for field, part in cells.items()
        }
    return stamps, {field: matrix(part) for field, part in cells.items()}


def _times(part: _Field, config: ChecksConfig) -> pd.Series:
    parsed = parse_stamps(part.stamps, config, part.file)
    odd = parsed.isna() | parsed.duplicated(keep=False)
    if odd.any():
        raise UserError(
            f"{part.file} has stamps of its own, so that the fields must be joined by "
            f"them, but {part.stamps[odd].iloc[0]!r} repeats or cannot be read. Mend "
            "the file, or give all fields the same rows."
        )
    return parsed


def _require_one_kind(
    read: Mapping[str, _Field], times: Mapping[str, pd.Series]
) -> None:
    aware = [read[field].file for field, t in times.items() if t.dt.tz is not None]
    plain = [read[field].file for field, t in times.items() if t.dt.tz is None]
    if aware and plain:
        raise UserError(
            f"The timestamps of {aware[0]} carry a time zone and those of {plain[0]} do "
            "not. Write all files in the same way."
        )
