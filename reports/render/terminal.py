"""Sections as text for a terminal, a pipe or a log file; a sweep's summary, and the grid of one that is only planned.

Nothing here needs colour to be understood. Numbers are never cut or wrapped: columns that do not fit the width of the
console go into a further table below. Text from data is never read as markup.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.records.record import POINT_FIELDS, Record, point_key
from reports.report.summary import point_count, summary_sections
from reports.text.section import Section, TableColumn, label, shown

_GAP = 2
_NARROWEST_LABEL = 8


def render_summary(records: Sequence[Record], console: Console, *, title: str = "Summary") -> None:
    """Prints peak memory and agent-steps per second, models and modes down and agents across, then matched widths and
    what failed.

    Repeats of a point are shown as their median over those that ended well. The best of each column has a `*` and is
    bold. Rows also show every other axis that has more than one value in `records`.
    """
    print_lines(console, title, style="bold")
    if not records:
        print_lines(console, "No records.")
        return
    print_sections(console, summary_sections(records))


def render_grid(records: Sequence[Record], console: Console) -> None:
    """Prints the points with status `planned`, one row each, with the fields in which they differ as columns.

    What is the same for all stands in one paragraph above the table.
    """
    planned = [record for record in records if record.status == "planned"]
    if not planned:
        print_lines(console, "No points.")
        return
    repeats = Counter(point_key(record) for record in planned)
    first: dict[tuple[object, ...], Record] = {}
    for record in planned:
        first.setdefault(point_key(record), record)
    points = list(first.values())
    differing = [name for name in POINT_FIELDS if len({getattr(point, name) for point in points}) > 1]
    columns = ["model", "mode", "agents", *(name for name in differing if name not in ("model", "mode", "agents"))]
    same = [name for name in POINT_FIELDS if name not in columns and getattr(points[0], name) not in (None, "")]
    if same:
        print_lines(console, "For all: " + ", ".join(f"{name}={shown(getattr(points[0], name))}" for name in same))
        console.print()
    labels = [label("#", range(1, len(points) + 1))]
    labels += [label(name, [getattr(point, name) for point in points]) for name in columns]
    if len(set(repeats.values())) > 1:
        labels.append(label("repeats", [repeats[point_key(point)] for point in points]))
    console.print(_table(labels, _label_widths(console.width, labels, []), []))
    console.print()
    print_lines(console, point_count(len(points), len(planned)))


def print_sections(console: Console, sections: Iterable[Section]) -> None:
    """Every section with an empty line before it, as many tables as it takes to show every column in full."""
    for section in sections:
        console.print()
        if section.heading:
            print_lines(console, section.heading, style="bold" if section.columns else "")
        print_lines(console, *section.lines)
        if section.columns:
            label_widths = _label_widths(console.width, section.labels, section.columns)
            for some in _fitting(console.width, label_widths, section.columns):
                console.print()
                console.print(_table(section.labels, label_widths, some))


def print_lines(console: Console, *lines: str, style: str = "") -> None:
    """Lines wrapped between words to the width of the console, with what follows the first line of each set in."""
    for line in lines:
        indent = "    " if line.startswith(" ") else "  "
        wrapped = textwrap.wrap(line, max(console.width, 20), subsequent_indent=indent, break_on_hyphens=False)
        console.print(Text("\n".join(wrapped), style=style), soft_wrap=True)


def _width(column: TableColumn) -> int:
    return max(cell_len(column.header), *(cell_len(line) for cell in column.cells for line in cell.lines))


def _label_widths(width: int, labels: Sequence[TableColumn], columns: Sequence[TableColumn]) -> list[int]:
    """Labels as wide as they are if everything fits `width`; else the long ones are folded, down to a third of it."""
    widths = [_width(one) for one in labels]
    beside = sum(_width(column) + _GAP for column in columns) + _GAP * (len(labels) - 1)
    room = max(width - beside, width // 3) if columns else width - beside
    while sum(widths) > room and max(widths) > _NARROWEST_LABEL:
        widths[widths.index(max(widths))] -= 1
    return widths


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
        table.add_column(Text(one.header), width=label_width, justify="right" if one.right else "left", overflow="fold")
    for column in columns:
        table.add_column(
            Text(column.header), width=_width(column), justify="right" if column.right else "left", no_wrap=True
        )
    for cells in zip(*(column.cells for column in (*labels, *columns)), strict=True):
        table.add_row(*(Text("\n".join(cell.lines), style="bold" if cell.best else "") for cell in cells))
    return table
