"""Tables for a terminal, a pipe or a log file: a sweep's results, and the grid of a sweep that is only planned.

Nothing here needs colour to be understood. Numbers are never cut or wrapped: agent columns that do not fit the width of
the console go into a further table below. Text from data is never read as markup.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.pivot import SAME_WORK, Pivot, Point, Reading, best_cells, make_pivot, memory_of, rate_of
from reports.record import POINT_FIELDS, STATUSES, Record, point_key
from reports.units import UNKNOWN, format_bytes, format_rate

_GAP = 2
_NARROWEST_LABEL = 8
_NOT_KNOWN = "n/a"
ENVIRONMENT_SHARE = 0.3
"""From this share of an update on, a sweep measures the environment."""
_DECIDE_WIDTH = ("scenario", "embed_dim", "heads", "blocks", "settings")
"""Axes on which the width of a matched model depends."""


def render_summary(records: Sequence[Record], console: Console, *, title: str = "Summary") -> None:
    """Prints peak memory and agent-steps per second, models and modes down and agents across, then matched widths and
    what failed.

    Repeats of a point are shown as their median over those that ended well. The best of each column has a `*` and is
    bold. Rows also show every other axis that has more than one value in `records`.
    """
    _print_lines(console, title, style="bold")
    if not records:
        _print_lines(console, "No records.")
        return
    pivot = make_pivot(records)
    sources = {reading.source for row in pivot.rows for point in row.points.values() if (reading := memory_of(point))}
    mixed = len(sources) > 1

    def memory_text(point: Point, reading: Reading | None) -> str:
        if reading is None:
            return _without_reading(point, say_need=True)
        return f"{'h ' if mixed and reading.source == 'host' else ''}{format_bytes(reading.value)}"

    def rate_text(point: Point, reading: Reading | None) -> str:
        return _without_reading(point, say_need=False) if reading is None else format_rate(reading.value)

    _print_measure(console, pivot, _memory_heading(sources, pivot), memory_of, memory_text, lower_is_better=True)
    heading = f"Agent-steps per second, by number of agents (* = highest{_among(pivot)})"
    _print_measure(console, pivot, heading, rate_of, rate_text, lower_is_better=False)
    _print_matches(console, pivot, records)
    _print_failures(console, pivot)
    _print_environment_share(console, records)
    _print_counts(console, records)


def render_grid(records: Sequence[Record], console: Console) -> None:
    """Prints the points with status `planned`, one row each, with the fields in which they differ as columns.

    What is the same for all stands in one paragraph above the table.
    """
    planned = [record for record in records if record.status == "planned"]
    if not planned:
        _print_lines(console, "No points.")
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
        _print_lines(console, "For all: " + ", ".join(f"{name}={_shown(getattr(points[0], name))}" for name in same))
        console.print()
    labels = [_label("#", range(1, len(points) + 1))]
    labels += [_label(name, [getattr(point, name) for point in points]) for name in columns]
    if len(set(repeats.values())) > 1:
        labels.append(_label("repeats", [repeats[point_key(point)] for point in points]))
    console.print(_table(labels, _label_widths(console.width, labels, []), []))
    console.print()
    _print_lines(console, _point_count(len(points), len(planned)))


def _memory_heading(sources: set[str], pivot: Pivot) -> str:
    """What the memory figures are: every source that occurs is named."""
    if len(sources) > 1:
        named, best = ": device allocator; h = host resident memory", "lowest of its source"
    else:
        names = {"device": ": device allocator", "host": ": host resident memory"}
        named, best = "".join(names[source] for source in sources), "lowest"
    return f"Peak memory, by number of agents{named} (* = {best}{_among(pivot)})"


def _among(pivot: Pivot) -> str:
    """Among which rows one is the best, where that is not all of them."""
    axes = [axis for axis in pivot.axes if axis in SAME_WORK]
    return f" for equal {', '.join(axes)}" if axes else ""


def _without_reading(point: Point, *, say_need: bool) -> str:
    """The cell of a point that has no figure: why, in one word, and what a predicted oom would have needed."""
    outcome = point.outcome
    if outcome.status == "ok":
        return _NOT_KNOWN
    if (
        say_need
        and outcome.status == "oom"
        and outcome.reason_code == "predicted"
        and outcome.xla_peak_bytes is not None
    ):
        return f"oom: needs {format_bytes(outcome.xla_peak_bytes)}"
    return outcome.status


def _print_measure(
    console: Console,
    pivot: Pivot,
    heading: str,
    read: Callable[[Point], Reading | None],
    show: Callable[[Point, Reading | None], str],
    *,
    lower_is_better: bool,
) -> None:
    """One heading and as many tables as it takes to show every agent column in full."""
    best = best_cells(pivot, read, lower_is_better=lower_is_better)
    columns = []
    for agents in pivot.agents:
        cells = []
        for index, row in enumerate(pivot.rows):
            point = row.points.get(agents)
            text = UNKNOWN if point is None else show(point, read(point))
            winner = (index, agents) in best
            cells.append(Text(f"*{text}" if winner else text, style="bold" if winner else ""))
        columns.append(_Column(str(agents), tuple(cells), right=True))
    labels = [
        _label("model", [row.model for row in pivot.rows]),
        _label("mode", [row.mode for row in pivot.rows]),
        *(_label(axis, [row.values[place] for row in pivot.rows]) for place, axis in enumerate(pivot.axes)),
    ]
    console.print()
    _print_lines(console, heading, style="bold")
    label_widths = _label_widths(console.width, labels, columns)
    for some in _fitting(console.width, label_widths, columns):
        console.print()
        console.print(_table(labels, label_widths, some))


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of a table and the space it needs."""

    header: str
    cells: tuple[Text, ...]
    right: bool

    @property
    def width(self) -> int:
        return max(cell_len(self.header), *(text.cell_len for text in self.cells))


