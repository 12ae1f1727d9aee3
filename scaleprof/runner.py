"""The sweep loop: one fresh process per repeat of a point, every ending a record, nothing lost when interrupted."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Protocol

from reports.record import FIELD_NAMES, Record
from scaleprof.child import Outcome
from scaleprof.grid import Point
from scaleprof.launching import Machine, SweepOptions, measure_point
from scaleprof.roofline import Rates
from scaleprof.store import RunDirectory


class Observer(Protocol):
    """Who is told how a sweep goes."""

    def point_begins(self, index: int, point: Point) -> None:
        """A point's process is about to start."""
        ...

    def event(self, event: dict[str, Any]) -> None:
        """The running point's process said something."""
        ...

    def point_ended(self, index: int, record: Record) -> None:
        """A point's record is on the disk."""
        ...


class SweepInterruptedError(Exception):
    """The sweep was asked to stop; what was finished is on the disk."""


def sweep(
    points: Sequence[Point],
    options: SweepOptions,
    run: RunDirectory,
    machine: Machine,
    observer: Observer,
) -> list[Record]:
    """Measure every point in its own process and record it; returns all records.

    Raises `SweepInterruptedError` after Ctrl-C or SIGTERM, once the interrupted point's record is written and its
    process is gone.
    """
    with StopSignals() as stop:
        for index, point in enumerate(points):
            observer.point_begins(index, point)
            name = f"{index:04d}-{point.slug}"
            outcome = measure_point(point, name, options, machine, run, observer.event, stop)
            record = make_record(point, outcome, run.path.name, options, machine.rates)
            run.append(record)
            run.write_samples(name, outcome.samples)
            run.write_timeline(name, outcome.timeline)
            observer.point_ended(index, record)
            if stop.requested:
                raise SweepInterruptedError
    return run.records


def make_record(point: Point, outcome: Outcome, run_id: str, options: SweepOptions, rates: Rates) -> Record:
    """The record of a point that ended: what its processes told, and how they ended."""
    known = {name: value for name, value in outcome.facts.items() if name in FIELD_NAMES}
    record = point.record(
        run_id=run_id,
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        status=outcome.status,
        reason_code=outcome.reason_code,
        reason=outcome.reason,
        phase="" if outcome.status == "ok" else outcome.phase,
        stderr_tail=outcome.stderr_tail,
        memory_limit_bytes=options.memory_limit_bytes,
    )
    record = dataclasses.replace(record, **known)
    return dataclasses.replace(record, **rates.fractions(record))


class StopSignals:
    """Ctrl-C and SIGTERM during a sweep: the first ends the wait for a child and asks it to end, a second kills it.

    Outside `raising()` a signal is only noted, so that what is being written is written whole.
    """

    def __init__(self) -> None:
        self.requested = False
        self.urgent = False
        """A second signal came: nobody is to be waited for."""
        self._raise = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Within this block the first signal raises KeyboardInterrupt; one that came before it does so at once."""
        self._raise = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._raise = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.urgent = self.requested
        self.requested = True
        if self._raise:
            self._raise = False  # A second signal must not break into the killing of the child.
            raise KeyboardInterrupt
