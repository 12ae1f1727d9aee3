"""The launcher that measures points in processes on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.local import measure_point
from scaleprof.launch.machine import Machine
from scaleprof.launch.pairs import measure_pair
from scaleprof.launch.stopping import Stop
from scaleprof.points.plan import SweepOptions
from scaleprof.points.point import Point
from scaleprof.probes.roofline import Rates
from scaleprof.runs.store import RunDirectory


@dataclass(frozen=True)
class LocalLauncher:
    """Implements `scaleprof.launch.launcher.Launcher`: one version of the code, or two in turns as a live pair."""

    machine: Machine

    @property
    def rates(self) -> Rates:
        """This machine's, measured before the first point."""
        return self.machine.rates

    def measure(
        self, point: Point, name: str, options: SweepOptions, run: RunDirectory, on_event: EventHandler, stop: Stop
    ) -> list[Outcome]:
        """Measure one repeat of a point in fresh processes."""
        if self.machine.versions:
            return measure_pair(point, name, options, self.machine, run, on_event, stop)
        return [measure_point(point, name, options, self.machine, run, on_event, stop)]
