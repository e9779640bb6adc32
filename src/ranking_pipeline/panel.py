"""Panel: the bars of a universe as one dense array, with a mask and two axes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.signedinteger]
DateArray = npt.NDArray[np.datetime64]

OHLCV = ("open", "high", "low", "close", "volume")
NO_SECTOR = -1


@dataclass(frozen=True, slots=True)
class Panel:
    """Dense bars of a universe.

    Parameters
    ----------
    symbols : tuple of str, length S
        Sorted, unique.
    timestamps : ndarray of datetime64[ns], shape (T,)
        The END of each bar in UTC, strictly increasing.
    fields : tuple of str, length F
        Names of the last axis of ``values``.
    values : ndarray of float32, shape (S, T, F)
        NaN in every field where a symbol has no bar: a gap stays a gap.
    tradable : ndarray of bool, shape (S, T)
        Where a symbol belongs to the cross-section: it has a bar, the bar is neither
        stale nor without volume, and the symbol is a member of the universe that day.
    trading_dates : ndarray of datetime64[D], shape (T,)
        Local date of the session to which each bar belongs, never decreasing; by default
        the UTC date of the instant before the bar ends.
    session_minutes : ndarray of int32, shape (T,)
        Whole minutes from the opening of its session to the END of the bar; by default
        from the end of the first bar of its date.
    sectors : ndarray of int16, shape (S, T)
        Position in ``sector_names`` of the sector that a symbol had on that date;
        -1 (the default) where it is not known.
    sector_names : tuple of str
    """

    symbols: tuple[str, ...]
    timestamps: npt.NDArray[np.datetime64]
    fields: tuple[str, ...]
    values: npt.NDArray[np.float32]
    tradable: BoolArray
    trading_dates: DateArray = field(default_factory=lambda: np.empty(0, "M8[D]"))
    session_minutes: npt.NDArray[np.int32] = field(
        default_factory=lambda: np.empty(0, np.int32)
    )
    sectors: npt.NDArray[np.int16] = field(
        default_factory=lambda: np.empty((0, 0), np.int16)
    )
    sector_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._fill_defaults()
        expected = (len(self.symbols), len(self.timestamps), len(self.fields))
        if self.values.shape != expected or self.tradable.shape != expected[:2]:
            raise ValueError(
                f"values {self.values.shape} and tradable {self.tradable.shape} do not "
                f"match {expected[0]} symbols, {expected[1]} bars, {expected[2]} fields"
            )
        if list(self.symbols) != sorted(set(self.symbols)):
            raise ValueError("symbols must be sorted and unique")
        if np.any(np.diff(self.timestamps.view("i8")) <= 0):
            raise ValueError("timestamps must be strictly increasing")
        if np.any(np.diff(self.trading_dates.view("i8")) < 0):
            raise ValueError("trading_dates must not decrease")
        for name in ("trading_dates", "session_minutes"):
            if len(getattr(self, name)) != self.n_bars:
                raise ValueError(f"{name} has another length than the time axis")
        if self.sectors.shape != self.tradable.shape:
            raise ValueError(f"sectors have the shape {self.sectors.shape}")

    def _fill_defaults(self) -> None:
        """Give a panel of bare bars its dates, minutes and unknown sectors."""
        instants = self.timestamps.astype("M8[ns]") - np.timedelta64(1, "ns")
        if not len(self.trading_dates):
            object.__setattr__(self, "trading_dates", instants.astype("M8[D]"))
        if not len(self.session_minutes):
            first = np.searchsorted(self.trading_dates, self.trading_dates)
            since = self.timestamps - self.timestamps[first]
            minutes = since.astype("m8[m]").astype(np.int32)
            object.__setattr__(self, "session_minutes", minutes)
        if not self.sectors.size:
            unknown = np.full(self.tradable.shape, NO_SECTOR, dtype=np.int16)
            object.__setattr__(self, "sectors", unknown)

    def cut(self, bars: slice, symbols: slice = slice(None)) -> Panel:
        """Keep some bars and symbols; views, not copies."""
        return replace(
            self,
            symbols=self.symbols[symbols],
            timestamps=self.timestamps[bars],
            values=self.values[symbols, bars],
            tradable=self.tradable[symbols, bars],
            trading_dates=self.trading_dates[bars],
            session_minutes=self.session_minutes[bars],
            sectors=self.sectors[symbols, bars],
        )

    @property
    def session(self) -> npt.NDArray[np.int32]:
        """Number of each bar's trading date on the axis, 0 for the first, shape (T,)."""
        opens = np.append(True, self.trading_dates[1:] != self.trading_dates[:-1])
        return np.asarray(np.cumsum(opens[: self.n_bars]) - 1, dtype=np.int32)

    @property
    def n_symbols(self) -> int:
        """Number of symbols S."""
        return len(self.symbols)

    @property
    def n_bars(self) -> int:
        """Number of bars T on the common time axis."""
        return len(self.timestamps)

    @property
    def present(self) -> BoolArray:
        """Where a symbol has a bar, shape (S, T), tradable or not."""
        return ~np.isnan(self.values[:, :, self.fields.index("close")])

    def field(self, name: str) -> npt.NDArray[np.float32]:
        """One field in panel layout, shape (S, T)."""
        return self.values[:, :, self.fields.index(name)]

    def cross_sections(self, name: str) -> npt.NDArray[np.float32]:
        """One field in cross-section layout, shape (T, S)."""
        return self.field(name).T

    def rows(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Bar and symbol positions of the tradable cells, sorted by (bar, symbol).

        This is the row order of every table keyed (timestamp, symbol).
        """
        bars, symbols = np.nonzero(self.tradable.T)
        return bars, symbols

    def windows(
        self, bars: IntArray, symbols: IntArray, length: int
    ) -> npt.NDArray[np.float32]:
        """Copy the raw bars t-length+1 ... t of some cells.

        Parameters
        ----------
        bars, symbols : ndarray of int, shape (n,)
            Where each window ends, as from :meth:`rows`.
        length : int
            Bars in a window, the oldest first; at least 1.

        Returns
        -------
        ndarray of float32, shape (n, length, F)
            NaN where a symbol has no bar, and before the first bar of the panel.
        """
        if length < 1:
            raise ValueError(f"length is {length}; give 1 or more")
        inside = bars[:, None] + np.arange(1 - length, 1)  # (n, length)
        cells = symbols[:, None], np.maximum(inside, 0)
        values: npt.NDArray[np.float32] = self.values[cells]
        values[inside < 0] = np.nan
        return values

    def bar_positions(
        self, timestamps: npt.NDArray[np.datetime64]
    ) -> npt.NDArray[np.intp]:
        """Positions of ``timestamps`` on the time axis; an unknown one raises KeyError."""
        return _positions(
            self.timestamps.view("i8"), _nanoseconds(timestamps), "timestamp"
        )

    def symbol_positions(
        self, symbols: npt.NDArray[np.object_]
    ) -> npt.NDArray[np.intp]:
        """Positions of ``symbols`` on the symbol axis; an unknown one raises KeyError."""
        return _positions(np.array(self.symbols), symbols.astype(str), "symbol")


def _nanoseconds(timestamps: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    return timestamps.astype("datetime64[ns]").view("i8")


def _positions(
    axis: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic], what: str
) -> npt.NDArray[np.intp]:
    found = np.searchsorted(axis, wanted)
    missing = axis[np.minimum(found, len(axis) - 1)] != wanted
    if missing.any():
        raise KeyError(f"{what} {wanted[missing][0]!r} is not in the panel")
    return np.asarray(found, dtype=np.intp)


def to_cross_sections(
    values: FloatArray, bars: IntArray, symbols: IntArray, shape: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Scatter one value per row into cross-section layout.

    Parameters
    ----------
    values : ndarray, shape (n,)
    bars, symbols : ndarray of int, shape (n,)
        Where each value belongs.
    shape : (T, S)

    Returns
    -------
    ndarray of float64, shape (T, S), NaN where no row exists.
    """
    matrix = np.full(shape, np.nan)
    matrix[bars, symbols] = values
    return matrix
