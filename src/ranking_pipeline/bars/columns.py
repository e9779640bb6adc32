"""Which column of a file is which: exact names, a user's map, then common aliases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ranking_pipeline.bars.config import CANONICAL_COLUMNS
from ranking_pipeline.errors import UserError
from ranking_pipeline.wording import shortened

OPTIONAL_COLUMNS = ("adj_close",)
ALIASES: Mapping[str, tuple[str, ...]] = {
    "symbol": ("ticker", "sym", "instrument"),
    "timestamp": ("datetime", "date_time", "date", "ts", "time"),
    "volume": ("vol",),
    "adj_close": ("adjclose", "adjusted_close", "close_adj"),
}
# The names that pandas gives to an index without one; the last resort.
_INDEX_NAMES = {"timestamp": ("__index_level_0__", "unnamed:_0", "index", "")}
_SHOWN = 20
_SEPARATORS = (";", "\t", "|")


def resolve_columns(
    names: Sequence[str],
    column_map: Mapping[str, str],
    where: str,
    *,
    symbol_required: bool,
    timestamp_required: bool = True,
) -> dict[str, str]:
    """Find our columns among the names of a file.

    Parameters
    ----------
    names
        Column names as the file spells them.
    column_map
        Our name -> the file's name; wins over every other rule.
    where
        Name of the file, for messages.
    symbol_required, timestamp_required
        False where a folder's or the file's name may tell it instead.

    Returns
    -------
    dict
        Our name -> the file's name, in our order. Optional columns may be absent.

    Raises
    ------
    UserError
        A required column is missing, or two columns could be the same one.
    """
    found = {}
    for wanted in CANONICAL_COLUMNS:
        name = find_column(wanted, names, column_map, where)
        if name is not None:
            found[wanted] = name
    refuse_repeated(names, found.values(), where)
    optional = set(OPTIONAL_COLUMNS)
    optional |= set() if symbol_required else {"symbol"}
    optional |= set() if timestamp_required else {"timestamp"}
    missing = [c for c in CANONICAL_COLUMNS if c not in found and c not in optional]
    if missing:
        hint = (
            " (or give a folder with one file per symbol, named after it)"
            if "symbol" in missing
            else ""
        )
        raise UserError(
            f"{where} has no column {', '.join(missing)}. Found: {shown(names)}. "
            f"Wanted: {', '.join(CANONICAL_COLUMNS[:-1])}{hint}. "
            + _remedy(names, missing)
        )
    return found


def _remedy(names: Sequence[str], missing: Sequence[str]) -> str:
    for separator in _SEPARATORS:
        if len(names) == 1 and separator in names[0]:
            return (
                f"Its cells are separated by {separator!r}: write them with commas "
                "between, and a point before decimals."
            )
    return (
        "If a column has another name, say so: "
        f"data.column_map: {{{missing[0]}: name_in_file}}."
    )


def refuse_repeated(names: Sequence[str], used: Iterable[str], where: str) -> None:
    """Refuse two columns of one name: which of them is meant cannot be known.

    Raises
    ------
    UserError
        A name of ``used`` stands more than once among ``names``.
    """
    for name in used:
        if names.count(name) > 1:
            raise UserError(
                f"{where} has {names.count(name)} columns named {name!r}. Keep or "
                "rename one of them."
            )


def find_column(
    wanted: str, names: Sequence[str], column_map: Mapping[str, str], where: str
) -> str | None:
    """Find one of our columns among the names of a file; None where it is not.

    Raises
    ------
    UserError
        The map names a column that the file has not, or two columns could be it.
    """
    if wanted in column_map:
        name = column_map[wanted]
        if name not in names:
            raise UserError(
                f"data.column_map says that {wanted} is {name!r}, but {where} has only "
                f"{shown(names)}. Correct data.column_map."
            )
        return name
    if wanted in names:
        return wanted
    free = [name for name in names if name not in column_map.values()]
    tiers = ((wanted,), ALIASES.get(wanted, ()), _INDEX_NAMES.get(wanted, ()))
    for candidates in tiers:
        matches = [name for name in free if normal_name(name) in candidates]
        if len(matches) > 1:
            raise UserError(
                f"{where}: {' and '.join(matches)} could both be {wanted}. Choose one: "
                f"data.column_map: {{{wanted}: {matches[0]}}}."
            )
        if matches:
            return matches[0]
    return None


def normal_name(name: str) -> str:
    """Spell a column's name in lower case with underscores."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def shown(names: Sequence[str]) -> str:
    """List the first names, for messages."""
    return shortened(names, _SHOWN)
