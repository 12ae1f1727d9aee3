"""Log-log charts of memory and throughput as text, readable without colour."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence

from reports.arrange.pivot import SIZE_NAMES, Pivot, Reading, Repeats, make_pivot, memory_of, reader, row_name
from reports.records.record import Record, was_run
from reports.text.units import format_bytes, format_rate
from reports.text.wrapping import wrap

MARKS = string.ascii_lowercase + string.ascii_uppercase
HEIGHT = 18
"""Height of a chart in lines."""
_Y_TICKS = 5
_TICK_WIDTH = 8
_INDENT = " " * 5
_ASCII = str.maketrans("┌┐└┘─│┤├┬┴┼", "++++-|+++++")


def charts(records: Sequence[Record], width: int, *, also: Sequence[str] = (), ascii_only: bool = False) -> str:
    """Memory and agent-steps per second against agents, and against sequence length where that varies.

    Every row is a letter, explained below the charts; each chart says which letters are covered by another. Points
    without a figure are not drawn.

    Args:
        records: as for `report_sections`.
        width: of charts and legend, in characters.
        also: fields that distinguish rows besides those of a point.
        ascii_only: draw with `+`, `-` and `|` instead of box characters.
    """
    tried = [record for record in records if was_run(record)]
    parts = []
    for across in SIZE_NAMES:
        pivot = make_pivot(tried, across=across, also=also)
        if len(pivot.sizes) < 2:
            continue
        speed = "agent_steps_per_second"
        for name, read, show in (
            ("Peak memory", memory_of, format_bytes),
            ("Agent-steps per second", reader(speed), format_rate),
        ):
            chart = _chart(pivot, f"{name} by {SIZE_NAMES[across]} (log-log)", read, show, width)
            if chart:
                parts.append(chart)
        legend = [_explained(_mark(index), row_name(pivot, row), width) for index, row in enumerate(pivot.rows)]
        parts.append("\n".join(legend))
    text = "\n\n".join(parts) if parts else "Nothing to plot: a chart needs two sizes."
    return text.translate(_ASCII) if ascii_only else text


def _chart(
    pivot: Pivot,
    title: str,
    read: Callable[[Repeats], Reading | None],
    show: Callable[[float], str],
    width: int,
) -> str:
    import plotext

    curves = []
    for row in pivot.rows:
        found = [(size, reading.value) for size, point in sorted(row.points.items()) if (reading := read(point))]
        curves.append([(size, value) for size, value in found if 0 < value < math.inf and size > 0])
    values = [value for curve in curves for _, value in curve]
    if not values:
        return ""
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, HEIGHT)
    plotext.theme("clear")
    plotext.title(title)
    # plotext's own log scale does not work with limits.
    low, high = min(values), max(values)
    if high / low < 1.5:
        low, high = low / 1.5, high * 1.5
    ticks = [low * (high / low) ** (step / (_Y_TICKS - 1)) for step in range(_Y_TICKS)]
    plotext.ylim(math.log(low), math.log(high))
    plotext.yticks([math.log(tick) for tick in ticks], [show(tick) for tick in ticks])
    sizes = _spaced(pivot.sizes, max(width // _TICK_WIDTH, 2))
    plotext.xlim(math.log(pivot.sizes[0]), math.log(pivot.sizes[-1]))
    plotext.xticks([math.log(size) for size in sizes], [str(size) for size in sizes])
    for index, curve in enumerate(curves):
        if curve:
            places = [[math.log(number) for number in numbers] for numbers in zip(*curve, strict=True)]
            plotext.scatter(*places, marker=_mark(index))
    lines = plotext.uncolorize(plotext.build()).splitlines()
    plotext.clear_figure()
    covered = _covered(lines, curves, (pivot.sizes[0], pivot.sizes[-1]), (low, high))
    said = [wrap(f"Covered: {'; '.join(covered)}.", width, rest=_INDENT)] if covered else []
    return "\n".join([*(line.rstrip() for line in lines), *said])


def _covered(
    lines: Sequence[str],
    curves: Sequence[Sequence[tuple[int, float]]],
    across: tuple[int, int],
    along: tuple[float, float],
) -> list[str]:
    """The marks that later ones cover, as plotext draws them in the frame of `lines`: `a by c at 16, 128`."""
    top, bottom = (next(n for n, line in enumerate(lines) if corner in line) for corner in "┌└")
    columns, rows = lines[top].rindex("┐") - lines[top].index("┌") - 1, bottom - top - 1

    def cell(number: float, ends: tuple[float, float], cells: int) -> int:
        return round(math.log(number / ends[0]) / math.log(ends[1] / ends[0]) * (cells - 1))

    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, curve in enumerate(curves):
        for size, value in curve:
            found.setdefault((cell(size, across, columns), cell(value, along, rows)), []).append((index, size))
    pairs: dict[tuple[int, int], list[int]] = {}
    for marks in found.values():
        for index, size in marks[:-1]:
            if index != marks[-1][0]:
                pairs.setdefault((index, marks[-1][0]), []).append(size)
    return [
        f"{_mark(below)} by {_mark(above)} at {', '.join(map(str, sorted(sizes)))}"
        for (below, above), sizes in sorted(pairs.items())
    ]


def _explained(mark: str, name: str, width: int) -> str:
    """The line of the legend for `mark`, wrapped to `width`."""
    return wrap(name, width, first=f"  {mark}  ", rest=_INDENT)


def _mark(index: int) -> str:
    return MARKS[index % len(MARKS)]


def _spaced(sizes: Sequence[int], most: int) -> list[int]:
    """At most `most` of `sizes`, evenly spaced, including the first and the last."""
    if len(sizes) <= most:
        return list(sizes)
    return [sizes[round(step * (len(sizes) - 1) / (most - 1))] for step in range(most)]
