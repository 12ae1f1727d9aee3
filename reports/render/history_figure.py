"""A picture of a history: a panel per metric, a line per point, and a mark where a line steps (matplotlib)."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from reports.arrange.curves import DRAWN
from reports.checks.findings import REGRESSED
from reports.checks.metrics import Metric
from reports.history.history_documents import headline_of, labels_of
from reports.history.series import Series
from reports.history.steps import Change, History
from reports.records.files import file_errors, write_whole
from reports.render.figures import DPI, METADATA, style
from reports.text.plain import one_line
from reports.text.section import shortened
from reports.text.style import DASHES, MARKERS, colour_of
from reports.text.ticks import ratio_ticks, tick_label

_WIDTH, _ROW = 11.0, 3.1
"""Width of the picture and height of a row of panels, in inches."""
_ACROSS = 2
_LEGEND = 3
"""Columns of the legend."""
_MOST_POINTS = 45
"""Points that the legend names."""
_MOST_NAMES = 24
"""Runs whose names stand below a panel; of more, some are left out evenly."""
_NAME_INCHES = 0.065
"""Height of a character of an upright name."""
_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_TITLE = 24, 44, 120
_LEAST_SPAN = 1.25
"""The smallest ratio of the ends of the vertical axis: less would exaggerate noise."""
_GREY, _GRID = "#B4B4B4", "#E4E4E4"
_WORSE, _BETTER = "#B3261E", "#00734F"


@dataclass(frozen=True, slots=True)
class MetricPanel:
    """All series of one metric."""

    metric: Metric
    series: tuple[Series, ...]
    changes: tuple[Change, ...]

    @property
    def changed(self) -> list[Series]:
        """The series with a change that is more than noise."""
        return [one for one in self.series if any(change.series is one for change in self.changes)]


def write_history_figure(history: History, path: str | os.PathLike[str]) -> None:
    """Draw `history` into the file `path`, as `.png` (160 dpi), `.svg` or `.pdf`. Equal histories give equal files.

    Raises:
        ValueError: another suffix, or a file that cannot be written; an existing file is then unchanged.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise ValueError(f"{path}: a picture ends in .png, .svg or .pdf; name the file so")
    drawn = history_picture(history, kind)
    with file_errors(path, "written"):
        write_whole(path, drawn)


def history_picture(history: History, kind: str) -> bytes:
    """The picture as the content of a file of one kind: `png`, `svg` or `pdf`."""
    with style():
        drawn = io.BytesIO()
        draw_history(history).savefig(drawn, format=kind, dpi=DPI, metadata=METADATA[kind])
    return drawn.getvalue()


