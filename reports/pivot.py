"""Records as a two-way picture: models and modes down, agents across, repeats of a point gathered in one cell.

Pure data, no drawing: whatever shows a sweep (terminal, page, figure) starts here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.record import POINT_FIELDS, STATUSES, Record

ROW_AXES = (*(name for name in POINT_FIELDS if name not in ("model", "mode", "agents")), "device")
"""Fields that tell rows apart besides model and mode, where they vary. Results of several devices are never mixed."""

SAME_WORK = ("scenario", "seq_len", "envs", "epochs", "minibatches", "device")
"""Rows that agree in these fields did the same work on the same machine: only among them is one the best."""

AxisValue = int | str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a point measured: the median over its repeats, and where the figure comes from (`device`, `host`, or '')."""

    value: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One cell: the repeats of one point."""

    records: tuple[Record, ...]

    @property
    def measured(self) -> tuple[Record, ...]:
        """The repeats that ended well."""
        return tuple(record for record in self.records if record.status == "ok")

    @property
    def failed(self) -> tuple[Record, ...]:
        """The repeats that were tried or skipped and gave no result."""
        return tuple(record for record in self.records if record.status not in ("ok", "planned"))

    @property
    def outcome(self) -> Record:
        """The repeat that tells how the point ended: the first one by the order of `STATUSES`."""
        return min(self.records, key=lambda record: (STATUSES.index(record.status), record.repeat))


@dataclass(frozen=True, slots=True)
class Row:
    """One model in one mode with one value per varying axis (in the order of `Pivot.axes`); points by agents."""

    model: str
    mode: str
    values: tuple[AxisValue, ...]
    points: Mapping[int, Point]


@dataclass(frozen=True, slots=True)
class Pivot:
    """All rows, the agent counts across them (ascending), and the axes that vary."""

    agents: tuple[int, ...]
    axes: tuple[str, ...]
    rows: tuple[Row, ...]


def make_pivot(records: Sequence[Record]) -> Pivot:
    """Arranges `records`: models, then modes, in the order in which they first appear; axis values ascending."""
    axes = varying_axes(records)
    grouped: dict[tuple[str, str, tuple[AxisValue, ...]], dict[int, list[Record]]] = {}
    for record in records:
        key = (record.model, record.mode, tuple(getattr(record, axis) for axis in axes))
        grouped.setdefault(key, {}).setdefault(record.agents, []).append(record)
    models = list(dict.fromkeys(record.model for record in records))
    modes = list(dict.fromkeys((record.model, record.mode) for record in records))

    def place(key: tuple[str, str, tuple[AxisValue, ...]]) -> tuple[object, ...]:
        model, mode, values = key
        return models.index(model), modes.index((model, mode)), tuple((value is not None, value) for value in values)

    rows = tuple(
        Row(*key, points={agents: Point(tuple(repeats)) for agents, repeats in grouped[key].items()})
        for key in sorted(grouped, key=place)
    )
    return Pivot(tuple(sorted({record.agents for record in records})), axes, rows)


def varying_axes(records: Iterable[Record]) -> tuple[str, ...]:
    """The `ROW_AXES` with more than one value in `records`.

    A model without an axis (None, as `chunk` of a mode that has no chunks) does not make it vary, unless the same model
    and mode also occurs with a value. An unknown device is no second device.
    """
    listed = list(records)
    return tuple(axis for axis in ROW_AXES if _varies(listed, axis))


def _varies(records: Sequence[Record], axis: str) -> bool:
    values = {getattr(record, axis) for record in records}
    if len(values - ({""} if axis == "device" else {None})) > 1:
        return True
    if axis == "device":
        return False
    own: dict[tuple[str, str], set[AxisValue]] = {}
    for record in records:
        own.setdefault((record.model, record.mode), set()).add(getattr(record, axis))
    return any(len(several) > 1 for several in own.values())


def memory_of(point: Point) -> Reading | None:
    """Peak memory of a point in bytes: the device allocator's figure if known, else the host's peak resident size."""
    for field, source in (("device_peak_bytes", "device"), ("host_rss_peak_bytes", "host")):
        known = [getattr(record, field) for record in point.measured if getattr(record, field) is not None]
        if known:
            return Reading(statistics.median(known), source)
    return None


def rate_of(point: Point) -> Reading | None:
    """Agent-steps per second of a point."""
    known = [record.agent_steps_per_second for record in point.measured]
    numbers = [value for value in known if value is not None]
    return Reading(statistics.median(numbers)) if numbers else None


def best_cells(
    pivot: Pivot, read: Callable[[Point], Reading | None], *, lower_is_better: bool
) -> frozenset[tuple[int, int]]:
    """The cells (row index, agents) that are best in their column, among rows of equal work and figures of one source.

    Equal bests are all named. A row that nothing else was tried against has no best.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, row in enumerate(pivot.rows):
        work = tuple(value for axis, value in zip(pivot.axes, row.values, strict=True) if axis in SAME_WORK)
        groups.setdefault(work, []).append(index)
    best: set[tuple[int, int]] = set()
    for indices in groups.values():
        for agents in pivot.agents:
            tried = [
                (index, pivot.rows[index].points[agents]) for index in indices if agents in pivot.rows[index].points
            ]
            if len(tried) > 1:
                best.update((index, agents) for index in _best(tried, read, lower_is_better))
    return frozenset(best)


def _best(
    tried: Sequence[tuple[int, Point]], read: Callable[[Point], Reading | None], lower_is_better: bool
) -> list[int]:
    """The indices of the best readings, one contest per source."""
    contests: dict[str, dict[int, float]] = {}
    for index, point in tried:
        reading = read(point)
        if reading is not None:
            contests.setdefault(reading.source, {})[index] = reading.value
    winners: list[int] = []
    for values in contests.values():
        winning = min(values.values()) if lower_is_better else max(values.values())
        winners.extend(index for index, value in values.items() if value == winning)
    return winners
