"""Look-ahead report: what was compared, what was found, and the section that says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ranking_pipeline.audit.check import CAUGHT, NOT_COVERED, Check
from ranking_pipeline.audit.futures import DESCRIPTIONS
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.figure_style import GRID, FigureDict, layout
from ranking_pipeline.evaluation.section import Figure, Section, table_of

PLANTED_CHECK = "planted look-ahead"
HONEST_CHECK = "honest look-alike"
FEATURES_CHECK = "features ignore the future"
COLUMNS = (
    "check", "what", "unit", "compared", "known", "different", "cuts", "ways", "worst",
    "verdict",
)  # fmt: skip
_SHADES = [[0.0, "#ffffff"], [0.001, "#dbe7f0"], [1.0, "#2f6f9f"]]


@dataclass(frozen=True)
class LookaheadReport:
    """Everything an audit found.

    Attributes
    ----------
    checks : tuple of Check
    shares : DataFrame
        Planted look-aheads and honest look-alikes (rows) by ways of altering the future
        (columns): share of the cuts at which a cell differed. Empty when none were
        planted.
    scope : str
        What was audited, in words.
    """

    checks: tuple[Check, ...]
    shares: pd.DataFrame
    scope: str

    def extended(self, checks: Iterable[Check]) -> LookaheadReport:
        """Add checks that were made elsewhere, such as those of whole reruns."""
        return replace(self, checks=(*self.checks, *checks))

    @property
    def findings(self) -> tuple[Check, ...]:
        """Checks that did not find what they should."""
        return tuple(check for check in self.checks if not check.good)

    @property
    def clean(self) -> bool:
        """Whether there is no finding."""
        return not self.findings

    def table(self) -> pd.DataFrame:
        """One row per check; columns as in ``COLUMNS``."""
        rows = [{name: getattr(c, name) for name in COLUMNS} for c in self.checks]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @property
    def claims(self) -> tuple[Check, ...]:
        """Checks of the library, without the planted ones."""
        planted = (PLANTED_CHECK, HONEST_CHECK)
        return tuple(check for check in self.checks if check.check not in planted)

    def summary(self) -> str:
        """Say in one line what was compared and found."""
        cells = [check for check in self.claims if check.unit == "cells"]
        compared = sum(check.compared for check in cells)
        known = sum(check.known for check in cells)
        different = sum(check.different for check in cells)
        most = max(cells, key=lambda check: check.cuts, default=None)
        ways = max((check.ways for check in cells), default=0)
        text = (
            f"{compared:,} cells ({known:,} with a value) compared at "
            f"{most.cuts if most else 0} cuts in {ways} ways, {different:,} differ"
        )
        for unit in ("pairs", "artefacts"):
            rows = [check for check in self.claims if check.unit == unit]
            if rows:
                total, wrong = (
                    sum(getattr(row, name) for row in rows)
                    for name in ("compared", "different")
                )
                text += f"; {total:,} {unit}, {wrong:,} wrong"
        return text + self._planted_summary()

    def _planted_summary(self) -> str:
        planted = [check for check in self.checks if check.check == PLANTED_CHECK]
        honest = [check for check in self.checks if check.check == HONEST_CHECK]
        if not planted:
            return "; no look-ahead was planted"
        caught = sum(check.verdict == CAUGHT for check in planted)
        flagged = sum(not check.good for check in honest)
        return (
            f"; {caught} of {len(planted)} planted look-aheads caught; "
            f"{flagged} of {len(honest)} honest look-alikes flagged"
        )


def require_clean(report: LookaheadReport) -> None:
    """Refuse a report with findings.

    Raises
    ------
    UserError
        Naming every finding and its worst offender.
    """
    if report.clean:
        return
    lines = [
        f"- {check.check} ({check.what}): {check.verdict}"
        + (f"; {check.worst}" if check.worst else "")
        for check in report.findings
    ]
    raise UserError(
        "audit: something in this run sees what it cannot know yet.\n"
        + "\n".join(lines)
        + "\nMend it or leave it out; audit_factor tells for one factor, and "
        "audit.strict: false records a finding without stopping."
    )


def lookahead_section(report: LookaheadReport) -> Section:
    """Show the claims, what was planted, and which way catches what.

    Parameters
    ----------
    report : LookaheadReport

    Returns
    -------
    Section
    """
    claims = pd.DataFrame([vars(check) for check in report.claims])
    columns = [
        ("check", "claim", "text"), ("what", "checked on", "text"),
        ("unit", "unit", "text"), ("compared", "compared", "int"),
        ("known", "with a value", "int"), ("different", "different", "int"),
        ("cuts", "cuts", "int"),
        ("ways", "ways", "int"), ("verdict", "verdict", "text"),
    ]  # fmt: skip
    styles = ["" if check.good else "chosen" for check in report.claims]
    caption = (
        "Floats are compared bit by bit. A cut is a bar after which everything is "
        "altered; what was known up to it may not change."
    )
    tables = [table_of(claims, "Claims", columns, caption=caption, emphasis=styles)]
    if report.findings:
        wrong = pd.DataFrame([vars(check) for check in report.findings])
        named = [("check", "claim", "text"), ("what", "checked on", "text"),
                 ("worst", "worst offender", "text")]  # fmt: skip
        tables.append(table_of(wrong, "Findings", named))
    bare = [
        vars(check) | {"why": check.worst or "no compared cell holds a value"}
        for check in report.claims
        if check.verdict == NOT_COVERED
    ]
    if bare:
        named = [("check", "claim", "text"), ("what", "checked on", "text"),
                 ("why", "why", "text")]  # fmt: skip
        tables.append(table_of(pd.DataFrame(bare), "Not covered", named))
    figures = () if report.shares.empty else (_figure(report.shares),)
    lead = f"{report.summary()}. {report.scope}"
    return Section("audit", "No look-ahead", lead, tuple(tables), figures)


def _figure(shares: pd.DataFrame) -> Figure:
    return Figure(
        "Which way catches which look-ahead",
        ways_map(shares),
        "Share of the cuts at which a planted look-ahead shows, on a small market made "
        "for the purpose; the honest look-alikes below must stay blank. "
        + "; ".join(f"{name}: {DESCRIPTIONS[name]}" for name in shares.columns)
        + ".",
    )


def ways_map(shares: pd.DataFrame) -> FigureDict:
    """Share of the cuts, look-aheads (rows) by ways of altering the future (columns)."""
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": [str(name).replace("_", " ") for name in shares.columns],
        "y": [str(name) for name in shares.index],
        "z": [[round(float(v), 4) for v in row] for row in shares.to_numpy()],
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorscale": _SHADES,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickformat": ".0%"},
    }
    shape = layout("", "", height=max(180, 110 + 20 * len(shares)))
    shape["plot_bgcolor"] = GRID
    shape["xaxis"] = shape["xaxis"] | {"type": "category"}
    upright = {"showgrid": False, "type": "category", "autorange": "reversed"}
    shape["yaxis"] = shape["yaxis"] | upright
    return {"data": [trace], "layout": shape}
