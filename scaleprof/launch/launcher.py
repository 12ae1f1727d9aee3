"""The seam between the sweep and what measures its points: here in local processes, later elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from scaleprof.launch.stopping import Stop
from scaleprof.points.plan import SweepOptions
from scaleprof.points.point import Point
from scaleprof.probes.roofline import Rates
from scaleprof.probes.watch import Sample
from scaleprof.runs.store import RunDirectory

EventHandler = Callable[[dict[str, Any]], None]
"""Receives the events of a running point."""


@dataclass
class Outcome:
    """How a process ended and what it reported."""

    status: str
    reason_code: str = ""
    reason: str = ""
    phase: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    timeline: list[Sample] = field(default_factory=list)
    stderr_tail: str = ""
    stopped_seconds: float = 0.0
    """The time meanwhile in which this process, the parent, was stopped (Ctrl-Z)."""

    def fail(self, status: str, reason_code: str, reason: str) -> None:
        """Note a failure in the current phase, unless the outcome is already known."""
        if not self.status:
            self.status = status
            self.reason_code = reason_code
            self.reason = f"{reason} [{self.phase}]"


class Launcher(Protocol):
    """Measures points; the sweep loop knows nothing else of where they run."""

    @property
    def rates(self) -> Rates:
        """How fast the machine that measures multiplies and copies."""
        ...

    def measure(
        self, point: Point, name: str, options: SweepOptions, run: RunDirectory, on_event: EventHandler, stop: Stop
    ) -> list[Outcome]:
        """Measure one repeat of a point, whose files are called `name`; one outcome for each of `options.sides`.

        Failures are outcomes. Within `stop.raising()` a KeyboardInterrupt ends the point as `interrupted`.
        """
        ...
