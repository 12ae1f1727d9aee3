"""Documents as text for a terminal, a pipe or a log file.

Everything can be read without colour. Numbers are never cut or wrapped: columns that do not fit the width of the
console continue in a further table below; where not even one fits, rows become lists. Text from data is never read as
markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.records.record import Record
from reports.report.missing import NOTHING_MISSING, Missing
from reports.report.summary import grid_document, summary_document
from reports.text.section import Document, Section, TableColumn
from reports.text.units import UNKNOWN
from reports.text.wrapping import wrap

_GAP = 2
_PARTS = re.compile(r"(?<=[_/:;,=])(?=.)")
"""Where a name may be broken."""
_NARROWEST_LABEL = 8
_SQUEEZED_LABEL = 14
_STYLES = {"": "bold", "good": "green", "bad": "bold red"}


def render_summary(
    records: Sequence[Record], console: Console, *, title: str = "Summary", missing: Missing = NOTHING_MISSING
) -> None:
    """Print the summary of a sweep."""
    print_document(console, summary_document(records, title, missing))


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
    label_widths = _label_widths(console.width, section.labels, section.columns)
    widest = max(map(_width, section.columns), default=-_GAP)
    if sum(width + _GAP for width in label_widths) + widest > console.width:
        if after:
            console.print()
        _print_list(console, section)
        return
    for place, some in enumerate(_fitting(console.width, label_widths, section.columns)):
        if place or after:
            console.print()
        console.print(_table(section.labels, label_widths, some))


def _print_list(console: Console, section: Section) -> None:
    """Every row as a line of its labels, with a line `header: figure` for each column below it."""
    for row in range(len(section.labels[0].cells)):
        print_lines(console, " ".join(one.cells[row].text for one in section.labels), style="bold")
        for column in section.columns:
            print_lines(console, f"{column.header}: {' '.join(column.cells[row].lines)}", indent="  ")


def _width(column: TableColumn) -> int:
    return max(cell_len(column.header), *(cell_len(line) for cell in column.cells for line in cell.lines))


def _label_widths(width: int, labels: Sequence[TableColumn], columns: Sequence[TableColumn]) -> list[int]:
    """The widths of the labels, folded if all columns then fit beside them, else to a third of `width` at least.

    No label is narrower than its longest word.
    """
    widths = [_width(one) for one in labels]
    room = width - sum(_width(column) + _GAP for column in columns) - _GAP * (len(labels) - 1)
    if columns and room < sum(min(one, _SQUEEZED_LABEL) for one in widths):
        room = max(room, width // 3)
    least = [min(width, max(_NARROWEST_LABEL, _longest_part(one))) for width, one in zip(widths, labels, strict=True)]
    while sum(widths) > room and widths != least:
        widest = max(width for width, floor in zip(widths, least, strict=True) if width > floor)
        place = next(n for n, width in enumerate(widths) if width == widest and width > least[n])
        widths[place] -= 1
    return widths


def _longest_part(column: TableColumn) -> int:
    """The width that the column needs at least, because no word or part of a name is cut."""
    texts = [column.header, *(cell.text for cell in column.cells)]
    return max(cell_len(part) for text in texts for word in text.split(" ") for part in _PARTS.split(word))


def _folded(text: str, width: int) -> str:
    """`text` in lines of at most `width`, broken between words and after `_` and punctuation inside names."""
    lines = [""]
    for word in text.split(" "):
        gap = " " if lines[-1] else ""
        for part in _PARTS.split(word):
            if not lines[-1] or cell_len(f"{lines[-1]}{gap}{part}") <= width:
                lines[-1] += f"{gap}{part}"
            else:
                lines.append(part)
            gap = ""
    return "\n".join(lines)


def _fitting(width: int, label_widths: Sequence[int], columns: Sequence[TableColumn]) -> list[list[TableColumn]]:
    """`columns` in groups that fit `width` beside the labels; at least one column a group."""
    label_width = sum(label_width + _GAP for label_width in label_widths)
    groups: list[list[TableColumn]] = [[]]
    used = label_width
    for column in columns:
        if groups[-1] and used + _width(column) > width:
            groups.append([])
            used = label_width
        groups[-1].append(column)
        used += _width(column) + _GAP
    return groups


def _table(labels: Sequence[TableColumn], label_widths: Sequence[int], columns: Sequence[TableColumn]) -> Table:
    """Labels on the left, folded where they are longer than their width; columns beside them, always in full."""
    # The gap of two is the column separator of the box and one space of padding.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="")
    for one, label_width in zip(labels, label_widths, strict=True):
        header = Text(_folded(one.header, label_width))
        table.add_column(header, width=label_width, justify="right" if one.right else "left", overflow="fold")
    for column in columns:
        table.add_column(
            Text(column.header), width=_width(column), justify="right" if column.right else "left", no_wrap=True
        )
    for row, cells in enumerate(zip(*(column.cells for column in (*labels, *columns)), strict=True)):
        names = [_folded(one.cells[row].text, width) for one, width in zip(labels, label_widths, strict=True)]
        figures = cells[len(labels) :]
        table.add_row(
            *map(Text, names), *(Text("\n".join(cell.lines), style="bold" if cell.best else "") for cell in figures)
        )
    return table
