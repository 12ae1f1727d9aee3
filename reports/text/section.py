"""What a report says, before it is drawn: a heading with lines of text, or with a table. Pure data.

`reports.render.terminal` and `reports.render.markdown` draw sections; text in them may come from data
and is never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.text.units import UNKNOWN


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of a table, with what is said about it in lines of its own below."""

    text: str
    best: bool = False
    details: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines, the best of a column marked."""
        return (f"*{self.text}" if self.best else self.text, *self.details)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table; figures stand on the right."""

    header: str
    cells: tuple[Cell, ...]
    right: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, then lines of text, then a table whose `labels` name its rows."""

    heading: str
    lines: tuple[str, ...] = ()
    labels: tuple[TableColumn, ...] = ()
    columns: tuple[TableColumn, ...] = ()


def label(header: str, values: Sequence[object]) -> TableColumn:
    """A column that names rows; whole numbers stand on the right."""
    right = all(value is None or isinstance(value, int) for value in values)
    return TableColumn(header, tuple(Cell(shown(value)) for value in values), right)


def shown(value: object) -> str:
    """`value` on one line and without control characters (`one_line`), `-` for what is not there."""
    if value is None:
        return UNKNOWN
    return one_line(str(value)) or UNKNOWN


def one_line(text: str) -> str:
    """`text` with single blanks in place of all that is no visible character: line ends, escapes, marks that turn the
    direction of writing."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
