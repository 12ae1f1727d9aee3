"""Documents as text for a terminal, a pipe or a log file.

Everything can be read without colour. Numbers are never cut or wrapped: columns that do not fit the width of the
console continue in a further table below; where not even one fits, rows become lists. Text from data is never read as
markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

from reports.records.record import Record
from reports.report.summary import grid_document, summary_document
from reports.text.section import Document, Section, TableColumn
from reports.text.units import UNKNOWN
from reports.text.wrapping import wrap

_GAP = 2
_NARROWEST_LABEL = 8
_SQUEEZED_LABEL = 14
_STYLES = {"": "bold", "good": "green", "bad": "bold red"}


def render_summary(records: Sequence[Record], console: Console, *, title: str = "Summary") -> None:
    """Print the summary of a sweep."""
    print_document(console, summary_document(records, title))


def render_grid(records: Sequence[Record], console: Console) -> None:
    """Print the points of a grid."""
    print_document(console, grid_document(records))


def print_document(console: Console, document: Document) -> None:
    """Print the title, the lines and every section, separated by empty lines."""
    if document.title:
        print_lines(console, document.title, style="bold")
    print_lines(console, *document.lines)
    first, *others = document.sections or (None,)
    if first is not None:
        if document.title or document.lines:
            console.print()
        _print_section(console, first)
    print_sections(console, (section for section in others if section is not None))


def print_sections(console: Console, sections: Iterable[Section]) -> None:
    """Print an empty line and the section, for each of them."""
    for section in sections:
        console.print()
        _print_section(console, section)


def print_lines(console: Console, *lines: str, style: str = "", indent: str = "") -> None:
    """Print lines wrapped to the width of the console; continuation lines are indented by two more spaces."""
    for line in lines:
        wrapped = wrap(line, console.width, first=indent, rest=f"{indent}  ")
        console.print(Text(wrapped, style=style), soft_wrap=True)


def _print_section(console: Console, section: Section) -> None:
    if section.heading:
        print_lines(console, section.heading, style=_STYLES[section.tone])
    if section.caption:
        print_lines(console, section.caption)
    lines = section.lines
    if section.labels or section.columns:
        table, remarks = _without_remarks(section)
        lines = (*remarks, *lines)
        if table.labels[0].cells:
            _print_tables(console, table, after=bool(section.heading or section.caption))
    print_lines(console, *lines, indent="  " if section.heading else "")
    if section.code:
        console.print()
        console.print(Text(section.code), end="", soft_wrap=True)


def _without_remarks(section: Section) -> tuple[Section, list[str]]:
    """The section without its columns of long text, and that text as lines that start with the labels of their row.

    A row without any figure becomes a line only. Rows with equal text share a line.
    """
    texts = [column for column in section.columns if column.below]
    if not texts:
        return section, []
    columns = [column for column in section.columns if not column.below]
    kept: list[int] = []
    named: list[str] = []
    shared: dict[str, list[str]] = {}
    for row in range(len(section.labels[0].cells)):
        text = ": ".join(column.cells[row].text for column in texts if column.cells[row].text)
        line = ": ".join([*(one.cells[row].text for one in section.labels), text])
        if text and all(column.cells[row].text == UNKNOWN for column in columns):
            named.append(line)
            continue
        kept.append(row)
        if text:
            shared.setdefault(text, []).append(line)
    whose = {text: "All" if len(lines) == len(kept) else str(len(lines)) for text, lines in shared.items()}
    remarks = [lines[0] if len(lines) == 1 else f"{whose[text]} rows: {text}" for text, lines in shared.items()]

    def rows(among: Iterable[TableColumn]) -> tuple[TableColumn, ...]:
        return tuple(replace(column, cells=tuple(column.cells[row] for row in kept)) for column in among)

    return replace(section, labels=rows(section.labels), columns=rows(columns)), [*remarks, *named]


def _print_tables(console: Console, section: Section, *, after: bool) -> None:
    """As many tables as it takes to show every column in full, each `after` an empty line; a list if none has room."""
    widths = [_width(column) for column in section.columns]
    label_widths = _label_widths(console.width, section.labels, widths)
    if sum(width + _GAP for width in label_widths) + max(widths, default=-_GAP) > console.width:
        if after:
            console.print()
        _print_list(console, section)
        return
    labels = [_laid_out(column, width, console) for column, width in zip(section.labels, label_widths, strict=True)]
    for place, some in enumerate(_fitting(console.width, label_widths, widths)):
        if place or after:
            console.print()
        columns = [_laid_out(section.columns[index], widths[index], console) for index in some]
        console.print(Table([*labels, *columns]), soft_wrap=True)


def _print_list(console: Console, section: Section) -> None:
    """Every row as a line of its labels, with a line `header: figure` for each column below it."""
    for row in range(len(section.labels[0].cells)):
        print_lines(console, " ".join(one.cells[row].text for one in section.labels), style="bold")
        for column in section.columns:
            print_lines(console, f"{column.header}: {' '.join(column.cells[row].lines)}", indent="  ")


def _width(column: TableColumn) -> int:
    return max(_cells(column.header), *(_cells(line) for cell in column.cells for line in cell.lines))


def _cells(text: str) -> int:
    """The width of a text on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def _label_widths(width: int, labels: Sequence[TableColumn], columns: Sequence[int]) -> list[int]:
    """The widths of the labels, folded if all columns then fit beside them, else to a third of `width` at least."""
    widths = [_width(one) for one in labels]
    room = width - sum(column + _GAP for column in columns) - _GAP * (len(labels) - 1)
    if columns and room < sum(min(one, _SQUEEZED_LABEL) for one in widths):
        room = max(room, width // 3)
    while sum(widths) > room and max(widths) > _NARROWEST_LABEL:
        widths[widths.index(max(widths))] -= 1
    return widths


def _fitting(width: int, label_widths: Sequence[int], columns: Sequence[int]) -> list[list[int]]:
    """The columns of these widths, by number, in groups that fit `width` beside the labels; at least one a group."""
    label_width = sum(label_width + _GAP for label_width in label_widths)
    groups: list[list[int]] = [[]]
    used = label_width
    for index, column in enumerate(columns):
        if groups[-1] and used + column > width:
            groups.append([])
            used = label_width
        groups[-1].append(index)
        used += column + _GAP
    return groups


class _Column(NamedTuple):
    """A column as it is drawn: the lines of every cell, none wider than `width`, and which cells are bold."""

    header: list[str]
    cells: list[list[str]]
    best: list[bool]
    width: int
    right: bool

    def filled(self, line: str) -> str:
        """`line` as wide as the column."""
        if line.isascii():
            return line.rjust(self.width) if self.right else line.ljust(self.width)
        before, after = self.padded(line)
        return f"{before}{line}{after}"

    def padded(self, line: str) -> tuple[str, str]:
        """What stands before and after `line` in its cell."""
        blank = " " * (self.width - _cells(line))
        return (blank, "") if self.right else ("", blank)


def _laid_out(column: TableColumn, width: int, console: Console) -> _Column:
    """A column with the lines that are wider than `width` folded between words."""
    folded: dict[tuple[str, ...], list[str]] = {}
    cells = []
    for cell in column.cells:
        lines = cell.lines
        if lines not in folded:
            folded[lines] = _folded("\n".join(lines), width, console)
        cells.append(folded[lines])
    best = [cell.best for cell in column.cells]
    return _Column(_folded(column.header, width, console), cells, best, width, column.right)


def _folded(text: str, width: int, console: Console) -> list[str]:
    lines = text.split("\n")
    if max(map(_cells, lines)) <= width:
        return lines
    return [line.plain.rstrip() for line in Text(text).wrap(console, width, overflow="fold")]


class Table:
    """Labels on the left and columns beside them, below a header and a rule; for `Console.print`.

    rich's own tables look the same, but take most of the time of a report with thousands of rows.
    """

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """The table in as few segments as its styles need."""
        bold = console.get_style("bold")
        rule = "-" if options.ascii_only else "─"
        width = sum(column.width + _GAP for column in self._columns) - _GAP
        plain = [*self._lines([column.header for column in self._columns]), rule * width, "\n"]
        for row in range(len(self._columns[0].cells)):
            best = [column.best[row] for column in self._columns]
            cells = [column.cells[row] for column in self._columns]
            if not any(best):
                plain += self._lines(cells)
                continue
            for text, is_bold in self._styled(cells, best):
                if is_bold:
                    yield Segment("".join(plain))
                    yield Segment(text, bold)
                    plain = []
                else:
                    plain.append(text)
        yield Segment("".join(plain))

    def _lines(self, cells: Sequence[Sequence[str]]) -> Iterator[str]:
        """The lines of a row without styles."""
        for parts in zip_longest(*cells, fillvalue=""):
            line = (" " * _GAP).join(column.filled(part) for column, part in zip(self._columns, parts, strict=True))
            yield f"{line.rstrip()}\n"

    def _styled(self, cells: Sequence[Sequence[str]], best: Sequence[bool]) -> Iterator[tuple[str, bool]]:
        """The parts of a row, each with whether it is bold."""
        for parts in zip_longest(*cells, fillvalue=""):
            gap = ""
            for column, part, is_bold in zip(self._columns, parts, best, strict=True):
                before, after = column.padded(part)
                yield gap + before, False
                yield part, is_bold and bool(part)
                gap = after + " " * _GAP
            yield "\n", False
