"""Bars from the binaries of a qlib folder: one float32 file per symbol and field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.columns import ALIASES, normal_name, resolve_columns
from ranking_pipeline.bars.config import CANONICAL_COLUMNS, ChecksConfig
from ranking_pipeline.bars.qlib_folder import QlibFolder, feature_folder, open_qlib
from ranking_pipeline.bars.reading import Part, Reading, one_line, require_some
from ranking_pipeline.bars.rules import PRICES
from ranking_pipeline.errors import UserError

FACTOR = "factor"
_ITEM_BYTES = 4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Bars:
    """Bars of one symbol: the calendar rows at which it has some, and its fields."""

    symbol: str
    folder: str
    rows: npt.NDArray[np.intp]
    fields: Mapping[str, Floats]
    ignored: tuple[str, ...]
    adjusted: bool | None


def inspect_qlib(root: Path, config: ChecksConfig) -> pd.Series:
    """Check a qlib folder by its text files and the sizes of its binaries.

    Returns
    -------
    Series of datetime64[ns]
        The calendar.

    Raises
    ------
    UserError
        As :func:`read_qlib`.
    """
    folder = open_qlib(root, config)
    symbols = _chosen(folder, config)
    reasons = []
    for symbol in symbols:
        try:
            for path in _field_paths(folder, symbol, config)[0].values():
                _span(path, len(folder.calendar))
        except (OSError, ValueError, UserError) as error:
            reasons.append((feature_folder(symbol), one_line(error)))
    if len(reasons) == len(symbols):
        require_some(len(symbols), [], reasons, root.name)
    return folder.calendar


def read_qlib(root: Path, config: ChecksConfig) -> tuple[pd.DataFrame, Reading]:
    """Read the bars of a qlib folder as they are stored.

    qlib stores adjusted values: a price is the traded price times ``factor``, a volume
    the traded volume divided by it. They are taken as they are, so that returns include
    splits (and dividends, where the factor does); the notes of the reading say for how
    many symbols a factor is stored. A calendar row at which a symbol has no price, and
    no volume or a volume of 0, is no bar. Membership is not applied to the rows: see
    :func:`~ranking_pipeline.bars.qlib_folder.qlib_spells`.

    Parameters
    ----------
    root
        Folder with calendars, instruments and features.
    config
        ``interval`` chooses the frequency, ``column_map`` may name other fields, and
        ``bar_stamp`` says what intraday labels mean (qlib: the start of the bar).

    Returns
    -------
    frame
        As :func:`~ranking_pipeline.bars.readers.read_bars`; source_row counts the rows
        of the calendar from 0, prices and volume are float32.
    reading
        A symbol of ``instruments/all.txt`` whose files are missing, damaged or reach
        beyond the calendar is among the files left out.

    Raises
    ------
    UserError
        The calendar, the frequency or the list of instruments is missing or damaged,
        ``bar_stamp`` contradicts a daily calendar, or no symbol can be read.
    """
    folder = open_qlib(root, config)
    symbols = _chosen(folder, config)
    found: list[_Bars] = []
    reasons: list[tuple[str, str]] = []
    for symbol in symbols:
        try:
            found.append(_read_symbol(folder, symbol, config))
        except (OSError, ValueError, UserError) as error:
            reasons.append((feature_folder(symbol), one_line(error)))
    parts = [Part(_frame(folder, found))] if found else []
    require_some(len(symbols), parts, reasons, feature_folder(symbols[0]))
    ignored = tuple(sorted({name for bars in found for name in bars.ignored}))
    notes = (_note_of_factor(found), *_note_of_unlisted(folder))
    empty = tuple(bars.folder for bars in found if not len(bars.rows))
    reading = Reading(root.name, ignored, tuple(reasons), "qlib", notes, empty)
    return parts[0].rows, reading


def _chosen(folder: QlibFolder, config: ChecksConfig) -> list[str]:
    absent = sorted(set(config.symbols) - set(folder.symbols))
    if absent:
        raise UserError(
            f"data.symbols: no bars for {', '.join(absent[:10])}. The source has "
            f"{len(folder.symbols)} symbols, as {', '.join(folder.symbols[:5])}. "
            "Symbols are compared letter by letter."
        )
    wanted = set(config.symbols)
    return [s for s in folder.symbols if not wanted or s in wanted]


def _field_paths(
    folder: QlibFolder, symbol: str, config: ChecksConfig
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Our fields (and the factor) -> their files; and the names of other fields."""
    where = folder.root / feature_folder(symbol)
    if not where.resolve().is_relative_to((folder.root / "features").resolve()):
        raise ValueError(f"the name {symbol!r} leads out of the folder features")
    suffix = f".{folder.frequency}.bin"
    files = {p.name.removesuffix(suffix): p for p in sorted(where.glob(f"*{suffix}"))}
    if not files:
        raise ValueError(f"there is no file *{suffix}")
    column_map = {k: v.removeprefix("$").lower() for k, v in config.column_map.items()}
    column_map = {k: v for k, v in column_map.items() if k in CANONICAL_COLUMNS[2:]}
    # Stored prices are adjusted already: a second adjusted close must be asked for.
    hidden = set() if "adj_close" in column_map else _adjusted_names(files)
    names = [name for name in files if name not in hidden and name != FACTOR]
    columns = resolve_columns(
        names,
        column_map,
        feature_folder(symbol),
        symbol_required=False,
        timestamp_required=False,
    )
    fields = {
        c: files[name] for c, name in columns.items() if c in CANONICAL_COLUMNS[2:]
    }
    ignored = {name for name in files if files[name] not in fields.values()} - {FACTOR}
    if FACTOR in files:
        fields[FACTOR] = files[FACTOR]
    return fields, tuple(ignored)


