"""A log-log figure of memory and throughput for papers and slides (matplotlib, without a window)."""

from __future__ import annotations

import io
import math
import os
import statistics
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from reports.arrange.curves import AXIS_TITLES, Curve, Slice, fullest_slice, known_measures, memory_limits, slices
from reports.arrange.pivot import Repeats
from reports.arrange.selection import joined
from reports.growth.lines import growth
from reports.growth.trends import Trend, trend_of
from reports.records.columns import MEMORY, SPEED, Column
from reports.records.files import write_whole
from reports.records.record import Record
from reports.records.run import Run
from reports.text.section import one_line
from reports.text.style import DASHES, FAILURES, MARKERS, colour_of
from reports.text.ticks import tick_label, ticks

DPI = 160
_WIDTH_INCHES = 11.0
_ROW_INCHES = 4.2
_LINE_INCHES = 0.2
_LONGEST_LABEL = 56
_MARK_POINTS = 11.0
"""Height of one row of failure markers, in points."""
_STRIP_EDGE = 3.0
"""Height between the axes and the first row of failure markers, in points."""
_MOST_ROWS = 8
"""Rows of failure markers beyond which they overlap, so that the strip stays low."""
_LONGEST_LINE = 130
_MOST_LINES = 12
"""Curves whose growth is written above the panels."""
_LEAST_SPAN = 4.0
"""The smallest ratio of the ends of a vertical axis: less would exaggerate small differences."""
_MARGIN = 1.15
_GREY = "#555555"
_GRID = "#E4E4E4"
_FIT_LINE: dict[str, Any] = {"linestyle": (0, (3, 3)), "linewidth": 0.9, "zorder": 2}
_LIMIT_LINE: dict[str, Any] = {"color": "#555555", "linestyle": "-", "linewidth": 2.4, "alpha": 0.55, "zorder": 1}
_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "scaleprof",
    "text.usetex": False,
    "text.parse_math": False,
}
"""Text from data is not parsed as a formula, text in an SVG stays text, and its ids are deterministic."""


def write_figure(runs: Sequence[Run], path: str | os.PathLike[str]) -> None:
    """Draw `runs` into the file `path`, as `.png` (160 dpi) or `.svg`. Equal runs give equal files.

    Raises:
        ValueError: another suffix, no measured point, or a file that cannot be written. An existing file is then
            unchanged.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"{path}: a picture ends in .png or .svg; name the file so")
    with matplotlib.rc_context(_defaults() | _STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = draw(runs)
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=DPI, metadata=metadata)
    try:
        write_whole(path, drawn.getvalue())
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror}); check the path") from error


def _defaults() -> dict[Any, Any]:
    """Matplotlib's default style, independent of any matplotlibrc; the backend is left alone."""
    return {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}


def draw(runs: Sequence[Run]) -> Figure:
    """The figure of `runs`, without a window.

    Raises:
        ValueError: no point of `runs` has a measurement of memory or speed.
    """
    records = [record for run in runs for record in run.records]
    measures = [*known_measures(records, MEMORY)[:1], *known_measures(records, SPEED)[:1]]
    if not measures:
        names = ", ".join(str(run.path) for run in runs)
        raise ValueError(f"{names}: no measured point, so there is nothing to draw; scaleprof report lists the reasons")
    rows = [fullest_slice(found) for axis in AXIS_TITLES if (found := slices(runs, axis))]
    panels = [[_prepare(one, measure, records) for measure in measures] for one in rows]
    handles = _legend(panel for row in panels for panel in row)
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(4, len(handles), int(_WIDTH_INCHES / (0.075 * longest + 0.75))))
    lines = math.ceil(len(handles) / columns)
    said = _said(runs)
    height = _ROW_INCHES * len(rows) + _LINE_INCHES * (lines + 2 + len(said))
    height += sum(max(panel.strip for panel in row) for row in panels) / 72
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    FigureCanvasAgg(figure)
    title = "\n".join([_shortened(_described(runs), 120), "", *said])
    figure.suptitle(title, fontsize=8, family=["DejaVu Sans Mono", "DejaVu Sans"], ha="left", x=0.02)
    grid = figure.subplots(len(rows), len(measures), squeeze=False)
    for axes, panel in zip(grid.flat, (panel for row in panels for panel in row), strict=True):
        _draw_panel(axes, panel)
    labels = [str(handle.get_label()) for handle in handles]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.6)
    return figure


