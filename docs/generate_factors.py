"""Write docs/factors.md from the library of factors.

Run it with ``.venv/bin/python docs/generate_factors.py``; a test holds the page to what
this script would write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ranking_pipeline.features import factor_names, feature_manifest
from ranking_pipeline.features.sets import SETS

PROJECT = Path(__file__).resolve().parents[1]
HEAD = """# Factors

Every factor of the library, generated from what each declares. A factor is known at the
close of bar t and reads no later bar. Choose them with `features.factors`: names of
factors and of sets, mixed. `NAME@INTERVAL`, as in `ret_5@1h` or `vol_20@1d`, is the
factor of coarser bars, at the last of them that has ended.

**Look-back** counts the bars before t. *session*: from the opening of the running
session; *session + n*: from the opening n sessions before; *all*: every bar up to t.
A value is missing in the first bars that its look-back does not cover, where too much of
a window is missing (any value of up to 10, a third above that), and where the formula
has no finite value. Comparisons of symbols take the tradable names of the bar; those
whose sector is not known form a sector of their own.

"""
COLUMNS = ("name", "formula", "look-back", "inputs", "source", "sets")


def main() -> None:
    """Write the page."""
    (PROJECT / "docs" / "factors.md").write_text(render(), encoding="utf-8")


def render() -> str:
    """The page's text."""
    manifest = feature_manifest()
    groups = manifest.groupby("group", sort=False)
    return HEAD + "\n".join([_sets(), *(_group(*group) for group in groups)])


def _sets() -> str:
    lines = ["## Sets", "", "| set | factors | what it holds |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {len(factor_names(name))} | {meaning} |"
        for name, meaning in SETS.items()
    ]
    return "\n".join([*lines, ""])


def _group(name: Any, factors: pd.DataFrame) -> str:
    head = [f"## {name[0].upper()}{name[1:]}", ""]
    head += [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    rows = [
        _row(
            (
                f"`{factor.name}`",
                factor.formula,
                _lookback(factor),
                factor.inputs.replace(",", ", "),
                factor.source,
                factor.sets.replace(",", ", ") or "all",
            )
        )
        for factor in factors.itertuples(index=False)
    ]
    return "\n".join([*head, *rows, ""])


def _lookback(factor: Any) -> str:
    if factor.window == "session":
        sessions = factor.lookback_sessions
        return f"session + {sessions}" if sessions else "session"
    return "all" if factor.window == "history" else str(factor.lookback_bars)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
