"""Plans of single points, made one at a time in processes of their own and kept in a run's folder."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from reports.records.record import Record, has_plan
from reports.report.reach import need_of
from scaleprof.launch.launcher import Launcher
from scaleprof.launch.preflight import preflight
from scaleprof.launch.stopping import StopSignals
from scaleprof.points.plan import SweepPlan
from scaleprof.points.point import Point
from scaleprof.runs.store import RunDirectory
from scaleprof.sweep.loop import SweepInterruptedError, measure

Say = Callable[[Point, Record], None]
"""Receives a point and its record, once it is planned."""


def needed_bytes(record: Record) -> int | None:
    """What a planned point needs: all its programs were compiled, or the compiler refused one as too large.

    None where compiling ended early: the plan of some programs is no answer.
    """
    return record.xla_peak_bytes if has_plan(record) else need_of(record)


class PointPlans:
    """Plans points for the options of a plan; `say` hears of each."""

    def __init__(self, plan: SweepPlan, run: RunDirectory, launcher: Launcher, stop: StopSignals, say: Say) -> None:
        self._plan, self._run, self._launcher, self._stop, self._say = plan, run, launcher, stop, say
        self.count = 0
        """Points that were planned so far."""

    def record_of(self, point: Point, *, untrimmed: bool = True) -> Record:
        """Compile a point. With `untrimmed`, also find what it wants without XLA's own rematerialisation.

        Raises `SweepInterruptedError` after Ctrl-C.
        """
        options = dataclasses.replace(self._plan.options, untrimmed=untrimmed)
        record = measure(self.count, point, options, self._launcher, self._run, self, self._stop)[0]
        self.count += 1
        if self._stop.requested:
            raise SweepInterruptedError
        self._say(point, record)
        return record

    def point_begins(self, index: int, point: Point) -> None:
        """Nothing is shown before a point ends."""

    def event(self, event: dict[str, Any]) -> None:
        """Nothing is shown of a running point."""

    def point_ended(self, index: int, record: Record) -> None:
        """`say` hears of it."""


@contextmanager
def point_plans(plan: SweepPlan, say: Say, folder: Path | None = None) -> Iterator[PointPlans]:
    """Plan points in a new run at `folder`, or in a temporary one."""
    with tempfile.TemporaryDirectory(prefix="scaleprof-") as temporary:
        launcher, described = preflight(plan)
        run = RunDirectory.create(folder or Path(temporary) / "run", plan.manifest, described)
        with closing(run), StopSignals() as stop:
            yield PointPlans(plan, run, launcher, stop, say)