def _described(runs: Sequence[Run]) -> str:
    """The title: runs, and the scenarios, devices and numbers of environments of their records."""
    records = [record for run in runs for record in run.records]
    parts = [", ".join(run.name for run in runs)]
    for name in ("scenario", "device", "envs"):
        values = ", ".join(dict.fromkeys(str(getattr(record, name)) for record in records if getattr(record, name)))
        parts += [f"{name} {values}"] if values else []
    return " · ".join(parts)


def _said(runs: Sequence[Run]) -> list[str]:
    """Growth in one line per curve, along the axis with most of them."""
    found = growth(*joined(runs))
    lines = max((one.lines for one in found), key=len, default=())
    more = [f"and {len(lines) - _MOST_LINES} more curves"] if len(lines) > _MOST_LINES else []
    return [*(line[:_LONGEST_LINE] for line in lines[:_MOST_LINES]), *more]


@dataclass(frozen=True, slots=True)
class _Panel:
    """One measure along one slice, with everything drawn there."""

    slice: Slice
    measure: Column
    limits: tuple[tuple[int, float], ...]
    trends: tuple[Trend | None, ...]

    def range(self) -> tuple[float, float]:
        """The ends of the vertical axis: all measurements and limits."""
        shown = [line for _, line in self.limits]
        for curve in self.slice.curves:
            shown += [value for repeats in curve.values(self.measure).values() for value in repeats]
        low, high = (min(shown), max(shown)) if shown else (1.0, _LEAST_SPAN)
        middle, half = math.sqrt(low * high), math.sqrt(max(high / low, _LEAST_SPAN)) * _MARGIN
        return middle / half, middle * half

    @property
    def strip(self) -> float:
        """The height of the strip of failures above the axes, in points; 0 without failures."""
        stacked = max((len(found) for found in self.failures().values()), default=0)
        return _STRIP_EDGE + _MARK_POINTS * min(stacked, _MOST_ROWS) if stacked else 0.0

    def failures(self) -> dict[int, list[tuple[Curve, str]]]:
        """By size, the curves that failed there, and their status."""
        found: dict[int, list[tuple[Curve, str]]] = {}
        for curve in self.slice.curves:
            for size, failed in curve.failures().items():
                found.setdefault(size, []).append((curve, Repeats(failed).outcome.status))
        return found


def _prepare(one: Slice, measure: Column, records: Sequence[Record]) -> _Panel:
    limits = memory_limits(records, measure) if measure in MEMORY else []
    trends = [trend_of(curve, measure, one.axis, one.sizes[-1]) for curve in one.curves]
    return _Panel(one, measure, tuple(limits), tuple(trends))


def _draw_panel(axes: Axes, panel: _Panel) -> None:
    one, measure = panel.slice, panel.measure
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(f"at {one.title}", loc="left", color=_GREY, pad=6 + panel.strip)
    axes.set_xlabel(AXIS_TITLES[one.axis])
    axes.set_ylabel(measure.title)
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for _, line in panel.limits:
        axes.axhline(line, **_LIMIT_LINE)
    for curve, trend in zip(one.curves, panel.trends, strict=True):
        _draw_curve(axes, curve, measure, trend)
    low, high = panel.range()
    axes.set_ylim(low, high)
    margin = max(_MARGIN, (one.sizes[-1] / one.sizes[0]) ** 0.04)
    left, right = one.sizes[0] / margin, one.sizes[-1] * margin
    axes.set_xlim(left, right)
    if panel.strip:
        _draw_failures(axes, panel)
    _set_ticks(axes.xaxis, _apart(one.sizes, (right / left) ** 0.07), "count")
    _set_ticks(axes.yaxis, ticks(low, high, measure.unit), measure.unit)


def _draw_failures(axes: Axes, panel: _Panel) -> None:
    """A strip above the axes with a column of markers for every size with failures: whose it is, and its status."""

    def moved(right: float, up: float) -> Transform:
        return axes.get_xaxis_transform() + ScaledTranslation(right / 72, up / 72, axes.figure.dpi_scale_trans)

    axes.plot([0, 1], [1, 1], transform=axes.transAxes, color=_GRID, linewidth=0.8, clip_on=False, zorder=1)
    middle = axes.transAxes + ScaledTranslation(-4 / 72, panel.strip / 144, axes.figure.dpi_scale_trans)
    axes.text(0, 1, "no result", transform=middle, ha="right", va="center", fontsize=7, color=_GREY)
    for size, failed in panel.failures().items():
        step = min(_MARK_POINTS, _MARK_POINTS * _MOST_ROWS / len(failed))
        for place, (curve, status) in enumerate(failed):
            up = _STRIP_EDGE + (place + 0.5) * step
            for right, marks in ((-4.5, _whose(curve.style)), (4.5, _failure(status, colour_of(curve.style)))):
                axes.plot([size], [1.0], transform=moved(right, up), **marks)


