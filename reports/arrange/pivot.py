"""Arranges records in a pivot table: models and modes down, a size (usually agents) across, one point per cell.

Pure data without drawing; the terminal, the page and the figures all start from it.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from reports.records.columns import COLUMNS
from reports.records.record import MEMORY_SOURCES, POINT_FIELDS, STATUSES, Record, has_result, is_between, was_run
from reports.text.section import TableColumn, label, shown

ROW_AXES = (*(name for name in POINT_FIELDS if name not in ("model", "mode", "agents")), "device")
"""Fields that separate rows in addition to model and mode, if they vary. Devices are never mixed."""

SAME_WORK = tuple(column.name for column in COLUMNS.values() if column.same_work)
"""Rows that agree in these fields did the same work on the same device; only such rows are compared."""

AxisValue = int | str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A measurement of a point: the median over its repeats, and its source (of `MEMORY_SOURCES`, or empty)."""

    value: float
    source: str = ""


@dataclass(frozen=True)
class Repeats:
    """One cell: the repeats of one point."""

    records: tuple[Record, ...]

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """The repeats with a result."""
        return tuple(record for record in self.records if has_result(record))

    @property
    def planned(self) -> tuple[Record, ...]:
        """The repeats that only support the law of memory, from compiling alone."""
        return tuple(record for record in self.records if record.status == "planned" and is_between(record))

    @property
    def failed(self) -> tuple[Record, ...]:
        """The repeats that were run or skipped without a result."""
        return tuple(record for record in self.records if was_run(record) and not has_result(record))

    @property
    def contended(self) -> bool:
        """Whether other processes competed for the CPU while a repeat was measured."""
        return any(record.contended for record in self.measured)

    @property
    def outcome(self) -> Record:
        """The repeat that represents how the point ended: the first in the order of `STATUSES`."""
        return min(self.records, key=lambda record: (STATUSES.index(record.status), record.repeat))


@dataclass(frozen=True, slots=True)
class Row:
    """One model in one mode with one value per varying axis (in the order of `Pivot.axes`), and its points by size."""

    model: str
    mode: str
    values: tuple[AxisValue, ...]
    points: Mapping[int, Repeats]


@dataclass(frozen=True, slots=True)
class Pivot:
    """All rows, the sizes across (ascending), and the axes that vary."""

    sizes: tuple[int, ...]
    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    across: str = "agents"
    """The field that is the size: `agents` or `seq_len`."""


_made: ContextVar[dict[tuple[object, ...], Pivot] | None] = ContextVar("made", default=None)


@contextmanager
def shared_pivots() -> Iterator[None]:
    """Within this block, the pivot of the same records in the same order is made once."""
    token = _made.set({} if (made := _made.get()) is None else made)
    try:
        yield
    finally:
        _made.reset(token)


def make_pivot(
    records: Sequence[Record], *, across: str = "agents", also: Sequence[str] = (), sizes: Iterable[int] = ()
) -> Pivot:
    """Arrange `records`: models and modes in the order of first appearance, axis values ascending.

    Args:
        records: the records to arrange.
        across: the size that runs across, `agents` or `seq_len`.
        also: fields that separate rows in addition to `ROW_AXES`, if they vary.
        sizes: further sizes across, at which nothing was measured.
    """
    made, untried = _made.get(), frozenset(sizes)
    if made is None:
        return _make_pivot(records, across, also, untried)
    key = (across, untried, *also, *map(id, records))
    if key not in made:
        made[key] = _make_pivot(records, across, also, untried)
    return made[key]


def _make_pivot(records: Sequence[Record], across: str, also: Sequence[str], sizes: Iterable[int]) -> Pivot:
    axes = varying_axes(records, across=across, also=also)
    row_of = attrgetter("model", "mode", across, *axes)
    by_point: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        by_point[row_of(record)].append(record)
    grouped: dict[tuple[str, str, tuple[AxisValue, ...]], dict[int, list[Record]]] = defaultdict(dict)
    for (model, mode, size, *values), repeats in by_point.items():
        grouped[model, mode, tuple(values)][size] = repeats
    models = list(dict.fromkeys(record.model for record in records))
    modes = list(dict.fromkeys((record.model, record.mode) for record in records))

    def place(key: tuple[str, str, tuple[AxisValue, ...]]) -> tuple[object, ...]:
        model, mode, values = key
        return models.index(model), modes.index((model, mode)), tuple((value is not None, value) for value in values)

    rows = tuple(
        Row(*key, points={size: Repeats(tuple(repeats)) for size, repeats in grouped[key].items()})
        for key in sorted(grouped, key=place)
    )
    return Pivot(tuple(sorted({*sizes, *(getattr(record, across) for record in records)})), axes, rows, across)


