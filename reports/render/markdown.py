"""Sections as Markdown for a pull-request comment: GitHub's tables, everything from data escaped."""

from __future__ import annotations

from collections.abc import Iterable

from reports.text.section import Cell, Section

_SPECIAL = "\\`*_{}[]()<>#+-!|&@~^$:="
_ENTITIES = {ord(character): f"&#{ord(character)};" for character in _SPECIAL if character not in "()-+=^:!"}
"""Escaped by number, which holds in every context: no emphasis, link, tag, table border, mention or issue number."""


def markdown(sections: Iterable[Section], *, title: str) -> str:
    """The sections one after the other; the best of a column is bold as well as marked."""
    parts = [f"## {escape(title)}"]
    for section in sections:
        if section.heading:
            parts.append(f"**{escape(section.heading)}**")
        if section.columns:
            parts.append(_table(section))
        if section.lines and section.heading:
            parts.append("\n".join(f"- {escape(line.strip())}" for line in section.lines))
        else:
            parts += [escape(line) for line in section.lines]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """`text` on one line, so that Markdown and HTML show it as it is.

    `://` is split by an entity, too: no address in data becomes a link.
    """
    return " ".join(text.split()).translate(_ENTITIES).replace("://", "&#58;//").replace("www.", "www&#46;")


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
