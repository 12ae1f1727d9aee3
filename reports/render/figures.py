"""A log-log figure of memory and throughput for papers and slides (matplotlib, without a window).

`reports.render.panels` draws the panels.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.arrange.curves import AXIS_TITLES, fullest_slice, known_measures, slices
from reports.arrange.selection import conditions, joined
from reports.growth.lines import growth
from reports.records.columns import MEMORY, SPEED
from reports.records.files import file_errors, write_whole
from reports.records.run import Run
from reports.render.panels import Panel, draw_panel, legend, prepare, thin_ticks
from reports.report.titles import Title, title_of
from reports.text.plain import one_line
from reports.text.section import shortened
from reports.text.wrapping import broken

DPI = 160
Inches = tuple[float, float]
"""Width and height of a picture."""
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What each kind of file says by default about when and with what it was made."""
_WIDTH = 11.0
_ROW = 4.2
"""Height of a row of panels, in inches."""
_LABELS = 0.95
"""Width of what stands left of the axes, in inches at the largest text size."""
_TICK_LABEL = 0.32
"""Room for the label of a tick, in inches at the largest text size."""
_STACKED = 6.0
"""Width in inches below which the panels of a picture that is higher than wide stand below each other."""
_SMALLEST_AXES = (0.9, 0.75)
_TEXT_POINTS = 9.0
"""The largest text size."""
_SMALLEST_SCALE = 0.65
_LINE_INCHES = 0.2
_CHARACTER = 0.075
"""Width of a character of the legend, in inches at the largest text size."""
_ENTRY = 0.8
"""Width of a line of the legend without its text."""
_BREAKS = re.compile("(?<=[,:]) ")
_LONGEST_LABEL = 56
_LONGEST_LINE = 130
_MOST_LINES = 12
"""Curves whose growth is written above the panels."""
_MONOSPACED = ["DejaVu Sans Mono", "DejaVu Sans"]
_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "scaleprof",
    "text.usetex": False,
    "text.parse_math": False,
}
"""Text from data is not parsed as a formula, text in an SVG or a PDF stays text, and ids are deterministic."""


def write_figure(runs: Sequence[Run], path: str | os.PathLike[str], size: Inches | None = None) -> None:
    """Draw `runs` into the file `path`, as `.png` (160 dpi), `.svg` or `.pdf`. Equal runs give equal files.

    Args:
        runs: what to draw.
        path: the file.
        size: width and height in inches; by default 11 inches wide and as high as the curves need.

    Raises:
        ValueError: another suffix, no measured point, a size without room for the panels, or a file that cannot be
            written. An existing file is then unchanged.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise ValueError(f"{path}: a picture ends in .png, .svg or .pdf; name the file so")
    with style(size):
        figure = draw(runs, size)
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=DPI, metadata=METADATA[kind])
    with file_errors(path, "written"):
        write_whole(path, drawn.getvalue())


@contextmanager
def style(size: Inches | None = None) -> Iterator[None]:
    """Matplotlib's settings for figures, whatever matplotlibrc says; text is smaller in a picture under 8 by 5 inches.

    The backend is left alone.
    """
    scale = 1.0 if size is None else max(_SMALLEST_SCALE, min(1.0, size[0] / 8, size[1] / 5))
    defaults: dict[Any, Any] = {
        name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")
    }
    with matplotlib.rc_context(defaults | _STYLE | {"font.size": _TEXT_POINTS * scale}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def draw(runs: Sequence[Run], size: Inches | None = None) -> Figure:
    """The figure of `runs`, without a window; `style` decides how large its text is.

    Raises:
        ValueError: no point of `runs` has a measurement of memory or speed, or `size` leaves no room for the panels.
    """
    rows = _panels(runs)
    width = _WIDTH if size is None else size[0]
    scale = matplotlib.rcParams["font.size"] / _TEXT_POINTS
    panels = [panel for row in rows for panel in row]
    stacked = size is not None and size[0] < min(_STACKED, size[1])
    across = 1 if stacked else len(rows[0])
    handles = legend(panels, min(_LONGEST_LABEL, int((width / scale - _ENTRY) / _CHARACTER)))
    labels = [str(handle.get_label()) for handle in handles]
    columns = _legend_columns(labels, width / scale)
    room = width / across - _LABELS * scale
    figure = Figure(figsize=size or (_WIDTH, 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    above = [_fitting(figure, panel.title, room) for panel in panels]
    said = _said(runs, size, scale)
    if size is None:
        lines = math.ceil(len(handles) / columns) + len(said) + 2 + len(rows) * max(t.count("\n") for t in above)
        strips = sum(max(panel.strip for panel in row) for row in rows) / 72
        figure.set_figheight(_ROW * len(rows) + _LINE_INCHES * lines + strips)
    described = shortened(_described(runs), min(120, _characters(width, scale)))
    heading = "\n".join([described, "", *said]) if said else described
    figure.suptitle(heading, fontsize="small", family=_MONOSPACED, ha="left", x=0.02)
    grid = figure.subplots(len(panels) // across, across, squeeze=False)
    for axes, panel, title in zip(grid.flat, panels, above, strict=True):
        draw_panel(axes, panel, title, label_share=_TICK_LABEL * scale / room)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.6)
    if size is not None:
        _fit(figure, panels, size)
    return figure


def _panels(runs: Sequence[Run]) -> list[list[Panel]]:
    """A row for each axis that varies; memory and speed in each, where they are known."""
    records = [record for run in runs for record in run.records]
    measures = [*known_measures(records, MEMORY)[:1], *known_measures(records, SPEED)[:1]]
    if not measures:
        names = ", ".join(str(run.path) for run in runs)
        raise ValueError(f"{names}: no measured point, so there is nothing to draw; scaleprof report lists the reasons")
    everything, also = joined(runs)
    shown = [fullest_slice(found) for axis in AXIS_TITLES if (found := slices(runs, axis))]
    return [
        [prepare(one, measure, records, title_of(measure, one, everything, also)) for measure in measures]
        for one in shown
    ]


def _fit(figure: Figure, panels: Sequence[Panel], size: Inches) -> None:
    """Lay out a figure of a given size with no more than has room: fewer ticks, no axis label that the title repeats.

    Raises:
        ValueError: it leaves no room for the panels.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.draw_without_rendering()
    boxes = [axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for axes in figure.axes]
    least_width, least_height = _SMALLEST_AXES
    collapsed = any("constrained_layout" in str(warning.message) for warning in said)
    if collapsed or any(box.width < least_width or box.height < least_height for box in boxes):
        raise ValueError(
            f"{size[0]:g}x{size[1]:g} inches leave no room for the panels beside their labels: give a larger --size"
        )
    line = 1.6 * matplotlib.rcParams["font.size"] / 72
    for axes, panel, box in zip(figure.axes, panels, boxes, strict=True):
        thin_ticks(axes, panel, int(box.height / line))
        if axes.yaxis.label.get_window_extent().height > axes.bbox.height:
            axes.set_ylabel("")


