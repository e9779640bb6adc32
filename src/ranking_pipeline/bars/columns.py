"""Which column of a file is which: exact names, a user's map, then common aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranking_pipeline.bars.config import CANONICAL_COLUMNS
from ranking_pipeline.errors import UserError

OPTIONAL_COLUMNS = ("adj_close",)
_ALIASES = {
    "symbol": ("ticker", "sym", "instrument"),
    "timestamp": ("datetime", "date_time", "date", "ts", "time"),
    "volume": ("vol",),
    "adj_close": ("adjclose", "adjusted_close", "close_adj"),
}


def resolve_columns(
    names: Sequence[str],
    column_map: Mapping[str, str],
    where: str,
    *,
    symbol_required: bool,
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
    symbol_required
        False where the symbol may come from the file's name instead.

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
        name = _find(wanted, names, column_map, where)
        if name is not None:
            found[wanted] = name
    optional = set(OPTIONAL_COLUMNS) | (set() if symbol_required else {"symbol"})
    missing = [c for c in CANONICAL_COLUMNS if c not in found and c not in optional]
    if missing:
        hint = (
            " (or give a folder with one file per symbol, named after it)"
            if "symbol" in missing
            else ""
        )
        raise UserError(
            f"{where} has no column {', '.join(missing)}. Found: {', '.join(names)}. "
            f"Wanted: {', '.join(CANONICAL_COLUMNS[:-1])}{hint}. If a column has "
            f"another name, say so: data.column_map: {{{missing[0]}: name_in_file}}."
        )
    return found


def _find(
    wanted: str, names: Sequence[str], column_map: Mapping[str, str], where: str
) -> str | None:
    if wanted in column_map:
        name = column_map[wanted]
        if name not in names:
            raise UserError(
                f"data.column_map says that {wanted} is {name!r}, but {where} has only "
                f"{', '.join(names)}. Correct data.column_map."
            )
        return name
    if wanted in names:
        return wanted
    free = [name for name in names if name not in column_map.values()]
    for candidates in ((wanted,), _ALIASES.get(wanted, ())):
        matches = [name for name in free if _normal(name) in candidates]
        if len(matches) > 1:
            raise UserError(
                f"{where}: {' and '.join(matches)} could both be {wanted}. Choose one: "
                f"data.column_map: {{{wanted}: {matches[0]}}}."
            )
        if matches:
            return matches[0]
    return None


def _normal(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