def draw_history(history: History) -> Figure:
    """The figure, without a window."""
    panels = _panels(history)
    names = [shortened(one.name, _LONGEST_NAME) for one in history.moments]
    styles = _styles(panels)
    handles = _legend(history, panels, styles)
    across = min(_ACROSS, len(panels))
    rows = math.ceil(len(panels) / across)
    below = max(map(len, names)) * _NAME_INCHES
    figure = Figure(
        figsize=(_WIDTH, rows * (_ROW + below) + 0.2 * math.ceil(len(handles) / _LEGEND) + 0.6), layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(one_line(shortened(headline_of(history), _LONGEST_TITLE)), ha="left", x=0.02, fontsize="medium")
    grid = list(figure.subplots(rows, across, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, names, styles)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.legend(handles=handles, loc="outside lower center", ncols=_LEGEND, frameon=False, handlelength=3.0)
    return figure


def _panels(history: History) -> list[MetricPanel]:
    """A panel per metric, those with changes first."""
    certain = [change for change in history.changes if change.is_certain]
    made = [
        MetricPanel(
            metric,
            tuple(one for one in history.series if one.metric is metric),
            tuple(change for change in certain if change.series.metric is metric),
        )
        for metric in dict.fromkeys(one.metric for one in history.series)
    ]
    return sorted(made, key=lambda panel: not panel.changes)


def _styles(panels: Sequence[MetricPanel]) -> dict[int, int]:
    """The look of each point with a change, by the identity of its record, the same in every panel."""
    points = dict.fromkeys(id(one.point) for panel in panels for one in panel.changed)
    return {point: number for number, point in enumerate(points)}


def _draw(axes: Axes, panel: MetricPanel, names: Sequence[str], styles: dict[int, int]) -> None:
    axes.set_yscale("log")
    worse = "less" if panel.metric.higher_is_better else "more"
    axes.set_title(f"{panel.metric.name}, relative to the first comparable run ({worse} is worse)", loc="left")
    axes.grid(axis="y", color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    changed = {id(one) for one in panel.changed}
    shown: list[float] = [1.0]
    for one in sorted(panel.series, key=lambda one: id(one) in changed):
        look = _line(styles[id(one.point)]) if id(one) in changed else {"color": _GREY, "linewidth": 0.9, "zorder": 2}
        for stretch in one.stretches:
            relative = _relative(one, stretch)
            shown += relative.values()
            axes.plot(list(relative), list(relative.values()), **({"marker": "."} | look))
            for change in panel.changes:
                if change.series is one and change.start in relative and change.kind != "drift":
                    axes.plot([change.start], [relative[change.start]], **_mark(change)[1])
    for place in sorted({place for one in panel.series for place in one.breaks}):
        axes.axvline(place - 0.5, color=_GREY, linestyle=(0, (2, 2)), linewidth=1.0, zorder=1)
    _scale(axes, shown)
    every = math.ceil(len(names) / _MOST_NAMES)
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.xaxis.set_major_locator(FixedLocator(range(0, len(names), every)))
    axes.xaxis.set_major_formatter(FixedFormatter(names[::every]))
    axes.tick_params(axis="x", labelrotation=90)


def _relative(series: Series, stretch: Sequence[int]) -> dict[int, float]:
    """The figures of comparable runs over the first; 0 and what is implausible have no place on the axis."""
    figures = {place: figure for place in stretch if DRAWN[0] <= (figure := series.figure(place)) <= DRAWN[1]}
    first = next(iter(figures.values()), 1.0)
    return {place: figure / first for place, figure in figures.items()}


def _scale(axes: Axes, shown: Sequence[float]) -> None:
    low, high = min(shown), max(shown)
    middle, half = math.sqrt(low * high), math.sqrt(max(high / low, _LEAST_SPAN)) * 1.04
    low, high = middle / half, middle * half
    found = ratio_ticks(low, high)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(found))
    axes.yaxis.set_major_formatter(FixedFormatter([f"{tick_label(value, 'rate')}x" for value in found]))
    axes.yaxis.set_minor_locator(NullLocator())


def _legend(history: History, panels: Sequence[MetricPanel], styles: dict[int, int]) -> list[Line2D]:
    """The points with changes, the others as one, and the marks that occur."""
    name = labels_of(history)
    handles = {}
    for one in itertools.chain.from_iterable(panel.changed for panel in panels):
        text = shortened(name(one.point), _LONGEST_LABEL)
        handles[f"point {id(one.point)}"] = Line2D([], [], label=text, **_line(styles[id(one.point)]))
    if len(handles) > _MOST_POINTS:
        more = Line2D([], [], linestyle="none", label=f"and {len(handles) - _MOST_POINTS} more points")
        handles = dict(itertools.islice(handles.items(), _MOST_POINTS)) | {"more": more}
    if any(len(panel.changed) < len(panel.series) for panel in panels):
        handles["other"] = Line2D([], [], color=_GREY, linewidth=0.9, marker=".", label="a point without a change")
    for change in itertools.chain.from_iterable(panel.changes for panel in panels):
        if change.kind != "drift":
            title, mark = _mark(change)
            handles[title] = Line2D([], [], label=title, **mark)
    if any(one.breaks for panel in panels for one in panel.series):
        label = "not comparable with the runs before"
        handles["break"] = Line2D([], [], color=_GREY, linestyle=(0, (2, 2)), linewidth=1.0, label=label)
    return list(handles.values())


def _mark(change: Change) -> tuple[str, dict[str, Any]]:
    """What marks a step or a spike, with its title: the shape tells the direction, the colour whether that is worse."""
    ratio = change.finding.ratio
    up, worse = ratio is None or ratio > 1, change.finding.verdict == REGRESSED
    marker, name = ("x", "spike") if change.kind == "spike" else ("^", "step up") if up else ("v", "step down")
    title = f"{name}, {'worse' if worse else 'better'}"
    colour = _WORSE if worse else _BETTER
    return title, {"marker": marker, "color": colour, "linestyle": "none", "markersize": 8.5, "zorder": 5}


def _line(number: int) -> dict[str, Any]:
    dashes = DASHES[number % len(DASHES)]
    return {
        "color": colour_of(number),
        "linestyle": (0, tuple(dashes)) if dashes else "-",
        "linewidth": 1.4,
        "marker": MARKERS[number % len(MARKERS)][0],
        "markersize": matplotlib.rcParams["font.size"] * 0.5,
        "markerfacecolor": "white",
        "zorder": 3,
    }