def _fitting(figure: Figure, title: Title, room: float) -> str:
    """What is measured in one line of at most `room` inches, and below it the longest answer that fits.

    Of several versions the one with the fewest lines, at most three.
    """

    def fits(line: str) -> bool:
        probe = figure.text(0, 0, line, fontsize=matplotlib.rcParams["axes.titlesize"])
        width = probe.get_window_extent().width
        probe.remove()
        return width <= room * figure.dpi

    name = next(filter(fits, title.names), title.names[-1])
    wrapped = [_wrapped(one_line(answer), fits) for answer in title.answers]
    answer = min((lines for lines in wrapped if len(lines) <= 3 and all(map(fits, lines))), key=len, default=[])
    return "\n".join([one_line(name), *answer])


def _wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """`text` in lines that fit, broken after commas and colons."""
    first, *others = _BREAKS.split(text)
    lines = [first]
    for part in others:
        longer = f"{lines[-1]} {part}"
        lines = [*lines[:-1], longer] if fits(longer) else [*lines, part]
    return lines


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """The most columns of a legend, up to four, that fit `width` inches at the largest text size."""

    def needed(columns: int) -> float:
        # As matplotlib fills them: equally, the first ones with one more.
        least, more = divmod(len(labels), columns)
        ends = [column * least + min(column, more) for column in range(columns + 1)]
        return sum(_ENTRY + _CHARACTER * max(map(len, labels[a:b])) for a, b in itertools.pairwise(ends))

    return next((n for n in range(min(4, len(labels)), 1, -1) if needed(n) <= width), 1)


def _described(runs: Sequence[Run]) -> str:
    """The heading: the runs, what they lack, and what they were measured in."""
    names = (f"{run.name} (incomplete: {run.incomplete})" if run.incomplete else run.name for run in runs)
    return f"{', '.join(names)} · {conditions(record for run in runs for record in run.records)}"


def _said(runs: Sequence[Run], size: Inches | None, scale: float) -> list[str]:
    """A heading, and growth in one line per curve, along the axis with most of them.

    Long lines are wrapped; a given size has them only if all have room as they are.
    """
    most = max(growth(*joined(runs)), key=lambda one: len(one.lines), default=None)
    if most is None or not most.lines:
        return []
    more = [f"and {len(most.lines) - _MOST_LINES} more curves"] if len(most.lines) > _MOST_LINES else []
    room = min(_LONGEST_LINE, _characters(_WIDTH if size is None else size[0], scale))
    lines = [most.heading(), *most.lines[:_MOST_LINES], *more]
    if size is None:
        return [part for line in lines for part in broken(line, room)]
    return lines if max(map(len, lines)) <= room and _LINE_INCHES * scale * len(lines) < size[1] / 5 else []


def _characters(width: float, scale: float) -> int:
    """How many characters of the heading fit `width` inches."""
    return int(0.96 * width / (0.0627 * scale))
