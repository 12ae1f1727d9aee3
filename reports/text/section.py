"""Documents before they are drawn: sections with a heading, a table and lines of text. Pure data.

`reports.render.terminal`, `reports.render.markdown` and the page draw them. Text from data is never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.text.plain import one_line
from reports.text.units import UNKNOWN

Tone = Literal["", "good", "bad"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; `details` are further lines below its text."""

    text: str
    best: bool = False
    details: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines of the cell; the best of a column starts with `*`."""
        return (f"*{self.text}" if self.best else self.text, *self.details)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table, aligned right (numbers) or left (text)."""

    header: str
    cells: tuple[Cell, ...]
    right: bool = True
    below: bool = False
    """Long text: a terminal prints it below the table, a line per row; the page cuts it until it is clicked."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a caption, a table whose `labels` name its rows, lines of text, and a block of code."""

    heading: str = ""
    lines: tuple[str, ...] = ()
    """Items of a list under a heading; paragraphs without one."""
    labels: tuple[TableColumn, ...] = ()
    columns: tuple[TableColumn, ...] = ()
    caption: str = ""
    """How to read the table."""
    code: str = ""
    """Text to copy as it is, ending in a line break."""
    tone: Tone = ""
    collapsed: bool = False
    """Of minor interest: Markdown folds it away."""


@dataclass(frozen=True, slots=True)
class Document:
    """A title, paragraphs below it, and sections."""

    title: str = ""
    lines: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()


def label(header: str, values: Sequence[object]) -> TableColumn:
    """A column that names rows; whole numbers are aligned right."""
    right = all(value is None or isinstance(value, int) for value in values)
    return TableColumn(header, tuple(Cell(shown(value)) for value in values), right)


def shown(value: object) -> str:
    """`value` on one line without control characters (`one_line`); `-` for None and for empty text."""
    if value is None:
        return UNKNOWN
    return one_line(str(value)) or UNKNOWN


def shortened(text: str, length: int) -> str:
    """`text` on one line (`one_line`) of at most `length` characters."""
    line = one_line(text)
    return line if len(line) <= length else f"{line[: length - 1]}…"
