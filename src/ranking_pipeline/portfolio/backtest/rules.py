"""Rules: when a book trades, what that costs, and on what capital it is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BPS = 1e-4


@dataclass(frozen=True)
class Rules:
    """How target weights are carried out.

    Attributes
    ----------
    horizon_bars : int
        Bars for which a book holds what it bought.
    lag_bars : int
        Weights decided at the close of bar t are traded at the close of t + lag.
    cost_bps_per_side : float
        Basis points of the traded notional, at entry, change and exit alike.
    borrow_bps_per_year : float
        Basis points a year of the short notional of the whole account (longs and
        shorts of one name in two books cancel), paid per bar on what was carried into
        the bar. No interest is earned on the proceeds of short sales or on cash.
    rebalance_bars : int
        Bars from one trade to the next, counted from the first decision. The horizon is
        a multiple of it (then ``horizon / rebalance`` staggered books share the capital
        equally) or divides it (then one book holds until the next trade).
    exit_at_end : bool
        Sell everything at the last close, at cost; nothing is bought there. Otherwise
        positions are left open, and their exit is not paid.
    capital_base : "leg" or "gross"
        ``leg``: the capital is that of one leg, 1 for a book of +1 and -1. ``gross``:
        it is both legs together, so a book of two legs has half the weights, returns
        and costs. A book of one leg is the same under both.
    legs : "both", "long" or "short"
        Sides of the targets that are held.
    periods_per_year : float
        Bars in a year; needed for the borrow only.

    Raises
    ------
    ValueError
        A number is out of its range, or the two intervals do not fit.
    """

    horizon_bars: int
    lag_bars: int
    cost_bps_per_side: float
    borrow_bps_per_year: float
    rebalance_bars: int
    exit_at_end: bool
    capital_base: Literal["leg", "gross"]
    legs: Literal["both", "long", "short"]
    periods_per_year: float = float("nan")

    def __post_init__(self) -> None:
        longest = max(self.horizon_bars, self.rebalance_bars)
        shortest = min(self.horizon_bars, self.rebalance_bars)
        if shortest < 1 or longest % shortest:
            raise ValueError(
                f"horizon_bars {self.horizon_bars} and rebalance_bars "
                f"{self.rebalance_bars} must be at least 1, one a multiple of the other"
            )
        if self.lag_bars < 0:
            raise ValueError(f"lag_bars must be at least 0, not {self.lag_bars}")
        for name in ("cost_bps_per_side", "borrow_bps_per_year"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.borrow_bps_per_year > 0 and not self.periods_per_year > 0:
            raise ValueError("borrow_bps_per_year needs periods_per_year")
        if self.capital_base not in {"leg", "gross"}:
            raise ValueError(f"capital_base is leg or gross, not {self.capital_base}")
        if self.legs not in {"both", "long", "short"}:
            raise ValueError(f"legs is both, long or short, not {self.legs}")

    @property
    def n_books(self) -> int:
        """Staggered books, each with an equal share of the capital."""
        return max(1, self.horizon_bars // self.rebalance_bars)

    @property
    def cost_rate(self) -> float:
        """Cost as a share of the whole capital, per traded share of one book."""
        return self.cost_bps_per_side * BPS / self.n_books

    @property
    def borrow_rate(self) -> float:
        """Borrow cost of one bar, per unit of short notional."""
        if not self.borrow_bps_per_year:
            return 0.0
        return self.borrow_bps_per_year * BPS / self.periods_per_year

    @property
    def scale(self) -> float:
        """What a target weight is multiplied by to be a share of the capital."""
        return 0.5 if self.capital_base == "gross" and self.legs == "both" else 1.0