def _draw_curve(axes: Axes, curve: Curve, measure: Column, trend: Trend | None) -> None:
    colour = colour_of(curve.style)
    if trend is not None:
        if trend.low:
            axes.fill_between(trend.sizes, trend.low, trend.high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(trend.sizes, trend.values, color=colour, **_FIT_LINE)
    values = curve.values(measure)
    repeats = [(size, value) for size, several in values.items() if len(several) > 1 for value in several]
    if repeats:
        sizes, points = zip(*repeats, strict=True)
        marker = MARKERS[curve.style % len(MARKERS)][0]
        axes.plot(sizes, points, linestyle="none", marker=marker, markersize=3, color=colour, alpha=0.45)
    medians = [statistics.median(several) for several in values.values()]
    axes.plot(list(values), medians, **_line(curve.style))


def _line(style: int) -> dict[str, Any]:
    dashes = DASHES[style % len(DASHES)]
    return {
        "color": colour_of(style),
        "linestyle": (0, tuple(dashes)) if dashes else "-",
        "linewidth": 1.4,
        "marker": MARKERS[style % len(MARKERS)][0],
        "markersize": 6,
        "markerfacecolor": "white",
        "markeredgewidth": 1.3,
        "zorder": 3,
    }


def _whose(style: int) -> dict[str, Any]:
    """The marker of a curve beside its failure, to identify it without colour."""
    return _line(style) | {"markersize": 5, "markeredgewidth": 1.1, "clip_on": False, "zorder": 4}


def _failure(status: str, colour: str) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "marker": FAILURES[status][0],
        "markersize": 7,
        "color": colour,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "clip_on": False,
        "zorder": 4,
    }


def _legend(panels: Iterable[_Panel]) -> list[Line2D | Patch]:
    """A handle for every curve, then for every kind of mark used."""
    curves: dict[int, Line2D | Patch] = {}
    marks: dict[object, Line2D | Patch] = {}
    statuses: set[str] = set()
    for panel in panels:
        for curve, trend in zip(panel.slice.curves, panel.trends, strict=True):
            label = _shortened(curve.label, _LONGEST_LABEL)
            curves.setdefault(curve.style, Line2D([], [], label=label, **_line(curve.style)))
            if trend is not None:
                name = "fit (extrapolated beyond the last point)"
                marks.setdefault("fit", Line2D([], [], color=_GREY, label=name, **_FIT_LINE))
                if trend.low:
                    name = "95 % interval of the fit"
                    marks.setdefault("band", Patch(color=_GREY, alpha=0.2, linewidth=0, label=name))
        for limit, line in panel.limits:
            name = f"memory limit {tick_label(limit, 'bytes')}"
            name += "" if line == limit else ", minus resident memory"
            marks.setdefault(limit, Line2D([], [], label=name, **_LIMIT_LINE))
        statuses.update(status for failed in panel.failures().values() for _, status in failed)
    failures = [
        Line2D([], [], label=f"{FAILURES[status][2]} (above the axes)", **_failure(status, _GREY))
        for status in FAILURES
        if status in statuses
    ]
    return [*(curves[style] for style in sorted(curves)), *marks.values(), *failures]


def _apart(sizes: Sequence[int], ratio: float) -> list[float]:
    """The sizes whose labels have room: each at least `ratio` times the previous, always with the last."""
    kept = [float(sizes[-1])]
    for size in reversed(sizes[:-1]):
        if kept[-1] / size >= ratio:
            kept.append(float(size))
    return kept[::-1]


def _set_ticks(axis: Axis, values: Sequence[float], unit: str) -> None:
    axis.set_major_locator(FixedLocator(values))
    axis.set_major_formatter(FixedFormatter([tick_label(value, unit) for value in values]))
    axis.set_minor_locator(NullLocator())


def _shortened(text: str, length: int) -> str:
    """`text` on one line without control characters, at most `length` long."""
    line = one_line(text)
    return line if len(line) <= length else f"{line[: length - 1]}…"
