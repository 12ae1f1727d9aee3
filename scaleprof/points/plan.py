"""The frozen plan of a sweep: its points, and how they are measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reports.records.record import BETWEEN, PLAN, Record
from reports.records.run import record_key
from scaleprof.points.choices import AUTO, MEMORY, SPEED, TOGETHER
from scaleprof.points.point import Point

__all__ = [
    "AUTO",
    "BETWEEN",
    "MEMORY",
    "PLAN",
    "SIDES",
    "SPEED",
    "TOGETHER",
    "SweepOptions",
    "SweepPlan",
    "keys_of",
    "remaining",
]

SIDES = ("new", "base")
"""The sides of a live pair: this code, and the version it is measured against."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How every point of a sweep is measured."""

    measure: tuple[str, ...] = (TOGETHER,)
    """What each process of a point measures, in order."""
    compile_together: bool = False
    """Whether a point's programs may compile at the same time; else one by one, and each is timed."""
    min_updates: int
    min_seconds: float
    warmup_updates: int
    timeout_seconds: float
    timeout_grows: bool = False
    """Whether points that are expected to take long have a longer time limit."""
    memory_limit_bytes: int
    max_seconds: float | None = None
    """No point starts later than this after the sweep began; None is no limit."""
    pin: tuple[int, ...] = ()
    retry_contended: int = 0
    """The most further attempts at a point that other processes competed with."""
    reuse_compiled: bool = False
    """Whether later repeats of a point reuse the programs that its first repeat compiled."""
    untrimmed: bool = True
    """Whether a plan also finds what the programs want without XLA's own rematerialisation."""
    keep_going: bool = False
    """Whether to measure points larger than one of the same mode that ran out of memory."""
    sides: tuple[str, ...] = ("",)
    """The `side` of each record of a point: one per version of the code that is measured."""


def remaining(
    points: Sequence[Point], records: Iterable[Record], retry: Collection[str] = (), sides: Sequence[str] = ("",)
) -> list[tuple[int, Point]]:
    """The points without a record, interrupted, or ended with a status in `retry`; each with its number in the grid."""
    ended = {record_key(record) for record in records if record.status not in ("interrupted", *retry)}
    return [(index, point) for index, point in enumerate(points) if not keys_of(point, sides) <= ended]


def keys_of(point: Point, sides: Sequence[str]) -> set[tuple[object, ...]]:
    """The keys of a finished point's records, one per side."""
    return {record_key(point.record(side=side)) for side in sides}


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A checked sweep: its points, and how they are measured."""

    points: tuple[Point, ...]
    """The points to measure."""
    between: tuple[Point, ...] = ()
    """Points whose memory is planned by compiling alone; their numbers follow those of `points`."""
    options: SweepOptions
    scenario: str
    device: str | None
    manifest: dict[str, Any]

    @property
    def all_points(self) -> tuple[Point, ...]:
        """The points to measure, then those to plan, in the order of their numbers."""
        return self.points + self.between

    @property
    def planned(self) -> range:
        """The numbers of the points that are only planned."""
        return range(len(self.points), len(self.all_points))
