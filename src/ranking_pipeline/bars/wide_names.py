"""Which column of a wide table holds which field of which symbol, told from names."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ranking_pipeline.bars.columns import (
    ALIASES,
    OPTIONAL_COLUMNS,
    find_column,
    normal_name,
    shown,
)
from ranking_pipeline.bars.config import CANONICAL_COLUMNS
from ranking_pipeline.errors import UserError

# A column's name: text, or two levels of it, as pandas has them.
Name = str | tuple[str, str]
FIELDS = CANONICAL_COLUMNS[2:]
REQUIRED = tuple(name for name in FIELDS if name not in OPTIONAL_COLUMNS)
_SEPARATORS = "_/.:| -"


@dataclass(frozen=True)
class WideColumns:
    """Where a wide table keeps what.

    Attributes
    ----------
    timestamp : int
        Position of the column with the stamps.
    symbols : tuple of str
        Symbols with all required fields, in the order of their columns.
    cells : mapping of (field, symbol) to int
        Position of each of their columns.
    ignored : tuple of str
        Columns, or fields, that are none of ours.
    incomplete : tuple of (str, str)
        Symbols that lack a required field, each with the reason.
    """

    timestamp: int
    symbols: tuple[str, ...]
    cells: Mapping[tuple[str, str], int]
    ignored: tuple[str, ...]
    incomplete: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Scheme:
    """One way to write names: their separator (None = two levels), what comes first."""

    separator: str | None
    field_first: bool

    def splits(self, name: Name) -> Iterator[tuple[str, str]]:
        """(field word, symbol) as this scheme could mean it, longest word first."""
        if self.separator is None:
            if isinstance(name, tuple):
                yield name if self.field_first else (name[1], name[0])
            return
        if isinstance(name, tuple):
            return
        places = [i for i, letter in enumerate(name) if letter == self.separator]
        for i in reversed(places) if self.field_first else places:
            before, after = name[:i], name[i + 1 :]
            yield (before, after) if self.field_first else (after, before)


_SCHEMES = tuple(
    _Scheme(separator, field_first)
    for separator in (None, *_SEPARATORS)
    for field_first in (True, False)
)


def find_wide(
    names: Sequence[Name], column_map: Mapping[str, str], where: str
) -> WideColumns | None:
    """Find the columns of a wide table; None where the names are not those of one.

    A name joins a field and a symbol, in either order, by one of ``_ / . : |``, a space
    or a hyphen, or is a pair of them (a MultiIndex of pandas). The table is wide when
    in one such scheme at least one symbol has all required fields.

    Parameters
    ----------
    names
        The columns in their order.
    column_map
        Our field -> the word in the names; our timestamp -> the column.
    where
        Name of the file, for messages.

    Raises
    ------
    UserError
        Two schemes fit, two columns are the same cell, there is no timestamp, or a
        symbol is no text.
    """
    levels = [_levels(name, where) for name in names]
    read = {scheme: _cells(levels, scheme, column_map) for scheme in _SCHEMES}
    fitting = [scheme for scheme, cells in read.items() if _complete(cells)]
    if not fitting:
        return None
    if len(fitting) > 1:
        raise UserError(
            f"{where}: the columns ({shown([_text(name) for name in names])}) can be "
            "read with the field first and with the symbol first. Rename them, as "
            "close/AAPL, or write one row per bar and set data.layout: long."
        )
    cells = _unique(read[fitting[0]], levels, where)
    used = {
        position for positions in read[fitting[0]].values() for position in positions
    }
    rest = [i for i in range(len(levels)) if i not in used]
    timestamp = _timestamp(levels, rest, column_map, where)
    return _wide_columns(levels, cells, fitting[0], timestamp)


def half_wide(names: Sequence[Name], column_map: Mapping[str, str]) -> str | None:
    """Say what a table lacks that is wide but for some field; None for other tables."""
    levels = [name if isinstance(name, tuple) else _plain(name) for name in names]
    for scheme in _SCHEMES:
        cells = _cells(levels, scheme, column_map)
        of_symbol = Counter(symbol for _, symbol in cells)
        closes = sum(field == "close" for field, _ in cells)
        if of_symbol and (closes > 1 or max(of_symbol.values()) > 2):
            fullest = of_symbol.most_common(1)[0][0]
            return ", ".join(f for f in REQUIRED if (f, fullest) not in cells)
    return None


def _levels(name: Name, where: str) -> Name:
    """Read the text that pandas makes of a pair, as ``('close', 'AAPL')``."""
    if isinstance(name, tuple) or not (name.startswith("(") and name.endswith(")")):
        return name
    try:
        pair = ast.literal_eval(name)
    except (ValueError, SyntaxError):
        return name
    if not isinstance(pair, tuple) or len(pair) != 2:
        return name
    if not all(isinstance(level, str) for level in pair):
        raise UserError(
            f"{where}: the column {name} names its symbol by something that is not "
            "text, so that tickers such as 0700 or TRUE are lost. Write them as text."
        )
    return pair if pair[1] else str(pair[0])


def _plain(name: str) -> Name:
    try:
        return _levels(name, "")
    except UserError:
        return name


def field_of(word: str, column_map: Mapping[str, str]) -> str | None:
    """Which of our fields a word names; None for any other word."""
    for field in FIELDS:
        if field in column_map:
            if word == column_map[field]:
                return field
        elif normal_name(word) in (field, *ALIASES.get(field, ())):
            return field
    return None


def _cells(
    names: Sequence[Name], scheme: _Scheme, column_map: Mapping[str, str]
) -> dict[tuple[str, str], list[int]]:
    """(field, symbol) -> positions of the columns that this scheme reads so."""
    cells: dict[tuple[str, str], list[int]] = {}
    for position, name in enumerate(names):
        if name == column_map.get("timestamp"):
            continue
        for word, symbol in scheme.splits(name):
            field = field_of(word, column_map)
            if field is not None and symbol.strip() and word == word.strip():
                cells.setdefault((field, symbol), []).append(position)
                break
    return cells


def _complete(cells: Mapping[tuple[str, str], object]) -> list[str]:
    """Symbols with all required fields, in the order of their first column."""
    symbols = dict.fromkeys(symbol for _, symbol in cells)
    return [s for s in symbols if all((field, s) in cells for field in REQUIRED)]


def _unique(
    cells: Mapping[tuple[str, str], list[int]], names: Sequence[Name], where: str
) -> dict[tuple[str, str], int]:
    for (field, symbol), positions in cells.items():
        if len(positions) > 1:
            same = " and ".join(_text(names[i]) for i in positions)
            raise UserError(
                f"{where}: {same} could both be {field} of {symbol}. Remove one, or "
                f"say which word counts: data.column_map: {{{field}: ...}}."
            )
    return {key: positions[0] for key, positions in cells.items()}


def _timestamp(
    names: Sequence[Name],
    rest: Sequence[int],
    column_map: Mapping[str, str],
    where: str,
) -> int:
    texts = [_text(names[i]) for i in rest]
    found = find_column("timestamp", texts, column_map, where)
    if found is None:
        raise UserError(
            f"{where} has columns for each field and symbol but none with the "
            f"timestamps. Other columns: {shown(texts) or 'none'}. If one of them "
            "holds them, say so: data.column_map: {timestamp: name_in_file}."
        )
    return rest[texts.index(found)]


def _wide_columns(
    names: Sequence[Name],
    cells: Mapping[tuple[str, str], int],
    scheme: _Scheme,
    timestamp: int,
) -> WideColumns:
    symbols = _complete(cells)
    lacking = {
        symbol: [field for field in REQUIRED if (field, symbol) not in cells]
        for symbol in dict.fromkeys(symbol for _, symbol in cells)
    }
    used = {timestamp, *cells.values()}
    ignored = {
        _extra(name, scheme, lacking) for i, name in enumerate(names) if i not in used
    }
    return WideColumns(
        timestamp,
        tuple(symbols),
        {key: position for key, position in cells.items() if not lacking[key[1]]},
        tuple(sorted(ignored)),
        tuple(
            (symbol, f"the table has no column {', '.join(fields)} of this symbol")
            for symbol, fields in lacking.items()
            if fields
        ),
    )


def _extra(name: Name, scheme: _Scheme, symbols: Mapping[str, object]) -> str:
    """The word of an unknown field of a known symbol, or the whole name."""
    for word, symbol in scheme.splits(name):
        if symbol in symbols:
            return word
    return _text(name)


def _text(name: Name) -> str:
    if isinstance(name, str):
        return name
    return name[0] if not name[1] else str(name)
