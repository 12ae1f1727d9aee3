"""The frozen plan of a sweep: its points, and how they are measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reports.records.record import Record
from reports.records.run import record_key
from scaleprof.points.point import Point

TOGETHER, MEMORY, SPEED = "together", "memory", "speed"
"""What one child measures: both at once, or one of the two."""
AUTO = "auto"
"""The batching of environments that is chosen by trying."""
SIDES = ("new", "base")
"""The sides of a live pair: this code, and what it is measured against."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How every point of a sweep is measured."""

    measure: tuple[str, ...] = (TOGETHER,)
    """What each process of a point measures, in this order."""
    min_updates: int
    min_seconds: float
    warmup_updates: int
    timeout_seconds: float
    memory_limit_bytes: int
    pin: tuple[int, ...] = ()
    reuse_compiled: bool = False
    """Whether later repeats of a point take what its first compiled."""
    keep_going: bool = False
    """Also try what is larger than a point of the same mode that ran out of memory."""
    sides: tuple[str, ...] = ("",)
    """What tells the records of one point apart where several versions of the code are measured at once."""


def remaining(
    points: Sequence[Point], records: Iterable[Record], retry: Collection[str] = (), sides: Sequence[str] = ("",)
) -> list[tuple[int, Point]]:
    """The points that have no record, were interrupted, or ended as `retry` says, each with its number in the grid."""
    ended = {record_key(record) for record in records if record.status not in ("interrupted", *retry)}
    return [(index, point) for index, point in enumerate(points) if not keys_of(point, sides) <= ended]


def keys_of(point: Point, sides: Sequence[str]) -> set[tuple[object, ...]]:
    """The keys of the records that a point has when it is done, one for each side."""
    return {record_key(point.record(side=side)) for side in sides}


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A checked sweep: its points, and how they are measured."""

    points: tuple[Point, ...]
    options: SweepOptions
    scenario: str
    device: str | None
    manifest: dict[str, Any]