def varying_axes(records: Iterable[Record], *, across: str = "agents", also: Sequence[str] = ()) -> tuple[str, ...]:
    """The fields in `also` and `ROW_AXES` with more than one value in `records`.

    `across` is excluded; if it is not `agents`, `agents` is included.

    None (as in `chunk` for a mode without chunks) is not a second value, unless the same model and mode also occurs
    with a value. An unknown device is not a second device.
    """
    listed = list(records)
    modes = [(record.model, record.mode) for record in listed]
    axes = (*also, *(() if across == "agents" else ("agents",)), *ROW_AXES)
    return tuple(axis for axis in axes if axis != across and _varies(listed, modes, axis))


def same_work(pivot: Pivot) -> tuple[str, ...]:
    """The axes of `pivot` in which rows must agree to be compared."""
    return tuple(axis for axis in pivot.axes if axis in SAME_WORK)


def _varies(records: Sequence[Record], modes: Sequence[tuple[str, str]], axis: str) -> bool:
    values = set(map(attrgetter(axis), records))
    if len(values - ({""} if axis == "device" else {None})) > 1:
        return True
    if axis == "device" or len(values) < 2:
        return False
    in_modes = set(zip(modes, map(attrgetter(axis), records), strict=True))
    return len(in_modes) > len({mode for mode, _ in in_modes})


def memory_of(point: Repeats) -> Reading | None:
    """Peak memory of a point in bytes, from the best source that any of its repeats has."""
    for source in MEMORY_SOURCES:
        among = [record for record in point.measured if record.memory_source == source]
        known = [record.memory_bytes for record in among if record.memory_bytes is not None]
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
    """The best cells (row index, size) of each column, among rows of equal work and readings of one source.

    Ties are all included. A row without a competitor has no best cell.
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
    """The indices of the best readings, separately for each source."""
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
    """The label columns of a table: model, mode and every axis that varies."""
    return (
        label("model", [row.model for row in pivot.rows]),
        label("mode", [row.mode for row in pivot.rows]),
        *(label(axis_name(axis), [row.values[place] for row in pivot.rows]) for place, axis in enumerate(pivot.axes)),
    )


def row_name(pivot: Pivot, row: Row) -> str:
    """A row in words: model, mode and the value of every axis that varies."""
    return curve_name(row.model, row.mode, zip(pivot.axes, row.values, strict=True))


def curve_name(model: str, mode: str, values: Iterable[tuple[str, AxisValue]]) -> str:
    """`sable chunkwise, run=new, envs=4`: the name of a curve, a row or a point wherever people read it.

    Axes without a value are left out.
    """
    axes = [f"{axis_name(axis)}={shown(value)}" for axis, value in values if value not in (None, "")]
    return ", ".join([shown(f"{model} {mode}"), *axes])


def axis_name(field: str) -> str:
    """The heading of a field: `run` for `run_id`, else its name."""
    return "run" if field == "run_id" else field


def among(pivot: Pivot) -> str:
    """Which rows are compared, in words; empty if all are."""
    axes = same_work(pivot)
    return f" for equal {', '.join(axes)}" if axes else ""


def reader(field: str) -> Callable[[Repeats], Reading | None]:
    """A function that returns the median of a field over the successful repeats of a point; None if unknown."""

    def read(point: Repeats) -> Reading | None:
        known = known_values(point, field)
        return Reading(statistics.median(known)) if known else None

    return read


def known_values(point: Repeats, field: str) -> list[float]:
    """The known values of a field of the successful repeats of a point."""
    return [value for record in point.measured if (value := getattr(record, field)) is not None]
