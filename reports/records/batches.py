"""Many records at once, column by column: what is usual passes quickly, and anything else is refused as a whole.

A caller that is refused reads its rows one by one, which finds the same values or says which one is wrong. So nothing
here needs a message, and nothing here decides what is valid: `reports.records.mapping.checked` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reports.records.columns import COLUMNS, Column, Value
from reports.records.describe import SIGNED
from reports.records.mapping import AT_LEAST_ONE, NOT_FINITE, TOO_LARGE
from reports.records.record import POSITIVE, SCHEMA_VERSION, Record

ROWS = 1000
"""Rows that are read at once."""
_VERSION = list(COLUMNS).index("schema_version")
_SETTERS: tuple[Callable[[Record, Any], None], ...] = tuple(getattr(Record, name).__set__ for name in COLUMNS)
"""The fields of a frozen record as they are first set: a tenth of what its constructor takes."""
_KIND_OR_NONE = {kind: {kind, type(None)} for kind in (int, float, str)}
_NUMBER_OR_NONE = {int, float, type(None)}


class UnusualError(Exception):
    """The rows hold something that is to be read row by row: damage, another schema, or a rare value."""


def records_of_columns(columns: Sequence[Sequence[Any]]) -> list[Record]:
    """The records whose fields are `columns`, one sequence of parsed values for each field, in order.

    Raises `UnusualError` unless every value is one that its column can have, in the current schema.
    """
    checked = [_checked(column, values) for column, values in zip(COLUMNS.values(), columns, strict=True)]
    if set(columns[_VERSION]) != {SCHEMA_VERSION}:
        raise UnusualError
    records = [Record.__new__(Record) for _ in columns[_VERSION]]
    for set_field, values in zip(_SETTERS, checked, strict=True):
        deque(map(set_field, records, values), maxlen=0)
    try:
        for record in records:
            record.__post_init__()
    except ValueError:
        raise UnusualError from None
    return records


def _checked(column: Column, values: Sequence[Any]) -> Iterable[Value]:
    """The values in the type of their column, equal texts as one object."""
    if column.optional and values.count(None) == len(values):
        return values
    types = set(map(type, values))
    if column.kind is str:
        return _texts(values, types)
    if column.kind is float and str in types:
        values = [float(value) if value in NOT_FINITE else value for value in values]
        types = set(map(type, values))
    allowed = _NUMBER_OR_NONE if column.kind is float else _KIND_OR_NONE[column.kind]
    if not types <= allowed or (type(None) in types and not column.optional):
        raise UnusualError
    known = [value for value in values if value is not None] if type(None) in types else values
    if min(known) != min(known):  # a NaN comes first; elsewhere it is never the least
        known = [value for value in known if value == value] or [0]
    if int in types and not -TOO_LARGE < min(known) <= max(known) < TOO_LARGE:
        raise UnusualError
    if column.unit not in SIGNED and not min(known) >= (1 if column.name in AT_LEAST_ONE else 0):
        raise UnusualError
    if column.name in POSITIVE and 0 in known:
        raise UnusualError
    if column.kind is float and int in types:
        return [None if value is None else float(value) for value in values]
    return values


def _texts(values: Sequence[Any], types: set[type]) -> Sequence[str]:
    if types != {str}:
        raise UnusualError
    different = set(values)
    try:
        "".join(different).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise UnusualError from None
    same = {text: text for text in different}
    return list(map(same.__getitem__, values))
