"""One panel of a figure: a measure along a slice, on logarithmic axes, with the failures in a strip above them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from reports.arrange.curves import AXIS_TITLES, Curve, Slice, memory_limits
from reports.arrange.pivot import Repeats
from reports.growth.trends import Trend, trend_of
from reports.records.columns import MEMORY, Column
from reports.records.record import Record
from reports.report.titles import Title
from reports.text.section import shortened
from reports.text.style import DASHES, FAILURES, MARKERS, colour_of
from reports.text.ticks import tick_label, ticks

_MARK_POINTS = 11.0
"""Height of one row of failure markers, in points."""
_STRIP_EDGE = 3.0
"""Height between the axes and the first row of failure markers, in points."""
_MOST_ROWS = 8
"""Rows of failure markers beyond which they overlap, so that the strip stays low."""
_LEAST_SPAN = 4.0
"""The smallest ratio of the ends of a vertical axis: less would exaggerate small differences."""
_MARGIN = 1.15
_GREY = "#555555"
_GRID = "#E4E4E4"
_FIT_LINE: dict[str, Any] = {"linestyle": (0, (3, 3)), "linewidth": 0.9, "zorder": 2}
_LIMIT_LINE: dict[str, Any] = {"color": "#555555", "linestyle": "-", "linewidth": 2.4, "alpha": 0.55, "zorder": 1}
_ERROR_BAR: dict[str, Any] = {"elinewidth": 1.1, "capsize": 2.5, "capthick": 1.1, "zorder": 2.5}


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure along one slice, with everything drawn there."""

    slice: Slice
    measure: Column
    limits: tuple[tuple[int, float], ...]
    trends: tuple[Trend | None, ...]
    title: Title

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


def prepare(one: Slice, measure: Column, records: Sequence[Record], title: Title) -> Panel:
    """The panel of `measure` along a slice of `records`."""
    limits = memory_limits(records, measure) if measure in MEMORY else []
    trends = [trend_of(curve, measure, one.axis, one.sizes[-1]) for curve in one.curves]
    return Panel(one, measure, tuple(limits), tuple(trends), title)


def draw_panel(axes: Axes, panel: Panel, title: str, *, label_share: float) -> None:
    """Draw `panel` on empty axes.

    Args:
        axes: where to draw.
        panel: what to draw.
        title: what stands above, in as many lines as it has.
        label_share: the share of the horizontal axis that the label of a tick needs.
    """
    one, measure = panel.slice, panel.measure
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(title, loc="left", pad=6 + panel.strip)
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
    _set_ticks(axes.xaxis, _apart(one.sizes, (right / left) ** label_share), "count")
    _set_ticks(axes.yaxis, ticks(low, high, measure.unit), measure.unit)


def thin_ticks(axes: Axes, panel: Panel, most: int) -> None:
    """Leave at most about `most` ticks on the vertical axis, evenly spaced."""
    found = ticks(*panel.range(), panel.measure.unit)
    _set_ticks(axes.yaxis, found[:: math.ceil(len(found) / max(most, 1))], panel.measure.unit)


def legend(panels: Iterable[Panel], longest: int) -> list[Line2D | Patch]:
    """A handle for every curve, labelled with at most `longest` characters, then for every kind of mark used."""
    curves: dict[int, Line2D | Patch] = {}
    marks: dict[object, Line2D | Patch] = {}
    statuses: set[str] = set()
    for panel in panels:
        for curve, trend in zip(panel.slice.curves, panel.trends, strict=True):
            if curve.values(panel.measure) or curve.failures():
                label = shortened(curve.label, longest)
                curves.setdefault(curve.style, Line2D([], [], label=label, **_line(curve.style)))
            if _spread(curve.values(panel.measure)):
                bar = Line2D([], [], color=_GREY, linestyle="none", marker="|", markersize=11, markeredgewidth=1.1)
                bar.set_label("lowest to highest repeat")
                marks.setdefault("repeats", bar)
            if trend is not None:
                name = "law (extrapolated beyond the last point)"
                marks.setdefault("fit", Line2D([], [], color=_GREY, label=name, **_FIT_LINE))
                if trend.low:
                    name = "95 % interval of the law"
                    marks.setdefault("band", Patch(color=_GREY, alpha=0.2, linewidth=0, label=name))
        for limit, line in panel.limits:
            name = f"memory limit {tick_label(limit, 'bytes')}"
            name += "" if line == limit else ", minus what the idle process holds"
            marks.setdefault(limit, Line2D([], [], label=name, **_LIMIT_LINE))
        statuses.update(status for failed in panel.failures().values() for _, status in failed)
    failures = [
        Line2D([], [], label=f"{FAILURES[status][2]} (above the axes)", **_failure(status, _GREY))
        for status in FAILURES
        if status in statuses
    ]
    return [*(curves[style] for style in sorted(curves)), *marks.values(), *failures]


def _draw_failures(axes: Axes, panel: Panel) -> None:
    """A strip above the axes with a column of markers for every size with failures: whose it is, and its status."""

    def moved(right: float, up: float) -> Transform:
        return axes.get_xaxis_transform() + ScaledTranslation(right / 72, up / 72, axes.figure.dpi_scale_trans)

    axes.plot([0, 1], [1, 1], transform=axes.transAxes, color=_GRID, linewidth=0.8, clip_on=False, zorder=1)
    middle = axes.transAxes + ScaledTranslation(-4 / 72, panel.strip / 144, axes.figure.dpi_scale_trans)
    axes.text(0, 1, "no result", transform=middle, ha="right", va="center", fontsize="small", color=_GREY)
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
    medians = [statistics.median(several) for several in values.values()]
    spread = _spread(values)
    if spread:
        middle = [statistics.median(values[size]) for size in spread]
        below = [value - low for value, (low, _) in zip(middle, spread.values(), strict=True)]
        above = [high - value for value, (_, high) in zip(middle, spread.values(), strict=True)]
        axes.errorbar(list(spread), middle, yerr=[below, above], fmt="none", ecolor=colour, **_ERROR_BAR)
    axes.plot(list(values), medians, **_line(curve.style))


def _spread(values: Mapping[int, Sequence[float]]) -> dict[int, tuple[float, float]]:
    """The lowest and the highest repeat, for the sizes whose repeats differ."""
    return {size: (min(several), max(several)) for size, several in values.items() if len(set(several)) > 1}


def _line(style: int) -> dict[str, Any]:
    """The look of a curve; its marks are as large as letters."""
    text = matplotlib.rcParams["font.size"]
    dashes = DASHES[style % len(DASHES)]
    return {
        "color": colour_of(style),
        "linestyle": (0, tuple(dashes)) if dashes else "-",
        "linewidth": text * 0.155,
        "marker": MARKERS[style % len(MARKERS)][0],
        "markersize": text * 0.67,
        "markerfacecolor": "white",
        "markeredgewidth": text * 0.145,
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
