"""Estimate the remaining time of a sweep from the points that have ended."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence

from reports.records.record import POINT_FIELDS, Record, was_run
from sable.models import find
from scaleprof.launch.protocol import LONG_SECONDS
from scaleprof.points.plan import SweepOptions
from scaleprof.points.point import Point

GROWTH = 1.1
"""The assumed exponent of update time in tokens where `ModelEntry.growth` gives none."""
STEEPEST = 2.5
PATIENCE = 2.0
"""A time limit that grows is this many times what a point is expected to take."""


class Estimate:
    """Seconds to the end of a sweep over `points`.

    A point takes the overhead (mostly compilation) of the nearest point of the same model and mode, plus the updates
    that the options ask for. Update time grows as a power of tokens, fitted once two sizes are known. An unknown model
    takes as long as the others; points larger than one that ran out of memory take no time. Those in `planned` only
    compile.
    """

    def __init__(self, points: Sequence[Point], options: SweepOptions, planned: Collection[Point] = ()) -> None:
        self._points = points
        self._planned = frozenset(planned)
        self._planning: list[float] = []
        self._options = options
        self._ended: list[tuple[Point, Record, float]] = []

    def add(self, point: Point, record: Record, seconds: float) -> None:
        """Add a finished point and the time it took."""
        if point in self._planned:
            self._planning.append(seconds)
        elif record.status != "skipped":
            self._ended.append((point, record, seconds))

    def learn(self, records: Iterable[Record]) -> list[Record]:
        """Add earlier points that differ from one of these in size, seed or repeat only; returns their records."""
        known = {like(point.record()): point for point in self._points}
        used = []
        for record in records:
            point = known.get(like(record))
            if point is not None and record.point_seconds is not None and was_run(record):
                ended = dataclasses.replace(point, agents=record.agents, repeat=record.repeat)
                self._ended.append((ended, record, record.point_seconds))
                used.append(record)
        return used

    def remaining_seconds(self, running: int, elapsed_seconds: float) -> float | None:
        """Seconds until the end, if point `running` has run for `elapsed_seconds`; None before any point ended."""
        if not self._ended and not self._planning:
            return None
        now = max(self._expected(self._points[running]) - elapsed_seconds, 0.0)
        return now + sum(self._expected(point) for point in self._points[running + 1 :])

    def total_seconds(self) -> float:
        """Seconds that all points take together, once some are known."""
        return sum(map(self._expected, self._points))

    def timeout_seconds(self, point: Point) -> float:
        """The time limit of a point: the options' own; if it may grow, at least `PATIENCE` times what is expected."""
        limit = self._options.timeout_seconds
        parts = self._parts(point) if self._options.timeout_grows else None
        return limit if parts is None else max(limit, PATIENCE * self._seconds(*parts))

    def _expected(self, point: Point) -> float:
        if point in self._planned:
            known = self._planning or [_compiling(record) for _, record, _ in self._ended]
            return sum(known) / len(known) if known else 0.0
        alike = self._alike(point)
        if any(record.status == "oom" and _tokens(p) < _tokens(point) for p, record, _ in alike):
            return 0.0 if not self._options.keep_going else self._options.timeout_seconds / 10
        parts = self._parts(point)
        if parts is None:
            return self._unknown(point, alike)
        return min(self._seconds(*parts), self.timeout_seconds(point))

    def _seconds(self, fixed: float, update: float) -> float:
        """What a point takes: its overhead, and its updates unless it will not fit."""
        return fixed + (self._updating(update) if update else 0.0)

    def _alike(self, point: Point) -> list[tuple[Point, Record, float]]:
        return [(p, r, s) for p, r, s in self._ended if p.variant == point.variant]

    def _parts(self, point: Point) -> tuple[float, float] | None:
        """A point's overhead and the time of one update, 0 if it will not fit; None if nothing is known."""
        measured = [(p, r, s) for p, r, s in self._alike(point) if r.update_seconds is not None]
        if not measured:
            return None
        nearest, record, seconds = min(measured, key=lambda ended: abs(math.log(_tokens(ended[0]) / _tokens(point))))
        assert record.update_seconds is not None
        fixed = max(seconds - self._updating(record.update_seconds), 0.0)
        if record.compile_cache == "written" and point.repeat > nearest.repeat:
            fixed = max(fixed - _compiling(record), 0.0)
        growth = _growth(point, [(p, r) for p, r, _ in measured])
        update = record.update_seconds * (_tokens(point) / _tokens(nearest)) ** growth
        if point.mode in find(point.model).quadratic_memory and self._outgrows(point, nearest, record):
            update = 0.0
        return fixed, update

    def _outgrows(self, point: Point, nearest: Point, record: Record) -> bool:
        """Whether a point whose memory grows with the square of its tokens will not fit once it is compiled."""
        grown = (record.xla_learn_temp_bytes or 0) * (_tokens(point) / _tokens(nearest)) ** 2
        return grown > self._options.memory_limit_bytes

    def _unknown(self, point: Point, alike: Sequence[tuple[Point, Record, float]]) -> float:
        """The mean time of points of the same size, of any model; of all points if there are none."""
        if alike:  # all its points failed
            return alike[-1][2]
        same_size = [seconds for p, _, seconds in self._ended if _tokens(p) == _tokens(point)]
        taken = same_size or [seconds for _, _, seconds in self._ended]
        return sum(taken) / len(taken)

    def _updating(self, update_seconds: float) -> float:
        """The time of warm-up and measurement for this update time."""
        options = self._options
        warmup = 1 if update_seconds >= LONG_SECONDS else options.warmup_updates
        measured = max(options.min_updates, math.ceil(options.min_seconds / update_seconds))
        return (warmup + measured) * update_seconds


def like(record: Record) -> tuple[object, ...]:
    """What points have in common that tell each other's time."""
    return tuple(getattr(record, name) for name in POINT_FIELDS if name not in ("agents", "seed", "side"))


def _growth(point: Point, measured: Sequence[tuple[Point, Record]]) -> float:
    """The exponent of update time in tokens between the two largest sizes."""
    expected = dict(find(point.model).growth)
    sizes = {_tokens(p): record.update_seconds for p, record in measured if record.update_seconds}
    if len(sizes) < 2:
        return expected.get(point.mode, GROWTH)
    (smaller, short), (larger, long) = sorted(sizes.items())[-2:]
    fitted = math.log(long / short) / math.log(larger / smaller)
    return min(max(fitted, expected.get(point.mode, 0.0)), STEEPEST)


def _compiling(record: Record) -> float:
    if record.compile_seconds is not None:
        return record.compile_seconds
    times = (record.compile_act_seconds, record.compile_rollout_seconds, record.compile_learn_seconds)
    return sum(seconds for seconds in times if seconds is not None)


def _tokens(point: Point) -> int:
    return point.agents * point.seq_len * point.envs * point.epochs
