"""Sectors by name: the eleven of GICS, with code and short name, and a user's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ranking_pipeline.errors import UserError

ALL = "all"


@dataclass(frozen=True)
class Sector:
    """One sector.

    Attributes
    ----------
    short : str
        What parameters call it.
    name : str
        What the bars call it.
    gics_code : str
        Two digits of the Global Industry Classification Standard; empty for a sector
        that is the user's own.
    """

    short: str
    name: str
    gics_code: str = ""


# The structure of GICS since September 2018 (MSCI and S&P Dow Jones Indices).
GICS = (
    Sector("energy", "Energy", "10"),
    Sector("materials", "Materials", "15"),
    Sector("industrials", "Industrials", "20"),
    Sector("cons_discretionary", "Consumer Discretionary", "25"),
    Sector("cons_staples", "Consumer Staples", "30"),
    Sector("healthcare", "Health Care", "35"),
    Sector("financials", "Financials", "40"),
    Sector("it", "Information Technology", "45"),
    Sector("telecoms", "Communication Services", "50"),
    Sector("utilities", "Utilities", "55"),
    Sector("re", "Real Estate", "60"),
)
# What sector 50 was called before.
_FORMER_NAMES = {"telecommunication services": "telecoms"}


def known_sectors(configured: Collection[str]) -> tuple[Sector, ...]:
    """List the sectors that a configuration has windows for.

    Parameters
    ----------
    configured : collection of str
        Short or full names of GICS, or names of the user's own.

    Returns
    -------
    tuple of Sector
        Those of GICS in the order of their codes, then the others by name.
    """
    found = {sector_of(name) for name in configured}
    return tuple(sorted(found, key=lambda one: (one.gics_code or "~", one.name)))


def sector_texts(values: object) -> object:
    """Read the names of sectors that a parameter lists.

    The command line and YAML give the code 35 as a number.

    Parameters
    ----------
    values : object
        Of a parameter; all but lists are given back for others to refuse.

    Raises
    ------
    ValueError
        A name is true or false, as YAML reads the words on and off.
    """
    if not isinstance(values, list | tuple):
        return values
    if any(isinstance(value, bool) for value in values):
        raise ValueError(f"{values} is no list of sectors: put names in quotes")
    return [str(value) if isinstance(value, int) else value for value in values]


def find_sector(
    wanted: str, known: Sequence[Sector], parameter: str, remedy: str
) -> Sector:
    """Find a sector by its short name, full name or code, whatever the case.

    A sector of the user's own is found by its very name. ``parameter`` is what names
    the sector, and ``remedy`` ends the message where it is not found.

    Raises
    ------
    UserError
        It is not known; all that are known are listed.
    """
    found = sector_of(wanted)
    if found in known:
        return found
    listed = ", ".join(_told(sector) for sector in known)
    raise UserError(
        f"{parameter}: {wanted!r} is no known sector. Known: {listed}. {remedy}"
    )


def chosen_sectors(
    wanted: Sequence[str], configured: Collection[str]
) -> tuple[Sector, ...]:
    """List the sectors that ``wanted`` names, ``all`` or some of ``configured``.

    Raises
    ------
    UserError
        See :func:`find_sector`.
    """
    known = known_sectors(configured)
    if list(wanted) == [ALL]:
        return known
    remedy = (
        f"{ALL} takes them all; a sector of your own needs its windows in "
        "candidate_selection.sector_windows."
    )
    parameter = "candidate_selection.sectors"
    found = {find_sector(name, known, parameter, remedy) for name in wanted}
    return tuple(sector for sector in known if sector in found)


def sector_of(text: str) -> Sector:
    """Give the sector of GICS that a text names, or else one of that very name."""
    return _gics(text) or Sector(text, text)


def _gics(text: str) -> Sector | None:
    plain = text.strip().casefold()
    plain = _FORMER_NAMES.get(plain, plain)
    return next(
        (
            sector
            for sector in GICS
            if plain in (sector.short, sector.name.casefold(), sector.gics_code)
        ),
        None,
    )


def _told(sector: Sector) -> str:
    if not sector.gics_code:
        return sector.name
    return f"{sector.short} ({sector.gics_code}, {sector.name})"