def _adjusted_names(files: Mapping[str, Path]) -> set[str]:
    words = ("adj_close", *ALIASES["adj_close"])
    return {name for name in files if normal_name(name) in words}


def _span(path: Path, n_bars: int) -> tuple[int, int]:
    """First and one-past-last calendar row of a binary; ValueError where it is damaged."""
    size = path.stat().st_size
    if size < _ITEM_BYTES or size % _ITEM_BYTES:
        raise ValueError(
            f"{path.name} is truncated: {size:,} bytes are not a whole number of values"
        )
    with path.open("rb") as stream:
        first = float(np.frombuffer(stream.read(_ITEM_BYTES), dtype="<f4")[0])
    if not (np.isfinite(first) and first >= 0 and first == int(first)):
        raise ValueError(f"{path.name} starts with {first}, which is no calendar row")
    stop = int(first) + size // _ITEM_BYTES - 1
    if stop > n_bars:
        raise ValueError(
            f"{path.name} reaches to row {stop:,} of a calendar of {n_bars:,} rows"
        )
    return int(first), stop


def _read_symbol(folder: QlibFolder, symbol: str, config: ChecksConfig) -> _Bars:
    paths, ignored = _field_paths(folder, symbol, config)
    spans = {name: _span(path, len(folder.calendar)) for name, path in paths.items()}
    start = min(first for first, _ in spans.values())
    stop = max(last for _, last in spans.values())
    fields = {name: np.full(stop - start, np.nan, np.float32) for name in paths}
    for name, path in paths.items():
        first, last = spans[name]
        fields[name][first - start : last - start] = np.fromfile(path, "<f4")[1:]
    empty = np.logical_and.reduce([np.isnan(fields[price]) for price in PRICES])
    quiet = np.isnan(fields["volume"]) | (fields["volume"] == 0)
    present = np.flatnonzero(~(empty & quiet))
    factor = fields.pop(FACTOR, None)
    moved = factor is not None and np.nan_to_num(factor[present], nan=1.0) != 1
    adjusted = None if factor is None else bool(np.any(moved))
    return _Bars(
        symbol,
        feature_folder(symbol),
        start + present,
        {name: values[present] for name, values in fields.items()},
        ignored,
        adjusted,
    )


def _frame(folder: QlibFolder, found: Sequence[_Bars]) -> pd.DataFrame:
    counts = [len(bars.rows) for bars in found]
    codes = np.repeat(np.arange(len(found)), counts)
    rows = np.concatenate([bars.rows for bars in found])
    names = pd.Index([bars.symbol for bars in found], dtype=str)
    folders = pd.Index([bars.folder for bars in found], dtype=str)
    return pd.DataFrame(
        {
            "symbol": pd.Categorical.from_codes(codes, names),
            "timestamp": folder.calendar.to_numpy()[rows],
            **dict(_fields(found)),
            "source_file": pd.Categorical.from_codes(codes, folders),
            "source_row": rows.astype("int64"),
        }
    )


def _fields(found: Sequence[_Bars]) -> Iterator[tuple[str, Floats]]:
    names = [c for c in CANONICAL_COLUMNS if any(c in bars.fields for bars in found)]
    for name in names:
        yield (
            name,
            np.concatenate(
                [
                    bars.fields.get(name, np.full(len(bars.rows), np.nan, np.float32))
                    for bars in found
                ]
            ),
        )


def _note_of_factor(found: Sequence[_Bars]) -> str:
    moved = sum(bars.adjusted is True for bars in found)
    plain = sum(bars.adjusted is False for bars in found)
    absent = sum(bars.adjusted is None for bars in found)
    return (
        "qlib stores adjusted prices (traded price x factor) and volumes (traded volume "
        f"/ factor); they are used as stored. The factor differs from 1 for {moved:,} "
        f"symbols, is 1 throughout for {plain:,} and is not stored for {absent:,}."
    )


def _note_of_unlisted(folder: QlibFolder) -> list[str]:
    listed = {feature_folder(symbol) for symbol in folder.symbols}
    there = sorted(
        f"features/{path.name}"
        for path in (folder.root / "features").glob("*")
        if path.is_dir()
    )
    unlisted = [name for name in there if name not in listed]
    if not unlisted:
        return []
    return [
        f"{len(unlisted):,} folders are not listed in instruments/all.txt and were not "
        f"read, as {', '.join(unlisted[:5])}."
    ]
