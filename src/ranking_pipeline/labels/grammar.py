"""The target grammar: names of targets, anchored, with horizons in bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ranking_pipeline.errors import UserError

GRAMMAR = """targets are
  fwd_ret_<h>{m,h,d}              return over the horizon, as fwd_ret_5d
  y_will_peak_<h>{m,h,d}_<k>      1 if the upper barrier is touched, else 0
  y_will_valley_<h>{m,h,d}_<k>    1 if the lower barrier is touched, else 0
  y_first_touch_<h>{m,h,d}_<k>    1 upper, -1 lower barrier first, 0 neither
  label_h<H>                      triple barrier over H bars, as label_h5
with h, H whole numbers from 1 and k a positive number of standard deviations"""

_DURATION = r"(?P<count>[1-9]\d*)(?P<unit>[mhd])"
_PATTERNS = (
    re.compile(rf"fwd_ret_{_DURATION}", re.ASCII),
    re.compile(
        rf"y_(?P<event>will_peak|will_valley|first_touch)_{_DURATION}"
        r"_(?P<multiple>\d+(?:\.\d+)?)",
        re.ASCII,
    ),
    re.compile(r"label_h(?P<bars>[1-9]\d*)", re.ASCII),
)
_INTERVAL = re.compile(_DURATION, re.ASCII)
_MINUTES = {"m": 1, "h": 60}


@dataclass(frozen=True)
class TargetSpec:
    """One target, understood.

    Attributes
    ----------
    name : str
    kind : str
        ``forward_return``, ``path`` or ``triple_barrier``.
    task : str
        ``regression``, ``binary`` or ``three_class``.
    horizon_bars : int
    payoff : str
        Name of the forward return over the same horizon.
    event : str
        ``will_peak``, ``will_valley`` or ``first_touch`` of a path; else empty.
    multiple : float
        Barrier distance of a path in standard deviations; else NaN.
    """

    name: str
    kind: str
    task: str
    horizon_bars: int
    payoff: str
    event: str = ""
    multiple: float = float("nan")


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
    match = next((m for p in _PATTERNS if (m := p.fullmatch(name))), None)
    if match is None:
        raise UserError(f"labels.targets: unknown target {name!r}\n{GRAMMAR}")
    parts = match.groupdict()
    if "bars" in parts:
        bars = int(parts["bars"])
        payoff = f"fwd_ret_{_duration_text(bars, interval)}"
        return TargetSpec(name, "triple_barrier", "three_class", bars, payoff)
    duration = parts["count"] + parts["unit"]
    bars = horizon_bars(duration, interval, bars_per_session)
    payoff = f"fwd_ret_{duration}"
    if "event" not in parts:
        return TargetSpec(name, "forward_return", "regression", bars, payoff)
    if float(parts["multiple"]) <= 0:
        raise UserError(f"labels.targets: {name!r} needs a distance above 0\n{GRAMMAR}")
    task = "three_class" if parts["event"] == "first_touch" else "binary"
    multiple = float(parts["multiple"])
    return TargetSpec(name, "path", task, bars, payoff, parts["event"], multiple)


def horizon_bars(duration: str, interval: str, bars_per_session: int | None) -> int:
    """Count the bars in a duration such as ``60m`` or ``5d``.

    Bars are counted on the panel's time axis, so that minutes and hours run on over
    the close of a session into the next one.

    Raises
    ------
    UserError
        When the duration is no whole number of bars, is shorter than a bar, or counts
        days of bars whose number per session is not given.
    """
    count, unit = _split(duration)
    step, step_unit = _split(interval)
    if unit == "d" and step_unit != "d":
        if bars_per_session is None:
            raise UserError(
                f"labels.targets: a horizon of {duration} on {interval} bars needs "
                "bars_per_session, the number of bars in a trading day"
            )
        return count * bars_per_session
    if step_unit == "d" and unit != "d":
        raise UserError(
            f"labels.targets: a horizon of {duration} is shorter than the {interval} "
            "bars; give it in days"
        )
    length = count * _MINUTES.get(unit, 1)
    width = step * _MINUTES.get(step_unit, 1)
    if length % width:
        raise UserError(
            f"labels.targets: a horizon of {duration} is no whole number of "
            f"{interval} bars"
        )
    return length // width


def _split(duration: str) -> tuple[int, str]:
    match = _INTERVAL.fullmatch(duration)
    if match is None:
        raise UserError(
            f"interval {duration!r} is not a whole number and m, h or d, as 5m or 1d"
        )
    return int(match["count"]), match["unit"]


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
        else _paid_by(spec, requested.get(spec.horizon_bars, spec.payoff))
        for spec in specs
    ]


def _paid_by(spec: TargetSpec, payoff: str) -> TargetSpec:
    return TargetSpec(**{**vars(spec), "payoff": payoff})
