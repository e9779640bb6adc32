"""Previews: what kedro-viz shows of a text that is too long to show whole."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NewType

# kedro-viz draws a preview of this name as it draws the text of a node.
TextPreview = NewType("TextPreview", str)

SILENT = frozenset({"script", "style", "nav", "figure", "title"})
LINES = frozenset({"h1", "h2", "h3", "p", "li", "tr", "dt", "section", "table"})


def first_lines(text: str, count: int) -> TextPreview:
    """The first ``count`` lines, and how many follow."""
    lines = text.splitlines()
    rest = len(lines) - count
    more = [f"… and {rest:,} more lines"] if rest > 0 else []
    return TextPreview("\n".join([*lines[:count], *more]))


def text_of_html(page: str) -> str:
    """The words of a page, one line for each paragraph, item and table row."""
    reader = _Words()
    reader.feed(page)
    reader.close()
    lines = (re.sub(r"\s+", " ", line).strip(" |") for line in reader.lines)
    return "\n".join(line for line in lines if line)


class _Words(HTMLParser):
    """Collects text outside of scripts, styles, figures and the contents."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines = [""]
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in SILENT
        if tag in LINES or ("class", "tile") in attrs:
            self.lines.append("")
        elif tag == "span":
            self.lines[-1] += " "

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in SILENT
        if tag in ("td", "th"):
            self.lines[-1] += " | "
        elif tag in ("b", "dt", "div"):
            self.lines[-1] += " "

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.lines[-1] += data
