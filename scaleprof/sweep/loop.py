"""The sweep loop: measure one point after another; each ends in a record on disk, whatever happens.

An interrupted run is resumed with the points that `remaining` returns.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from reports.records.record import POINT_FIELDS, WITH_RESULT, Record, is_between
from reports.records.run import record_key
from scaleprof.launch.facts import is_column
from scaleprof.launch.launcher import Launcher, Outcome
from scaleprof.launch.stopping import StopSignals
from scaleprof.points.plan import BETWEEN, SweepOptions, keys_of
from scaleprof.points.point import Point
from scaleprof.probes.roofline import Rates
from scaleprof.runs.store import RunDirectory
from scaleprof.sweep.attempts import least_contended
from scaleprof.sweep.time_left import Estimate


class Observer(Protocol):
    """Receives sweep events."""

    def point_begins(self, index: int, point: Point) -> None:
        """A point is about to start."""
        ...

    def event(self, event: dict[str, Any]) -> None:
        """The running point sent an event."""
        ...

    def point_ended(self, index: int, record: Record) -> None:
        """A point's record is on disk."""
        ...


class SweepInterruptedError(Exception):
    """The sweep was interrupted; finished points are on disk."""


class TimeIsUpError(Exception):
    """The sweep's time is up before all points were measured; finished points are on disk."""


def sweep(
    work: Sequence[tuple[int, Point]],
    options: SweepOptions,
    run: RunDirectory,
    launcher: Launcher,
    observer: Observer,
    planned: Collection[int] = (),
    estimate: Estimate | None = None,
) -> list[Record]:
    """Measure and record every point; returns all records of the run.

    `work` gives each point with its number in the grid, which names its files. Raises `SweepInterruptedError` after
    Ctrl-C or SIGTERM, once the interrupted point is recorded and its process is gone; `TimeIsUpError` instead of
    starting a point after `options.max_seconds`. `planned` are the numbers of points that are only planned;
    `estimate` learns how long each took.
    """
    started = time.monotonic()
    ends = math.inf if options.max_seconds is None else started + options.max_seconds
    too_large = TooLarge(run.records, work, options)
    estimate = estimate or Estimate([point for _, point in work], options)
    with StopSignals() as stop:
        for index, point in work:
            if time.monotonic() > ends:
                raise TimeIsUpError
            observer.point_begins(index, point)
            exceeded = None if options.keep_going or index in planned else too_large.exceeded_by(point)
            if exceeded is not None:
                records = skipped_records(point, exceeded, run.run_id, options)
                for record in records:
                    run.append(record)
            else:
                began = time.monotonic()
                patient = dataclasses.replace(options, timeout_seconds=estimate.timeout_seconds(point))
                if index in planned:
                    patient = dataclasses.replace(patient, measure=(BETWEEN,))
                records = measure(index, point, patient, launcher, run, observer, stop, ends)
                estimate.add(point, records[0], records[0].point_seconds or time.monotonic() - began)
            for record in records:
                too_large.add(record)
            observer.point_ended(index, next((r for r in records if r.status not in WITH_RESULT), records[0]))
            if stop.requested:
                raise SweepInterruptedError
    return run.records


class TooLarge:
    """The smallest agent count at which each mode ran out of memory, all other fields of the point being equal.

    Records from before a resume count only if they had at least today's memory limit and are not being retried.
    """

    def __init__(self, records: Iterable[Record], work: Sequence[tuple[int, Point]], options: SweepOptions) -> None:
        self._agents: dict[tuple[object, ...], int] = {}
        again = {key for _, point in work for key in keys_of(point, options.sides)}
        for record in records:
            as_much = record.memory_limit_bytes is not None and record.memory_limit_bytes >= options.memory_limit_bytes
            if as_much and record_key(record) not in again:
                self.add(record)

    def add(self, record: Record) -> None:
        """Add a record, if its point ran out of memory."""
        if record.status == "oom" and not is_between(record):
            key = self._key(record)
            self._agents[key] = min(record.agents, self._agents.get(key, record.agents))

    def exceeded_by(self, point: Point) -> int | None:
        """The agent count that ran out of memory, if it is smaller than the point's."""
        agents = self._agents.get(self._key(point.record()))
        return agents if agents is not None and agents < point.agents else None

    @staticmethod
    def _key(record: Record) -> tuple[object, ...]:
        return tuple(getattr(record, name) for name in POINT_FIELDS if name not in ("agents", "side"))


def skipped_records(point: Point, agents: int, run_id: str, options: SweepOptions) -> list[Record]:
    """The records of a point that is skipped because `agents` agents already ran out of memory."""
    return [
        point.record(
            run_id=run_id,
            timestamp=now(),
            side=side,
            status="skipped",
            reason_code="larger",
            reason=f"larger than a point that ran out of memory (agents={agents})",
            memory_limit_bytes=options.memory_limit_bytes,
        )
        for side in options.sides
    ]


def measure(
    index: int,
    point: Point,
    options: SweepOptions,
    launcher: Launcher,
    run: RunDirectory,
    observer: Observer,
    stop: StopSignals,
    ends: float = math.inf,
) -> list[Record]:
    """Measure a point and write its records to disk: one, or one per side of a pair.

    A contended point is measured again, as `options.retry_contended` says, if that ends before `ends` on the clock.
    """
    first = f"{index:04d}-{point.slug}"

    def named(attempt: int) -> str:
        return first if attempt == 1 else f"{first}-attempt{attempt}"

    def attempt(number: int, must_compile: bool) -> list[Outcome]:
        own = dataclasses.replace(options, reuse_compiled=options.reuse_compiled and not must_compile)
        return launcher.measure(point, named(number), own, run, observer.event, stop)

    def may_begin(seconds: float) -> bool:
        return not stop.requested and time.monotonic() + seconds < ends

    found = least_contended(attempt, options.retry_contended, may_begin)
    name, records = named(found.number), []
    for side, outcome in zip(options.sides, found.outcomes, strict=True):
        file = f"{name}-{side}" if side else name
        record = make_record(point, outcome, run.run_id, options, launcher.rates)
        reason = record.reason or found.failure
        record = dataclasses.replace(record, files=file, attempts=found.taken, reason=reason)
        if side:
            record = dataclasses.replace(record, side=side, pair_id=f"{run.run_id}/{name}")
        try:
            run.write_samples(file, outcome.samples)
            run.write_timeline(file, outcome.timeline)
        finally:  # the record last: a point with a record also has its samples, unless the disk was full
            run.append(record)
        records.append(record)
    return records


def make_record(point: Point, outcome: Outcome, run_id: str, options: SweepOptions, rates: Rates) -> Record:
    """The record of a finished point: what its processes reported, and how they ended."""
    known = {name: value for name, value in outcome.facts.items() if is_column(name, value)}
    record = point.record(
        run_id=run_id,
        timestamp=now(),
        status=outcome.status,
        reason_code=outcome.reason_code,
        reason=outcome.reason,
        phase="" if outcome.status in WITH_RESULT else outcome.phase,
        stderr_tail=outcome.stderr_tail,
        memory_limit_bytes=options.memory_limit_bytes,
    )
    record = dataclasses.replace(record, **known)
    return dataclasses.replace(record, **rates.fractions(record))


def now() -> str:
    """The wall-clock time, for people only: nothing is computed from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
