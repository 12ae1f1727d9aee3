"""Records as a two-way picture: models and modes down, a size (often agents) across, repeats of a point in one cell.

Pure data, no drawing: whatever shows a sweep (terminal, page, figure) starts here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.records.columns import TABLE_MEMORY
from reports.records.record import POINT_FIELDS, STATUSES, Record
from reports.text.section import TableColumn, label, shown

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
class Repeats:
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
    """One model in one mode with one value per varying axis (in the order of `Pivot.axes`); points by size."""

    model: str
    mode: str
    values: tuple[AxisValue, ...]
    points: Mapping[int, Repeats]


@dataclass(frozen=True, slots=True)
class Pivot:
    """All rows, the sizes across them (ascending), and the axes that vary."""

    sizes: tuple[int, ...]
    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    across: str = "agents"
    """The field of a record that is the size: `agents` or `seq_len`."""


def make_pivot(records: Sequence[Record], *, across: str = "agents", also: Sequence[str] = ()) -> Pivot:
    """Arranges `records`: models, then modes, in the order in which they first appear; axis values ascending.

    Args:
        records: what to arrange.
        across: the size that the points of a row differ in, `agents` or `seq_len`.
        also: fields that tell rows apart besides `ROW_AXES`, where they vary.
    """
    axes = varying_axes(records, across=across, also=also)
    grouped: dict[tuple[str, str, tuple[AxisValue, ...]], dict[int, list[Record]]] = {}
    for record in records:
        key = (record.model, record.mode, tuple(getattr(record, axis) for axis in axes))
        grouped.setdefault(key, {}).setdefault(getattr(record, across), []).append(record)
    models = list(dict.fromkeys(record.model for record in records))
    modes = list(dict.fromkeys((record.model, record.mode) for record in records))

    def place(key: tuple[str, str, tuple[AxisValue, ...]]) -> tuple[object, ...]:
        model, mode, values = key
        return models.index(model), modes.index((model, mode)), tuple((value is not None, value) for value in values)

    rows = tuple(
        Row(*key, points={size: Repeats(tuple(repeats)) for size, repeats in grouped[key].items()})
        for key in sorted(grouped, key=place)
    )
    return Pivot(tuple(sorted({getattr(record, across) for record in records})), axes, rows, across)


def varying_axes(records: Iterable[Record], *, across: str = "agents", also: Sequence[str] = ()) -> tuple[str, ...]:
    """The `ROW_AXES`, and of the fields in `also` those, with more than one value in `records`.

    The size that is `across` is none of them; where that is not `agents`, `agents` is.

    A model without an axis (None, as `chunk` of a mode that has no chunks) does not make it vary, unless the same model
    and mode also occurs with a value. An unknown device is no second device.
    """
    listed = list(records)
    axes = (*also, *(() if across == "agents" else ("agents",)), *ROW_AXES)
    return tuple(axis for axis in axes if axis != across and _varies(listed, axis))


def same_work(pivot: Pivot) -> tuple[str, ...]:
    """Those axes of `pivot` in which rows must agree for one of them to be the best, or a multiple of another."""
    return tuple(axis for axis in pivot.axes if axis in SAME_WORK or axis == "agents")


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


def memory_of(point: Repeats) -> Reading | None:
    """Peak memory of a point in bytes: the device allocator's figure if known, else the host's peak resident size."""
    for field, source in (("device_peak_bytes", "device"), ("host_rss_peak_bytes", "host")):
        known = [getattr(record, field) for record in point.measured if getattr(record, field) is not None]
        if known:
            return Reading(statistics.median(known), source)
    return None


def rate_of(point: Repeats) -> Reading | None:
    """Agent-steps per second of a point."""
    known = [record.agent_steps_per_second for record in point.measured]
    numbers = [value for value in known if value is not None]
    return Reading(statistics.median(numbers)) if numbers else None


def best_cells(
    pivot: Pivot, read: Callable[[Repeats], Reading | None], *, lower_is_better: bool
) -> frozenset[tuple[int, int]]:
    """The cells (row index, size) that are best in their column, among rows of equal work and figures of one source.

    Equal bests are all named. A row that nothing else was tried against has no best.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, row in enumerate(pivot.rows):
        work = tuple(value for axis, value in zip(pivot.axes, row.values, strict=True) if axis in same_work(pivot))
        groups.setdefault(work, []).append(index)
    best: set[tuple[int, int]] = set()
    for indices in groups.values():
        for size in pivot.sizes:
            tried = [(index, pivot.rows[index].points[size]) for index in indices if size in pivot.rows[index].points]
            if len(tried) > 1:
                best.update((index, size) for index in _best(tried, read, lower_is_better))
    return frozenset(best)


def _best(
    tried: Sequence[tuple[int, Repeats]], read: Callable[[Repeats], Reading | None], lower_is_better: bool
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


SIZE_NAMES = {"agents": "number of agents", "seq_len": "sequence length"}


def row_labels(pivot: Pivot) -> tuple[TableColumn, ...]:
    """Model, mode and every axis that varies, down the left of a table."""
    return (
        label("model", [row.model for row in pivot.rows]),
        label("mode", [row.mode for row in pivot.rows]),
        *(label(axis_name(axis), [row.values[place] for row in pivot.rows]) for place, axis in enumerate(pivot.axes)),
    )


def row_name(pivot: Pivot, row: Row) -> str:
    """A row in words: model, mode and its value of every axis that varies."""
    axes = [f", {axis_name(axis)}={shown(value)}" for axis, value in zip(pivot.axes, row.values, strict=True)]
    return f"{shown(f'{row.model} {row.mode}')}{''.join(axes)}"


def axis_name(field: str) -> str:
    """A field as a table's heading: the run of a record is called that."""
    return "run" if field == "run_id" else field


def among(pivot: Pivot) -> str:
    """Among which rows one is the best, where that is not all of them."""
    axes = same_work(pivot)
    return f" for equal {', '.join(axes)}" if axes else ""


def memory_field(pivot: Pivot) -> str:
    """The first field of `TABLE_MEMORY` that is known of any point."""
    measured = [record for row in pivot.rows for point in row.points.values() for record in point.measured]
    known = (name for name in TABLE_MEMORY if any(getattr(record, name) is not None for record in measured))
    return next(known, "host_rss_peak_bytes")


def reader(field: str) -> Callable[[Repeats], Reading | None]:
    """What gives the median of a field over the repeats of a point that ended well; None where it is not known."""

    def read(point: Repeats) -> Reading | None:
        known = _known(point, field)
        return Reading(statistics.median(known)) if known else None

    return read


def _known(point: Repeats, field: str) -> list[float]:
    return [value for record in point.measured if (value := getattr(record, field)) is not None]
