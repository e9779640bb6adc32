"""Check: one row of the audit's report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec

from ranking_pipeline.audit.lookahead import AuditResult

P = ParamSpec("P")

CLEAN, LOOKS_AHEAD, NOT_COVERED = "clean", "looks ahead", "not covered"
CAUGHT, MISSED, FAILED = "caught", "missed", "failed"
UNSTEADY = "not repeatable"  # other values on the same bars: it may look ahead or not
GOOD_VERDICTS = (CLEAN, CAUGHT, NOT_COVERED)


@dataclass(frozen=True)
class Check:
    """What one check compared and found.

    Attributes
    ----------
    check : str
        Short name of the claim, such as ``features ignore the future``.
    what : str
        What was checked.
    unit : str
        What is counted: ``cells``, ``pairs``, ``artefacts`` ...
    compared, different : int
    known : int
        Compared cells that hold a value; 0 for other units.
    cuts, ways : int
        Bars at which, and ways in which, the bars were altered; 0 where none were.
    worst : str
        The worst offender in words; empty where there is none.
    verdict : str
        ``clean``, ``looks ahead``, ``not repeatable``, ``not covered`` or ``failed``;
        of a planted look-ahead ``caught`` or ``missed``.
    """

    check: str
    what: str
    unit: str
    compared: int
    different: int
    known: int = 0
    cuts: int = 0
    ways: int = 0
    worst: str = ""
    verdict: str = CLEAN

    @property
    def good(self) -> bool:
        """Whether the check found what it should."""
        return self.verdict in GOOD_VERDICTS


def counted(
    check: str,
    what: str,
    unit: str,
    compared: int,
    different: int,
    worst: str = "",
    known: int = 0,
) -> Check:
    """Judge a count: nothing may differ, and something must have been compared."""
    verdict = LOOKS_AHEAD if different else CLEAN if compared else NOT_COVERED
    return Check(check, what, unit, compared, different, known, 0, 0, worst, verdict)


def check_of(check: str, what: str, result: AuditResult) -> Check:
    """Make the row of an audited function."""
    verdict = CLEAN if result.known else NOT_COVERED
    if result.unsteady:
        verdict = UNSTEADY
    if result.failure or result.n_different:
        verdict = LOOKS_AHEAD
    return Check(
        check,
        what,
        "cells",
        result.compared,
        result.n_different,
        result.known,
        len(result.cuts),
        int((result.different >= 0).any(axis=(0, 1)).sum()),
        str(result.worst or "") or result.failure or result.unsteadiness,
        verdict,
    )


def guarded(
    what: str,
    checks: Callable[P, Sequence[Check]],
    *arguments: P.args,
    **named: P.kwargs,
) -> list[Check]:
    """Make checks; where that breaks, the row says so: an audit ends with a report."""
    try:
        return list(checks(*arguments, **named))
    except Exception as error:  # noqa: BLE001 - whatever breaks, the row tells it
        reason = f"{type(error).__name__}: {error}"
        return [Check("the checks ran", what, "", 0, 0, worst=reason, verdict=FAILED)]
