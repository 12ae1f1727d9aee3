"""The columns of a record: the description of every field, and its values as text."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reports.records.describe import EXACT, KEY, Place, Source, Unit, Writer
from reports.records.record import Record
from reports.text.section import shown
from reports.text.units import format_bytes, format_number, format_rate, format_seconds

Value = int | float | str | None
"""What a field of a record can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of `Record`."""

    name: str
    kind: type[int] | type[float] | type[str]
    optional: bool
    """Whether None (unknown) is a value."""
    unit: Unit
    title: str
    """For charts and headings; no two columns share one."""
    description: str
    """One or two sentences."""
    source: Source
    writer: Writer
    short: str
    """The title after a heading that names the quantity, as in `Peak memory: device allocator`."""
    identity: bool
    """Whether it is part of what identifies a point."""
    same_work: bool
    """Whether records must agree in it for their costs to be comparable."""
    per_side: bool
    """False for values of the whole host or card, which a live pair cannot attribute to a side."""
    places: tuple[Place, ...]
    """Where it is shown without being asked for."""

    @property
    def exact(self) -> bool:
        """Whether all repeats agree."""
        return self.source in EXACT

    @property
    def is_text(self) -> bool:
        """Whether its values are text."""
        return self.kind is str

    def format(self, value: Value) -> str:
        """`value` with its unit; `-` where it is unknown."""
        if value is None or isinstance(value, str):
            return shown(value)
        return formatter(self.unit)(value)


def formatter(unit: Unit) -> Callable[[float | None], str]:
    """The function that formats a number of `unit`, and None as `-`."""
    return _FORMATTERS.get(unit, _plain)


def _plain(value: float | None) -> str:
    return str(value) if isinstance(value, int) else format_number(value)


_FORMATTERS: Mapping[Unit, Callable[[float | None], str]] = {
    "bytes": format_bytes,
    "rate": format_rate,
    "seconds": format_seconds,
}


def _columns() -> dict[str, Column]:
    """The fields of `Record` in order: types from its annotations, the rest from the fields' metadata."""
    found = {}
    hints = typing.get_type_hints(Record)
    for field in dataclasses.fields(Record):
        hint = hints[field.name]
        optional = isinstance(hint, types.UnionType)
        kind = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
        if kind not in (int, float, str):
            raise TypeError(f"Record.{field.name} is a {kind}; a record holds int, float or str")
        found[field.name] = Column(name=field.name, kind=kind, optional=optional, **field.metadata[KEY])
    return found


COLUMNS: Mapping[str, Column] = types.MappingProxyType(_columns())
"""Every column by name, in the order of a CSV file."""


def column(name: str) -> Column:
    """The column called `name`.

    Raises:
        KeyError: there is none.
    """
    return COLUMNS[name]


def format_value(name: str, value: Value) -> str:
    """The value of one field of a record, with its unit.

    Raises:
        KeyError: a record has no such field.
    """
    return COLUMNS[name].format(value)


def _chosen(*names: str) -> tuple[Column, ...]:
    return tuple(COLUMNS[name] for name in names)


MEMORY = _chosen("memory_bytes", "host_rss_peak_bytes", "xla_peak_bytes")
"""Measures of peak memory; the first is the headline. Resident memory includes Python and JAX."""

SPEED = _chosen(
    "agent_steps_per_second",
    "env_steps_per_second",
    "update_seconds",
    "update_cpu_seconds",
    "rollout_seconds",
    "learn_seconds",
)
"""Measures of speed, the most telling first."""


def shown_in(place: Place) -> tuple[str, ...]:
    """The names of the columns that are shown in `place` without being asked for, in order."""
    return tuple(column.name for column in COLUMNS.values() if place in column.places)
