"""The sweep loop: one fresh process per repeat of a point, every ending a record, nothing lost when interrupted.

A run that ended early goes on with what `remaining` says is left of its grid.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from reports.records.record import FIELD_NAMES, POINT_FIELDS, Record
from reports.records.run import record_key
from scaleprof.launch.launcher import Launcher, Outcome
from scaleprof.launch.stopping import StopSignals
from scaleprof.points.plan import SweepOptions, keys_of
from scaleprof.points.point import Point
from scaleprof.probes.roofline import Rates
from scaleprof.runs.store import RunDirectory


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
    work: Sequence[tuple[int, Point]],
    options: SweepOptions,
    run: RunDirectory,
    launcher: Launcher,
    observer: Observer,
) -> list[Record]:
    """Measure every point in its own process and record it; returns all records of the run.

    `work` gives each point with its number in the grid, which names its files. Raises `SweepInterruptedError` after
    Ctrl-C or SIGTERM, once the interrupted point's record is written and its process is gone.
    """
    too_large = TooLarge(run.records, work, options)
    with StopSignals() as stop:
        for index, point in work:
            observer.point_begins(index, point)
            exceeded = None if options.keep_going else too_large.exceeded_by(point)
            if exceeded is not None:
                records = skipped_records(point, exceeded, run.run_id, options)
                for record in records:
                    run.append(record)
            else:
                records = measure(index, point, options, launcher, run, observer, stop)
            for record in records:
                too_large.add(record)
            observer.point_ended(index, next((r for r in records if r.status != "ok"), records[0]))
            if stop.requested:
                raise SweepInterruptedError
    return run.records


class TooLarge:
    """The smallest number of agents at which each mode ran out of memory, all other fields of the point being equal.

    Of what ran out before a resume, only that counts which had as much memory as there is now, and which is not about
    to be tried again.
    """

    def __init__(self, records: Iterable[Record], work: Sequence[tuple[int, Point]], options: SweepOptions) -> None:
        self._agents: dict[tuple[object, ...], int] = {}
        again = {key for _, point in work for key in keys_of(point, options.sides)}
        for record in records:
            as_much = record.memory_limit_bytes is not None and record.memory_limit_bytes >= options.memory_limit_bytes
            if as_much and record_key(record) not in again:
                self.add(record)

    def add(self, record: Record) -> None:
        """Note a record, if its point ran out of memory."""
        if record.status == "oom":
            key = self._key(record)
            self._agents[key] = min(record.agents, self._agents.get(key, record.agents))

    def exceeded_by(self, point: Point) -> int | None:
        """The number of agents that ran out of memory, if it is smaller than the point's."""
        agents = self._agents.get(self._key(point.record()))
        return agents if agents is not None and agents < point.agents else None

    @staticmethod
    def _key(record: Record) -> tuple[object, ...]:
        return tuple(getattr(record, name) for name in POINT_FIELDS if name not in ("agents", "side"))


def skipped_records(point: Point, agents: int, run_id: str, options: SweepOptions) -> list[Record]:
    """The records of a point that was not tried, because `agents` agents already ran out of memory."""
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
) -> list[Record]:
    """Measure a point and put what came of it on the disk: one record, or one for each side of a pair."""
    name = f"{index:04d}-{point.slug}"
    outcomes = launcher.measure(point, name, options, run, observer.event, stop)
    records = []
    for side, outcome in zip(options.sides, outcomes, strict=True):
        file = f"{name}-{side}" if side else name
        record = dataclasses.replace(make_record(point, outcome, run.run_id, options, launcher.rates), files=file)
        if side:
            record = dataclasses.replace(record, side=side, pair_id=f"{run.run_id}/{name}")
        try:
            run.write_samples(file, outcome.samples)
            run.write_timeline(file, outcome.timeline)
        finally:  # the record last: a point that has one has its samples too, unless the disk was full
            run.append(record)
        records.append(record)
    return records


def make_record(point: Point, outcome: Outcome, run_id: str, options: SweepOptions, rates: Rates) -> Record:
    """The record of a point that ended: what its processes told, and how they ended."""
    known = {name: value for name, value in outcome.facts.items() if name in FIELD_NAMES}
    record = point.record(
        run_id=run_id,
        timestamp=now(),
        status=outcome.status,
        reason_code=outcome.reason_code,
        reason=outcome.reason,
        phase="" if outcome.status == "ok" else outcome.phase,
        stderr_tail=outcome.stderr_tail,
        memory_limit_bytes=options.memory_limit_bytes,
    )
    record = dataclasses.replace(record, **known)
    return dataclasses.replace(record, **rates.fractions(record))


def now() -> str:
    """The wall clock, for people; nothing is computed from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
