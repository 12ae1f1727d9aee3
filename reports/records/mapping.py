"""Records as plain mappings (the shape of one JSON line), and back with every value checked.

A mapping of an older schema may lack fields: they take the defaults of `Record`. One of this schema must have them all.
Names that this version does not know are ignored (people add notes to their files); a newer schema is refused, because
what its fields mean cannot be known here.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping

from reports.records.columns import COLUMNS, Column, Value
from reports.records.record import SCHEMA_VERSION, Record

_TOO_LARGE = 10**40
_WANTED = {int: "a whole number", float: "a number", str: "a text"}
_AT_LEAST_ONE = ("agents", "seq_len", "envs")
"""Sizes of a point, without which there is none: charts take their logarithms."""


def record_to_mapping(record: Record) -> dict[str, Value]:
    """Every field of `record` by name, in field order, as plain int, float, str or None.

    Numbers of array libraries become Python's own, so that the mapping can be written as JSON.
    """
    mapping: dict[str, Value] = {}
    for column in COLUMNS.values():
        value = getattr(record, column.name)
        mapping[column.name] = None if value is None else column.kind(value)
    return mapping


def record_from_mapping(mapping: Mapping[str, object], *, source: str = "record") -> Record:
    """The record that `mapping` (for example one parsed JSON line) holds.

    Args:
        mapping: field names to values; int, float, str or None, as `record_to_mapping` writes them.
        source: what an error names as the origin, for example `records.jsonl, line 3`.

    Raises:
        ValueError: no or a newer schema_version, a missing field, a value of the wrong type, fewer than one agent,
            timestep or environment, an unknown status. The message is one line that names source and field and says
            what to do.
    """
    version = _schema_version(mapping, source)
    values: dict[str, typing.Any] = {}
    for column in COLUMNS.values():
        if column.name in mapping:
            values[column.name] = _checked(column, mapping[column.name], source)
        elif version == SCHEMA_VERSION:
            raise ValueError(
                f"{source}: '{column.name}' is missing; every field of schema {SCHEMA_VERSION} must be there, "
                "so use the file as the sweep wrote it"
            )
    try:
        return Record(**values)
    except ValueError as error:
        raise ValueError(f"{source}: {error}; correct the value or remove this record") from error


def _schema_version(mapping: Mapping[str, object], source: str) -> int:
    if "schema_version" not in mapping:
        raise ValueError(f"{source}: no 'schema_version', so this is no scaleprof record; check which file was given")
    version = mapping["schema_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{source}: 'schema_version' is {version!r}; it must be a whole number from 1 on")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{source}: 'schema_version' is {version}, this scaleprof reads up to {SCHEMA_VERSION}; "
            "update scaleprof to read it"
        )
    return version


def _checked(column: Column, value: object, source: str) -> Value:
    """`value` as the type of `column`; a whole number is fine where a number belongs, nothing else is converted."""
    if value is None and column.optional:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _TOO_LARGE:
        raise ValueError(f"{source}: '{column.name}' is a number of {len(str(abs(value)))} digits; correct the value")
    if column.kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if column.kind is int and isinstance(value, int) and not isinstance(value, bool):
        if value < 1 and column.name in _AT_LEAST_ONE:
            raise ValueError(
                f"{source}: '{column.name}' is {value}; a whole number from 1 on belongs here, so correct the value"
            )
        return value
    if column.kind is str and isinstance(value, str):
        return value.encode(errors="replace").decode()  # half a surrogate pair can be written nowhere
    unknown = " (or null if it is not known)" if column.optional else ""
    raise ValueError(
        f"{source}: '{column.name}' is {value!r}; {_WANTED[column.kind]}{unknown} belongs here, so correct the value"
    )
