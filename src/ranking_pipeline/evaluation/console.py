"""Console: the leaderboard as fixed-width text."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ranking_pipeline.evaluation.formats import format_cell
from ranking_pipeline.evaluation.section import table_of

COLUMNS = (
    ("model_id", "row", "text"),
    ("validation_ic validation_t", "validation IC (t)", "ic_t"),
    ("rank_ic ic_t", "test IC (t)", "ic_t"),
    ("share_of_oracle", "of oracle", "percent"),
    ("decile_spread_bps", "spread bps", "bps"),
    ("turnover", "turnover", "number"),
    ("net_bps_per_bar", "net bps/bar", "bps"),
    ("net_sharpe", "net Sharpe", "number"),
)
MARKS = {"chosen": "*", "baseline": "·", "oracle": "o", "": " "}


def leaderboard_text(leaderboard: pd.DataFrame) -> str:
    """Write the leaderboard for a terminal, one block per target.

    Parameters
    ----------
    leaderboard : DataFrame

    Returns
    -------
    str
        The chosen row is marked ``*``, baselines ``·``, the oracle ``o``.
    """
    blocks = [
        f"{target} (test split; order by validation)\n{_block(rows)}"
        for target, rows in leaderboard.groupby("target", sort=False)
    ]
    legend = "* chosen on validation   · baseline"
    if "oracle" in set(leaderboard["kind"]):
        legend += "   o oracle of the simulated market"
    return "\n\n".join([*blocks, legend]) if blocks else "No row to show."


def _block(rows: pd.DataFrame) -> str:
    known = [c for c in COLUMNS if not rows[c[0].split()].isna().all(axis=None)]
    table = table_of(rows, "", known)
    heads = ["", *(column.label for column in table.columns)]
    body = [
        [_mark(chosen, kind)]
        + [
            format_cell(cell, column.format)
            for cell, column in zip(row, table.columns, strict=True)
        ]
        for row, chosen, kind in zip(
            table.rows, rows["chosen"], rows["kind"], strict=True
        )
    ]
    return fixed_width(heads, body)


def fixed_width(
    heads: Sequence[str], body: Sequence[Sequence[str]], n_left: int = 2
) -> str:
    """Lay out cells in columns: the first ``n_left`` flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    return "\n".join(_line(line, widths, n_left) for line in (heads, *body))


def _mark(chosen: bool, kind: str) -> str:
    return MARKS["chosen"] if chosen else MARKS.get(kind, " ")


def _line(cells: Sequence[str], widths: Sequence[int], n_left: int) -> str:
    sides = [str.ljust] * n_left + [str.rjust] * (len(cells) - n_left)
    laid = [side(cell, w) for side, cell, w in zip(sides, cells, widths, strict=True)]
    return "  ".join(laid).rstrip()
