"""Records as plain mappings (one JSON line each), and back with every value checked.

A mapping of an older schema may lack fields; they take the defaults of `Record`. One of the current schema must have
all. Unknown names are ignored, because people add notes to their files. A newer schema is refused, because its fields
may have other meanings.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping

from reports.records.columns import COLUMNS, Column, Value
from reports.records.describe import SIGNED
from reports.records.record import BETWEEN, PLAN, POSITIVE, SCHEMA_VERSION, Record

TOO_LARGE = 10**40
_WANTED = {int: "a whole number", float: "a number", str: "text"}
_SPLIT_COLUMNS = 4
"""The schema since which `accumulate` and `segment` are columns."""
_BETWEEN = 7
"""The schema since which `measure` is `between` for a point planned between measured ones; before, it was `plan`."""
_PENDING = 6
"""The schema since which a point that was not tried is `pending`; before, it was `planned`."""
_SPLIT = {"accumulate": "ppo.accumulate", "segment": "model.segment"}
NOT_FINITE = ("nan", "inf", "-inf")
"""How lines of JSON hold what JSON has no numbers for."""
AT_LEAST_ONE = ("agents", "seq_len", "envs")
"""Sizes that must be positive: charts take their logarithms."""


def record_to_mapping(record: Record) -> dict[str, Value]:
    """Every field of `record` by name, in field order, as int, float, str or None.

    Scalars of array libraries become Python numbers, so that JSON can hold them.
    """
    mapping: dict[str, Value] = {}
    for column in COLUMNS.values():
        value = getattr(record, column.name)
        mapping[column.name] = None if value is None else column.kind(value)
    return mapping


def record_from_mapping(mapping: Mapping[str, object], *, source: str = "record") -> Record:
    """The record in `mapping`, for example in one parsed JSON line.

    Args:
        mapping: values by field name: int, float, str or None, as from `record_to_mapping`.
        source: the origin to name in an error, for example `records.jsonl, line 3`.

    Raises:
        ValueError: a missing or newer schema_version, a missing field, a value of the wrong type, fewer than one agent,
            timestep or environment, or an unknown status. The message is one line with source, field and remedy.
    """
    version = _schema_version(mapping, source)
    values: dict[str, typing.Any] = {}
    for column in COLUMNS.values():
        if column.name in mapping:
            values[column.name] = checked(column, mapping[column.name], source)
        elif version == SCHEMA_VERSION:
            raise ValueError(
                f"{source}: '{column.name}' is missing; schema {SCHEMA_VERSION} needs every field, "
                "so use the file that the sweep wrote"
            )
    if version < _SPLIT_COLUMNS and "accumulate" not in mapping:
        values |= _split_of_earlier(str(values.get("settings", "")))
    if version < _PENDING and values.get("status") == "planned":
        values["status"] = "pending"
    if version < _BETWEEN and values.get("measure") == PLAN:
        values["measure"] = BETWEEN
    return record_of(values, source)


def record_of(values: Mapping[str, typing.Any], source: str) -> Record:
    """The record of checked values; raises `ValueError` naming `source` if its status is unknown."""
    try:
        return Record(**values)
    except ValueError as error:
        raise ValueError(f"{source}: {error}; correct the value or remove this record") from error


def _split_of_earlier(settings: str) -> dict[str, str]:
    """How learning was split, which earlier schemas wrote among the settings unless it was chosen by size."""
    given = dict(part.partition("=")[::2] for part in settings.split(";") if part)
    split = {column: given.pop(name, "0") for column, name in _SPLIT.items()}
    return {
        "settings": ";".join(f"{name}={value}" for name, value in given.items()),
        **{column: "auto" if value == "0" else value for column, value in split.items()},
    }


def _schema_version(mapping: Mapping[str, object], source: str) -> int:
    if "schema_version" not in mapping:
        raise ValueError(f"{source}: no 'schema_version', so this is not a scaleprof record; check the path")
    version = mapping["schema_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            f"{source}: 'schema_version' is {version!r}, expected a whole number of at least 1; correct it"
        )
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{source}: 'schema_version' is {version}, but this scaleprof reads up to {SCHEMA_VERSION}; "
            "update scaleprof"
        )
    return version


def checked(column: Column, value: object, source: str) -> Value:
    """`value` in the type of `column`. An int is accepted for a float; nothing else is converted.

    Raises `ValueError` naming `source` for a value that the column cannot have.
    """
    if value is None and column.optional:
        return None
    if value == 0 and column.name in POSITIVE:
        raise ValueError(f"{source}: '{column.name}' is 0, which is impossible; correct the value or leave it empty")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= TOO_LARGE:
        raise ValueError(f"{source}: '{column.name}' has {len(str(abs(value)))} digits; correct the value")
    if column.kind is float and value in NOT_FINITE:
        return float(str(value))
    if column.kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < 0 and column.unit not in SIGNED:
            raise ValueError(f"{source}: '{column.name}' is {value}, which cannot be negative; correct the value")
        return float(value)
    if column.kind is int and isinstance(value, int) and not isinstance(value, bool):
        if value < 1 and column.name in AT_LEAST_ONE:
            raise ValueError(
                f"{source}: '{column.name}' is {value}, expected a whole number of at least 1; correct the value"
            )
        if value < 0 and column.unit not in SIGNED:
            raise ValueError(f"{source}: '{column.name}' is {value}, which cannot be negative; correct the value")
        return value
    if column.kind is str and isinstance(value, str):
        return value.encode(errors="replace").decode()  # a lone surrogate cannot be encoded
    unknown = " or null" if column.optional else ""
    raise ValueError(
        f"{source}: '{column.name}' is {value!r}, expected {_WANTED[column.kind]}{unknown}; correct the value"
    )
