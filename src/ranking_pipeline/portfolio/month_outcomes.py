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


def refuse_when_all_failed(outcomes: Sequence[Outcome]) -> None:
    """Raise UserError where nothing was predicted and something went wrong."""
    wrong = [one for one in outcomes if one.status in (FAILED, IN_SAMPLE)]
    if not wrong or any(one.status == DONE for one in outcomes):
        return
    reasons = list(dict.fromkeys(f"{o.month}: {o.reason}" for o in wrong))
    more = f"\n  … and {len(reasons) - _SHOWN} more" if reasons[_SHOWN:] else ""
    raise UserError(
        f"prediction: none of {len(outcomes)} portfolios could be made.\n  "
        + "\n  ".join(reasons[:_SHOWN])
        + more
    )


def told_missing(outcomes: Sequence[Outcome]) -> list[str]:
    """Say what was not predicted: each failure, and every other reason once."""
    failures, others = [], dict[tuple[str, str], list[Outcome]]()
    for one in outcomes:
        if one.status == FAILED:
            failures.append(f"{one.month} {one.sector} failed: {one.reason}")
        elif one.status != DONE:
            # months that the model has seen differ in nothing but their as-of bars
            cause = "" if one.status == IN_SAMPLE else one.reason
            others.setdefault((one.status, cause), []).append(one)
    return failures + [_told_once(alike) for alike in others.values()]


def _told_once(alike: Sequence[Outcome]) -> str:
    months = list(dict.fromkeys(one.month for one in alike))
    what, names = counted(len(months), "month"), shortened(months, _SHOWN)
    return f"{what} without a portfolio ({names}): {alike[-1].reason}"
