"""Month outcomes: what became of each month and sector, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates.sectors import ALL
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.portfolio.selection import PortfolioSelection
from ranking_pipeline.wording import counted, shortened

DONE, NONE, FAILED, IN_SAMPLE = "done", "no_candidates", "failed", "in_sample"
_SHOWN = 5
_REMEDY = (
    "Name others in prediction.sector (all takes those with candidates), other months, "
    "or another prediction.candidate_type."
)


@dataclass(frozen=True)
class Outcome:
    """What became of one month and sector.

    Attributes
    ----------
    status : str
        ``done``, ``no_candidates``, ``failed``, or ``in_sample``: the model has seen
        the bars of this month.
    reason : str
        Empty when it is done.
    selection : PortfolioSelection
        Without holdings where there is none.
    """

    month: str
    sector: str
    status: str
    reason: str
    selection: PortfolioSelection


def without_portfolio(month: str, sector: str, status: str, reason: str) -> Outcome:
    """Outcome of a month that has no portfolio."""
    return Outcome(month, sector, status, reason, PortfolioSelection(month, sector))


def no_candidate(sector: str, how: PredictionConfig) -> str:
    """Reason of ``no_candidates``."""
    leg = "" if how.candidate_type == "both" else f" {how.candidate_type}"
    return f"no{leg} candidate in {'any sector' if sector == ALL else sector}"


def refuse_when_none(outcomes: Sequence[Outcome]) -> None:
    """Raise UserError where no portfolio at all could be made.

    What an earlier run made stays: an empty table would pass for the newest portfolios.
    """
    if any(one.status == DONE for one in outcomes):
        return
    told = told_missing(outcomes)
    if all(one.status == NONE for one in outcomes):
        told.append(_REMEDY)
    raise UserError(
        f"prediction: none of {counted(len(outcomes), 'portfolio')} could be made; those "
        "of an earlier run stay.\n  "
        + "\n  ".join(told[:_SHOWN])
        + (f"\n  … and {len(told) - _SHOWN} more" if told[_SHOWN:] else "")
    )


def told_missing(outcomes: Sequence[Outcome]) -> list[str]:
    """Say what was not predicted, every reason once with its months."""
    alike = dict[tuple[str, str], list[Outcome]]()
    for one in outcomes:
        if one.status != DONE:
            # months that the model has seen differ in nothing but their as-of bars
            cause = "" if one.status == IN_SAMPLE else one.reason
            alike.setdefault((one.status, cause), []).append(one)
    return [_told_once(group) for group in alike.values()]


def _told_once(alike: Sequence[Outcome]) -> str:
    months = list(dict.fromkeys(one.month for one in alike))
    few = len(months) <= _SHOWN
    named = ", ".join(months) if few else f"{months[0]} to {months[-1]}"
    if alike[0].status == FAILED:
        # the reason tells no sector
        sectors = list(dict.fromkeys(one.sector for one in alike if one.sector != ALL))
        named += f"; {shortened(sectors, _SHOWN)}" if sectors else ""
    what = counted(len(months), "month")
    return f"{what} without a portfolio ({named}): {alike[-1].reason}"
