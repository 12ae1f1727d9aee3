"""Documents as Markdown for a pull-request comment: GitHub's tables, everything from data escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reports.text.plain import one_line, plain_lines
from reports.text.section import Cell, Document, Section

_ENTITIES = {ord(character): f"&#{ord(character)};" for character in "\\`*{}[]<>#|&@~$"}
"""Escaped by number, which holds in every context: no emphasis, link, tag, table border, mention or issue number."""
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""An underscore inside a word, as in `xla_peak`, is no emphasis."""
_BACKTICKS = re.compile("`+")


def markdown(document: Document) -> str:
    """The whole document; the best cell of a column is bold as well as marked with `*`."""
    parts = [f"## {escape(document.title)}"] if document.title else []
    parts += [escape(line) for line in document.lines]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """`text` on one line, so that Markdown and HTML show it as it is; no address in it becomes a link."""
    escaped = _EMPHASIS.sub("\0", one_line(text)).translate(_ENTITIES).replace("\0", "&#95;")
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def _section(section: Section) -> list[str]:
    heading = escape(section.heading)
    parts = [escape(section.caption)] if section.caption else []
    if section.labels or section.columns:
        parts.append(_table(section))
    if section.lines and heading:
        parts.append("\n".join(f"- {escape(line)}" for line in section.lines))
    else:
        parts += [escape(line) for line in section.lines]
    if section.code:
        fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(section.code)), default=0))
        parts.append(f"{fence}\n{plain_lines(section.code)}{fence}")
    if not heading:
        return parts
    if section.collapsed:
        return [f"<details><summary>{heading}</summary>", *parts, "</details>"]
    return [f"**{heading}**", *parts]


def _table(section: Section) -> str:
    columns = (*section.labels, *section.columns)
    lines = [
        _row(escape(column.header) for column in columns),
        _row("---:" if column.right else ":---" for column in columns),
    ]
    lines += [_row(_cell(cell) for cell in cells) for cells in zip(*(c.cells for c in columns), strict=True)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    first, *rest = (escape(line) for line in cell.lines)
    return "<br>".join((f"**{first}**" if cell.best else first, *rest))