def _label(header: str, values: Sequence[object]) -> _Column:
    """A column that names rows; whole numbers stand on the right."""
    right = all(value is None or isinstance(value, int) for value in values)
    return _Column(header, tuple(Text(_shown(value)) for value in values), right)


def _label_widths(width: int, labels: Sequence[_Column], columns: Sequence[_Column]) -> list[int]:
    """Labels as wide as they are if everything fits `width`; else the long ones are folded, down to a third of it."""
    widths = [label.width for label in labels]
    beside = sum(column.width + _GAP for column in columns) + _GAP * (len(labels) - 1)
    room = max(width - beside, width // 3) if columns else width - beside
    while sum(widths) > room and max(widths) > _NARROWEST_LABEL:
        widths[widths.index(max(widths))] -= 1
    return widths


def _fitting(width: int, label_widths: Sequence[int], columns: Sequence[_Column]) -> list[list[_Column]]:
    """`columns` in groups that fit `width` beside the labels; at least one column a group."""
    label_width = sum(label_width + _GAP for label_width in label_widths)
    groups: list[list[_Column]] = [[]]
    used = label_width
    for column in columns:
        if groups[-1] and used + column.width > width:
            groups.append([])
            used = label_width
        groups[-1].append(column)
        used += column.width + _GAP
    return groups


def _table(labels: Sequence[_Column], label_widths: Sequence[int], columns: Sequence[_Column]) -> Table:
    """Labels on the left, folded where they are longer than their width; columns on the right, always in full."""
    # The gap of two is the column separator of the box and one space of padding.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="")
    for label, label_width in zip(labels, label_widths, strict=True):
        table.add_column(
            Text(label.header), width=label_width, justify="right" if label.right else "left", overflow="fold"
        )
    for column in columns:
        table.add_column(Text(column.header), width=column.width, justify="right", no_wrap=True)
    for cells in zip(*(column.cells for column in (*labels, *columns)), strict=True):
        table.add_row(*cells)
    return table


def _print_matches(console: Console, pivot: Pivot, records: Sequence[Record]) -> None:
    """One line for each width that was chosen to give a model as many parameters as Sable."""
    axes = [axis for axis in pivot.axes if axis in _DECIDE_WIDTH]
    lines = [
        f"  {_shown(record.model)}{''.join(f', {axis}={_shown(getattr(record, axis))}' for axis in axes)}: "
        f"embed_dim {record.matched_embed_dim} ({_count(record.parameters)} parameters, "
        f"sable has {_count(record.reference_parameters)})"
        for record in records
        if record.matched_embed_dim is not None
    ]
    if lines:
        console.print()
        _print_lines(console, "Matched to sable's number of parameters:", *dict.fromkeys(lines))


def _print_failures(console: Console, pivot: Pivot) -> None:
    """One line for each way in which a point gave no figure, with how many of its repeats it concerns if not all."""
    lines = []
    for row in pivot.rows:
        axes = [f", {axis}={_shown(value)}" for axis, value in zip(pivot.axes, row.values, strict=True)]
        for agents, point in sorted(row.points.items()):
            reasons = Counter((record.status, record.reason or record.reason_code) for record in point.failed)
            for (status, reason), count in reasons.items():
                total = len(point.records)
                share = "" if count == total else f" ({count} of {total} repeats)"
                name = f"{_shown(row.model)} {_shown(row.mode)}, agents={agents}{''.join(axes)}"
                lines.append(f"  {name}: {status}{share}" + (f": {_shown(reason)}" if reason else ""))
    if lines:
        console.print()
        _print_lines(console, "Not measured:", *lines)


def _print_environment_share(console: Console, records: Sequence[Record]) -> None:
    """Where the environments take so much of an update that the sweep measures them and not the models."""
    lines = []
    for model, mode in dict.fromkeys((record.model, record.mode) for record in records):
        shares = {
            record.agents: record.env_seconds / record.update_seconds
            for record in records
            if (record.model, record.mode) == (model, mode) and record.env_seconds and record.update_seconds
        }
        large = [f"{share:.0%} at {agents}" for agents, share in sorted(shares.items()) if share > ENVIRONMENT_SHARE]
        if large:
            lines.append(f"  {_shown(model)} {_shown(mode)}: {', '.join(large)} agents")
    if lines:
        console.print()
        heading = (
            f"Environments that take over {ENVIRONMENT_SHARE:.0%} of an update (it is them that is measured there):"
        )
        _print_lines(console, heading, *lines)


def _print_counts(console: Console, records: Sequence[Record]) -> None:
    """Scenario, device and how many records ended how."""
    scenarios = dict.fromkeys(_shown(record.scenario) for record in records if record.scenario)
    devices = dict.fromkeys(_shown(record.device) for record in records if record.device)
    statuses = Counter(record.status for record in records)
    failed = {name: statuses[name] for name in STATUSES if statuses[name] and name not in ("ok", "planned")}
    counts = f"{statuses['ok']} ok, {sum(failed.values())} failed"
    if failed:
        counts += f" ({', '.join(f'{count} {name}' for name, count in failed.items())})"
    if statuses["planned"]:
        counts += f", {statuses['planned']} planned"
    total = _point_count(len({point_key(record) for record in records}), len(records))
    console.print()
    scenario, device = (", ".join(names) or UNKNOWN for names in (scenarios, devices))
    _print_lines(console, f"Scenario: {scenario} | Device: {device} | {total}: {counts}")


def _point_count(points: int, repeats: int) -> str:
    text = f"{points} point{'' if points == 1 else 's'}"
    return text if points == repeats else f"{text}, {repeats} repeats"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _shown(value: object) -> str:
    """`value` on one line and without control characters, `-` for what is not there."""
    if value is None:
        return UNKNOWN
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split()) or UNKNOWN


def _print_lines(console: Console, *lines: str, style: str = "") -> None:
    """Lines wrapped between words to the width of the console, with what follows the first line of each set in."""
    for line in lines:
        indent = "    " if line.startswith(" ") else "  "
        wrapped = textwrap.wrap(line, max(console.width, 20), subsequent_indent=indent, break_on_hyphens=False)
        console.print(Text("\n".join(wrapped), style=style), soft_wrap=True)
