"""The target grammar: names of targets, anchored, with horizons in bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ranking_pipeline.bars.interval import interval_minutes
from ranking_pipeline.errors import UserError

GRAMMAR = """targets are
  fwd_ret_<h>{m,h,d,b}              return over the horizon, as fwd_ret_5d
  fwd_mfe_<h>{m,h,d,b}              return to the highest high on the way
  fwd_mdd_<h>{m,h,d,b}              return to the lowest low on the way
  y_will_peak_<h>{m,h,d,b}_<k>      1 if the upper barrier is touched, else 0
  y_will_valley_<h>{m,h,d,b}_<k>    1 if the lower barrier is touched, else 0
  y_first_touch_<h>{m,h,d,b}_<k>    1 upper, -1 lower barrier first, 0 neither
  y_will_peak_mfe_<h>{m,h,d,b}_<x>    1 if the highest high returns x or more
  y_will_valley_mdd_<h>{m,h,d,b}_<x>  1 if the lowest low returns -x or less
  y_will_swing_high_<h>{m,h,d,b}_<r>  1 if a local high is followed by a fall
  y_will_swing_low_<h>{m,h,d,b}_<r>   1 if a local low is followed by a rise
  label_h<H>                        triple barrier over H bars, as label_h5
with h, H whole numbers from 1 (b = bars), k and r positive numbers of standard
deviations over the horizon, and x a positive return such as 0.002"""

SWING_NEIGHBOURS = 3  # bars on either side that a local extreme is compared with

_DURATION = r"(?P<count>[1-9]\d*)(?P<unit>[mhdb])"
_AMOUNT = r"(?P<amount>\d+(?:\.\d+)?)"
_PATTERNS = {
    kind: re.compile(pattern, re.ASCII)
    for kind, pattern in (
        ("forward_return", rf"fwd_ret_{_DURATION}"),
        ("excursion", rf"fwd_(?P<event>mfe|mdd)_{_DURATION}"),
        (
            "path",
            rf"y_(?P<event>will_peak|will_valley|first_touch)_{_DURATION}_{_AMOUNT}",
        ),
        (
            "threshold",
            rf"y_will_(?P<event>peak_mfe|valley_mdd)_{_DURATION}_{_AMOUNT}",
        ),
        ("swing", rf"y_will_(?P<event>swing_high|swing_low)_{_DURATION}_{_AMOUNT}"),
        ("triple_barrier", r"label_h(?P<bars>[1-9]\d*)"),
    )
}
_TASKS = {
    "forward_return": "regression",
    "excursion": "regression",
    "path": "binary",
    "threshold": "binary",
    "swing": "binary",
    "triple_barrier": "three_class",
}
_HORIZON = re.compile(_DURATION, re.ASCII)
_MINUTES = {"m": 1, "h": 60, "d": 1440}
_TIERS = ((60, "short"), (240, "medium"), (1440, "long"))


@dataclass(frozen=True)
class TargetSpec:
    """One target, understood.

    Attributes
    ----------
    name : str
    kind : str
        ``forward_return``, ``excursion``, ``path``, ``threshold``, ``swing`` or
        ``triple_barrier``.
    task : str
        ``regression``, ``binary`` or ``three_class``.
    horizon_bars : int
    payoff : str
        Name of the forward return over the same horizon.
    horizon_minutes : int
        Length of the horizon; a whole session counts as the 1440 minutes of a day.
    event : str
        What is watched for, as in the name: ``will_peak``, ``first_touch``, ``mfe`` ...;
        empty for a forward return and a triple barrier.
    multiple : float
        Barrier distance of a path, or reversal of a swing, in standard deviations over
        the horizon; else NaN.
    threshold : float
        Return that an excursion has to reach; else NaN.
    """

    name: str
    kind: str
    task: str
    horizon_bars: int
    payoff: str
    horizon_minutes: int
    event: str = ""
    multiple: float = float("nan")
    threshold: float = float("nan")

    @property
    def horizon_tier(self) -> str:
        """``short`` (under an hour), ``medium`` (4 h), ``long`` (a day), ``very_long``."""
        for limit, tier in _TIERS:
            if self.horizon_minutes < limit:
                return tier
        return "very_long"


def parse_targets(
    names: Sequence[str], interval: str, bars_per_session: int | None = None
) -> list[TargetSpec]:
    """Understand the names of all targets, or say at once what is wrong with any.

    Parameters
    ----------
    names : sequence of str
    interval : str
        Length of a bar: ``1d``, ``5m``, ``1h`` ...
    bars_per_session : int, optional
        Bars of a trading day; needed for horizons in days on shorter bars.

    Raises
    ------
    UserError
        Listing every bad name and the grammar.
    """
    problems, specs = [], []
    for name in names:
        try:
            specs.append(parse_target(name, interval, bars_per_session))
        except UserError as error:
            problems.append(str(error).removesuffix(f"\n{GRAMMAR}"))
    problems += [
        f"labels.targets: {name!r} is listed twice"
        for name in sorted({name for name in names if list(names).count(name) > 1})
    ]
    if problems:
        raise UserError("\n".join([*problems, GRAMMAR]))
    return _with_requested_payoffs(specs)


def parse_target(
    name: str, interval: str, bars_per_session: int | None = None
) -> TargetSpec:
    """Understand one name; see :func:`parse_targets`."""
    kind, parts = _matched(name)
    if "bars" in parts:
        bars = int(parts["bars"])
        duration = _duration_text(bars, interval)
    else:
        duration = parts["count"] + parts["unit"]
        bars = horizon_bars(duration, interval, bars_per_session)
    spec = TargetSpec(
        name=name,
        kind=kind,
        task="three_class" if parts.get("event") == "first_touch" else _TASKS[kind],
        horizon_bars=bars,
        payoff=f"fwd_ret_{duration}",
        horizon_minutes=_horizon_minutes(bars, interval, bars_per_session),
        event=parts.get("event", ""),
    )
    return _with_amount(spec, parts["amount"]) if "amount" in parts else spec


def _matched(name: str) -> tuple[str, dict[str, str]]:
    for kind, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(name):
            return kind, match.groupdict()
    raise UserError(f"labels.targets: unknown target {name!r}\n{GRAMMAR}")


def _with_amount(spec: TargetSpec, text: str) -> TargetSpec:
    amount = float(text)
    if amount <= 0:
        raise UserError(
            f"labels.targets: {spec.name!r} needs a distance above 0\n{GRAMMAR}"
        )
    if spec.event == "valley_mdd" and amount >= 1:
        raise UserError(
            f"labels.targets: {spec.name!r} waits for a return of {-amount:g}, which "
            "no price can make; give a number below 1, such as 0.002"
        )
    if spec.kind == "swing":
        _require_room_for_a_swing(spec)
    if spec.kind == "threshold":
        return replace(spec, threshold=amount)
    return replace(spec, multiple=amount)


def _require_room_for_a_swing(spec: TargetSpec) -> None:
    least = 2 * SWING_NEIGHBOURS + 1
    if spec.horizon_bars < least:
        raise UserError(
            f"labels.targets: {spec.name!r} spans {spec.horizon_bars} bars; a local "
            f"extreme with {SWING_NEIGHBOURS} bars on either side needs at least "
            f"{least}. Give a longer horizon or shorter bars"
        )


def horizon_bars(duration: str, interval: str, bars_per_session: int | None) -> int:
    """Count the bars in a duration such as ``60m``, ``5d`` or ``12b``.

    Bars are counted on the panel's time axis, so that minutes and hours run on over
    the close of a session into the next one (``labels.cross_sessions`` can forbid
    that). A day of shorter bars is ``bars_per_session`` of them, also across a session
    of another length: a label then ends at another time of day, but always the same
    number of bars after its decision, which is what purging, block lengths and holding
    periods count in.

    Raises
    ------
    UserError
        When the duration is no whole number of bars, is shorter than a bar, or counts
        days of bars whose number per session is not given.
    """
    match = _HORIZON.fullmatch(duration)
    if match is None:
        raise UserError(f"{duration!r} is not a whole number and m, h, d or b, as 5d")
    count, unit = int(match["count"]), match["unit"]
    step, step_unit = _split(interval)
    if unit == "b":
        return count
    if unit == "d" and step_unit != "d":
        if bars_per_session is None:
            raise UserError(
                f"labels.targets: a horizon of {duration} on {interval} bars needs "
                "bars_per_session, the number of bars in a trading day"
            )
        return count * bars_per_session
    if step_unit == "d" and unit != "d":
        raise UserError(
            f"labels.targets: a horizon of {duration} does not count {interval} bars; "
            "give it in days or bars, as 5d or 5b"
        )
    length, width = count * _MINUTES[unit], step * _MINUTES[step_unit]
    if length % width:
        raise UserError(
            f"labels.targets: a horizon of {duration} is no whole number of "
            f"{interval} bars"
        )
    return length // width


def _horizon_minutes(bars: int, interval: str, bars_per_session: int | None) -> int:
    count, unit = _split(interval)
    minutes = bars * count * _MINUTES[unit]
    if bars_per_session is None or unit == "d":
        return minutes
    return max(minutes, bars // bars_per_session * _MINUTES["d"])


def _split(interval: str) -> tuple[int, str]:
    interval_minutes(interval)  # refuses what is no length of a bar
    return int(interval[:-1]), interval[-1]


def _duration_text(bars: int, interval: str) -> str:
    count, unit = _split(interval)
    return f"{bars * count}{unit}"


def _with_requested_payoffs(specs: list[TargetSpec]) -> list[TargetSpec]:
    """Let a forward return that is asked for be the payoff of its whole horizon."""
    requested: dict[int, str] = {}
    for spec in specs:
        if spec.kind == "forward_return":
            requested.setdefault(spec.horizon_bars, spec.name)
    return [
        spec
        if spec.kind == "forward_return"
        else replace(spec, payoff=requested.get(spec.horizon_bars, spec.payoff))
        for spec in specs
    ]
