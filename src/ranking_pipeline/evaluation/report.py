"""Report: sections as one self-contained page of HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from ranking_pipeline.evaluation.formats import clear_sign, format_cell
from ranking_pipeline.evaluation.report_style import CSS, SCRIPT
from ranking_pipeline.evaluation.section import (
    Cell,
    Column,
    Figure,
    Section,
    Table,
    json_safe,
)
from ranking_pipeline.evaluation.verdict import headline, verdict

FIRST = "evaluation"
TAGS = {name: name for name in ("chosen", "baseline", "benchmark", "oracle")}
LONG_TEXT = 34


def render_report(header: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """Render the report.

    Parameters
    ----------
    header : mapping
        ``title``; optional ``subtitle``, ``facts`` (mapping of label to text), ``notes``
        (sentences) and ``summary`` (``Evaluation.summary``), from which the verdict is
        written.
    sections : sequence of Section
        In pipeline order; the leaderboard is moved to the front.

    Returns
    -------
    str
        One page that needs no other file and no network. The same input gives the
        same bytes.
    """
    ordered = sorted(sections, key=lambda section: section.name != FIRST)
    title = escape(str(header.get("title", "Report")))
    body = "\n".join(_section(section) for section in ordered)
    library = _plotly() if any(section.figures for section in ordered) else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<div class="page">\n{_contents(ordered)}\n<main>\n<h1>{title}</h1>\n'
        f"{_head(header)}\n{_summary(header, sections)}\n{body}\n"
        "</main>\n</div>\n"
        f"{library}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>\n"


def _contents(sections: Sequence[Section]) -> str:
    links = [("summary", "Summary")]
    links += [(_anchor(section.name), section.title) for section in sections]
    lines = [f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links]
    return f'<nav aria-label="Contents"><b>Contents</b>{"".join(lines)}</nav>'


def _head(header: Mapping[str, Any]) -> str:
    subtitle = escape(str(header.get("subtitle", "")))
    facts = "".join(
        f"<div><dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd></div>"
        for key, value in (header.get("facts") or {}).items()
    )
    first = f'<p class="subtitle">{subtitle}</p>' if subtitle else ""
    notes = "".join(f"<p>{escape(note)}</p>" for note in header.get("notes", ()))
    return first + (f'<dl class="facts">{facts}</dl>' if facts else "") + notes


def _summary(header: Mapping[str, Any], sections: Sequence[Section]) -> str:
    facts = header.get("summary")
    parts = []
    if facts:
        parts.append(f'<p class="headline">{escape(headline(facts))}</p>')
        parts.append(f"<p>{escape(verdict(facts))}</p>{_tiles(facts)}")
    items = "".join(
        f"<li><b>{escape(section.title)}</b>{escape(section.lead)}</li>"
        for section in sections
        if section.name != FIRST
    )
    parts.append(f'<ul class="stages">{items}</ul>' if items else "")
    return f'<section class="summary" id="summary">{"".join(parts)}</section>'


def _tiles(facts: Mapping[str, Any]) -> str:
    """Large numbers of the summary."""
    row = facts["chosen"] or facts["baseline"]
    who = "chosen row" if facts["chosen"] else "best baseline"
    wanted: list[tuple[str, Cell, str]] = [
        (f"test rank IC (t), {who}", [row["rank_ic"], row["ic_t"]], "ic_t"),
        ("validation rank IC", row["validation_ic"], "ic"),
        ("net bps per bar", row["net_bps_per_bar"], "bps"),
        ("gross bps per bar", row["gross_bps_per_bar"], "bps"),
        ("turnover per rebalance", row["turnover"], "number"),
    ]
    if facts["chosen"]:
        best = facts["baseline"]
        pair: Cell = [best["rank_ic"], best["ic_t"]]
        wanted.insert(1, (f"best baseline, {best['model_id']}", pair, "ic_t"))
    if facts["oracle"]:
        wanted.append(("of the oracle’s IC", row["share_of_oracle"], "percent"))
    tiles = "".join(
        f'<div class="tile"><div class="value">{escape(format_cell(value, kind))}</div>'
        f'<div class="label">{escape(label)}</div></div>'
        for label, value, kind in wanted
    )
    return f'<div class="tiles">{tiles}</div>'


def _section(section: Section) -> str:
    anchor = _anchor(section.name)
    tables = [_table(table) for table in section.tables]
    figures = [
        _figure(figure, f"figure-{anchor}-{index}")
        for index, figure in enumerate(section.figures)
    ]
    drawn = f'<div class="figures">{"".join(figures)}</div>' if figures else ""
    # the first table answers the question, the figures explain it
    return (
        f'<section id="{anchor}">\n<h2>{escape(section.title)}</h2>\n'
        f"<p>{escape(section.lead)}</p>\n{''.join(tables[:1])}\n{drawn}\n"
        f"{''.join(tables[1:])}\n</section>"
    )


def _table(table: Table) -> str:
    heads = "".join(
        f"<th{_numeric(column)}>{escape(column.label)}</th>" for column in table.columns
    )
    styles = table.emphasis or ("",) * len(table.rows)
    grouped = _in_groups(table)
    lines, previous = [], None
    for row, style in zip(table.rows, styles, strict=True):
        edge = grouped and previous not in (None, row[0])
        lines.append(_row(row, table.columns, style, rule=edge))
        previous = row[0] if row else None
    caption = f'<p class="caption">{escape(table.caption)}</p>' if table.caption else ""
    return (
        f'<h3>{escape(table.title)}</h3>\n<div class="scroll"><table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>\n"
        f"</table></div>\n{caption}\n"
    )


def _in_groups(table: Table) -> bool:
    """Whether the rows of each target stand together, and some target has several."""
    if not table.columns or table.columns[0].name != "target":
        return False
    names = [row[0] for row in table.rows]
    runs = 1 + sum(first != second for first, second in pairwise(names))
    return runs == len(set(names)) < len(names)


def _row(
    row: Sequence[Cell], columns: Sequence[Column], style: str, *, rule: bool
) -> str:
    cells = []
    for cell, column in zip(row, columns, strict=True):
        text = _cell(cell, column)
        if column.name == "model_id":
            text = text.replace(":", ":<wbr>")  # long names break there, nowhere else
        if column.name == "model_id" and style in TAGS:
            text += f'<span class="tag">{TAGS[style]}</span>'
        cells.append(f"<td{_numeric(column, cell)}>{text}</td>")
    classes = " ".join(filter(None, (escape(style), "rule" if rule else "")))
    return f'<tr class="{classes}">{"".join(cells)}</tr>\n'


def _cell(cell: Cell, column: Column) -> str:
    text = escape(format_cell(cell, column.format))
    sign = clear_sign(cell, column.format)
    if not sign:
        return text
    if "(" not in text:
        return f'<span class="{sign}">{text}</span>'
    centre, bracket = text.split(" (", 1)
    return f'{centre} <span class="{sign}">({bracket}</span>'


def _numeric(column: Column, cell: Cell = None) -> str:
    if column.format not in ("text", "flag"):
        return ' class="n"'
    return ' class="wrap"' if isinstance(cell, str) and len(cell) > LONG_TEXT else ""


def _figure(figure: Figure, identity: str) -> str:
    caption = (
        f'<p class="caption">{escape(figure.caption)}</p>' if figure.caption else ""
    )
    wide = ' class="wide"' if len(figure.figure.get("data", ())) > 1 else ""
    return (
        f"<figure{wide}><figcaption><h3>{escape(figure.title)}</h3></figcaption>"
        f'<div class="plot" id="{identity}"></div>{caption}'
        f'<script type="application/json" data-figure="{identity}">'
        f"{_embedded(figure.figure)}</script></figure>\n"
    )


def _embedded(figure: Mapping[str, Any]) -> str:
    """JSON that can neither end its script element nor be read as markup by plotly."""
    text = json.dumps(
        _literal(json_safe(figure)), separators=(",", ":"), allow_nan=False
    )
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _literal(value: Any) -> Any:
    """Escape the strings of a figure: plotly reads a few HTML tags in its texts."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return value.replace("<", "&lt;") if isinstance(value, str) else value


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower())
