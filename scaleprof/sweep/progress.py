"""Sweep progress on stderr: a live display on a terminal that can redraw it, elsewhere one line per finished point."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports.arrange.pivot import varying_axes
from reports.records.record import Record
from reports.render.console import is_live
from reports.text.plain import one_line
from reports.text.units import counted, format_bytes, format_rate, format_seconds
from scaleprof.points.plan import SweepOptions
from scaleprof.points.point import Point
from scaleprof.sweep.time_left import Estimate

REFRESHES_PER_SECOND = 2
SHOWN_RESULTS = 8


class Progress:
    """Implements `scaleprof.sweep.loop.Observer`; a context manager around the sweep.

    `points` are to be measured now, in order; `done` others of the same `grid` have already ended. `estimate` is the
    sweep's own, which learns of every point that ends.
    """

    def __init__(
        self,
        points: Sequence[Point],
        options: SweepOptions,
        console: Console,
        *,
        done: int = 0,
        grid: Sequence[Point] = (),
        estimate: Estimate | None = None,
    ) -> None:
        self._points = points
        self._done = done
        self._names = PointNames(grid or points)
        self._console = console
        self._started = self._point_started = time.monotonic()
        self._phase = "start"
        self._samples: list[dict[str, Any]] = []
        """The updates of the running phase."""
        self._options = options
        self._results: list[Record] = []
        self._estimate = estimate or Estimate(points, options)
        self._is_live = is_live(console.file)
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Progress:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._live.stop()

    def point_begins(self, index: int, point: Point) -> None:
        """Show the point as running."""
        self._phase, self._samples = "start", []
        self._point_started = time.monotonic()

    def event(self, event: dict[str, Any]) -> None:
        """Follow the running point's phase and updates."""
        if event["event"] == "phase":
            self._phase, self._samples = one_line(event["name"]), []
        elif event["event"] == "samples":
            self._samples += event["samples"]

    def point_ended(self, index: int, record: Record) -> None:
        """Add the point to the results so far."""
        seconds = time.monotonic() - self._point_started
        point = self._points[len(self._results)]
        self._results.append(record)
        if not self._is_live:
            done = f"[{self._done + len(self._results)}/{self._done + len(self._points)}]"
            line = f"{done} {self._names.of(point)}: {_outcome(record)} ({format_seconds(seconds)})"
            self._console.print(Text(one_line(line)), soft_wrap=True)

    def _picture(self) -> RenderableType:
        now = time.monotonic()
        running = min(len(self._results), len(self._points) - 1)
        point = self._points[running]
        done, total = self._done + len(self._results), self._done + len(self._points)
        left = self._estimate.remaining_seconds(running, now - self._point_started)
        times = f"elapsed {_clock(now - self._started)}   {_left(left)}"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total, done, width=24), f"{done}/{total}", times)
        doing = f"{self._phase}{self._updates()}   {_clock(now - self._point_started)}"
        line = Text.assemble((one_line(self._names.of(point)), "bold"), f"   {doing}", no_wrap=True)
        return Group(self._recent(), bar, line)

    def _updates(self) -> str:
        """How far the phase's updates are: `, 1 of 3 updates, 24.0 s each`."""
        if self._phase not in ("memory", "warm up", "measure"):
            return ""
        if not self._samples:
            return ", first update"
        mean = sum(sample["update_seconds"] for sample in self._samples) / len(self._samples)
        done = len(self._samples)
        asked = max(done, self._options.min_updates, math.ceil(self._options.min_seconds / mean))
        updates = f"{done} of {counted(asked, 'update')}" if self._phase == "measure" else counted(done, "update")
        return f", {updates}, {format_seconds(mean)} each"

    def _recent(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for record, point in list(zip(self._results, self._points, strict=False))[-SHOWN_RESULTS:]:
            table.add_row(
                Text(one_line(self._names.of(point))),
                Text(one_line(_outcome(record)), no_wrap=True, overflow="ellipsis"),
            )
        return table


class PointNames:
    """Names of a grid's points that tell them apart: with every axis that varies, and the repeat if there are several.

    `sable:chunkwise · 16 agents · T 8 · accumulate auto · repeat 2 of 4`
    """

    def __init__(self, grid: Sequence[Point]) -> None:
        pending = [point.record(status="pending") for point in grid]
        self._axes = [axis for axis in varying_axes(pending) if axis != "seq_len"]
        self._repeats = max((point.repeat for point in grid), default=0) + 1

    def of(self, point: Point) -> str:
        """The name of one point."""
        record = point.record(status="pending")
        values = ((axis, getattr(record, axis)) for axis in self._axes)
        axes = [f"{axis} {value}" for axis, value in values if value not in (None, "")]
        repeat = [f"repeat {point.repeat + 1} of {self._repeats}"] if self._repeats > 1 else []
        return " · ".join([point.label, *axes, *repeat])


def _left(seconds: float | None) -> str:
    """What is left, in words; 0 if the last point takes longer than expected."""
    if seconds is None:
        return "left ?"
    return f"left about {_clock(seconds)}" if seconds > 0 else "taking longer than expected"


def _outcome(record: Record) -> str:
    """How a point ended, in one line."""
    if record.status == "planned":
        return f"planned, {format_bytes(record.memory_bytes)}"
    if record.status != "ok":
        return f"{f'{record.side} ' if record.side else ''}{record.status}: {record.reason}"
    attempts = ""
    if record.attempts is not None and record.attempts > 1:
        attempts = f", {record.attempts} attempts{', all contended' if record.contended else ''}"
    throttled = ", throttled by heat" if record.throttled else ""
    return (
        f"{format_rate(record.agent_steps_per_second)} agent-steps/s, {format_bytes(record.memory_bytes)}, "
        f"update {format_seconds(record.update_seconds)}{attempts}{throttled}"
    )


def _clock(seconds: float) -> str:
    """Format seconds as 3:07, or as 1:02:03 from one hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
