"""Selects the records and columns of a report from texts such as `model=sable,mat` and `agents,-update_seconds`."""

from __future__ import annotations

import dataclasses
import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reports.records.columns import COLUMNS, Value, shown_in
from reports.records.record import POINT_FIELDS, Record
from reports.records.run import Run
from reports.text.section import shown

_CONDITION = re.compile(r"([^=<>!]*)(>=|<=|!=|=|>|<)(.*)", re.DOTALL)
_ORDERS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def where_points(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """As `where`, by what identifies points alone, not by how they ended: so that no figure selects itself away."""
    for condition in conditions:
        _check_identifies(_parts(condition)[0])
    return where(records, conditions)


def point_matcher(conditions: Sequence[str]) -> Callable[[Record], bool]:
    """As `matcher`, by what identifies points alone."""
    for condition in conditions:
        _check_identifies(_parts(condition)[0])
    return matcher(conditions)


def _check_identifies(name: str) -> None:
    if name not in POINT_FIELDS:
        raise ValueError(
            f"column '{name}' does not identify a point, so it cannot select points: use {', '.join(POINT_FIELDS)}"
        )


def where(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """The records that meet every condition: `column=value`, `column=value,value` for any of several, `column!=value`.

    Numbers are compared as numbers, also by order: `agents>=128`. A condition without a value (`side=`) selects empty
    cells.

    Raises:
        ValueError: a malformed condition, an unknown column, text for a number, or no record meets the conditions.
    """
    left = list(records)
    for condition in conditions:
        name, how, text = _parts(condition)
        meets = _test(name, how, text)
        kept = [record for record in left if meets(getattr(record, name))]
        if not kept:
            there = dict.fromkeys("(empty)" if (v := getattr(r, name)) in (None, "") else str(v) for r in left)
            some = ", ".join(list(there)[:8]) + (", ..." if len(there) > 8 else "")
            raise ValueError(
                f"no record has {name}{how}{text}: " + (f"found {some}" if some else "there are no records")
            )
        left = kept
    return left


def matcher(conditions: Sequence[str]) -> Callable[[Record], bool]:
    """Whether a record meets all conditions, as in `where`; raises ValueError for a malformed one."""
    tests = [(name, _test(name, how, text)) for name, how, text in map(_parts, conditions)]
    return lambda record: all(meets(getattr(record, name)) for name, meets in tests)


def _parts(condition: str) -> tuple[str, str, str]:
    """The column, the comparison and the values of a condition; raises ValueError if it is none."""
    found = _CONDITION.fullmatch(condition)
    if found is None:
        raise ValueError(
            f"'{condition}' is not a condition: write column=value, such as model=sable, agents=16,128 or agents>=128"
        )
    return known_column(found[1].strip()), found[2], found[3]


def _test(name: str, how: str, text: str) -> Callable[[Value], bool]:
    """Whether a value meets a condition; nothing unknown meets one by order."""
    if how in _ORDERS:
        if COLUMNS[name].kind is str:
            raise ValueError(f"{name}{how}{text}: column '{name}' is text, which has no order: write {name}=value")
        limit, holds = _value(name, text.strip()), _ORDERS[how]
        if limit is None:
            raise ValueError(f"{name}{how}: needs a number, such as {name}{how}128")
        return lambda value: value is not None and bool(holds(value, limit))
    wanted = {_value(name, part.strip()) for part in text.split(",")}
    return lambda value: (value in wanted) is (how == "=")


def columns(text: str) -> tuple[str, ...]:
    """The columns in a list such as `agents,update_seconds`, without duplicates.

    Raises:
        ValueError: a column is unknown.
    """
    return tuple(dict.fromkeys(known_column(name.strip()) for name in text.split(",")))


def sort(records: Sequence[Record], column: str) -> list[Record]:
    """The records sorted by a column, descending if it starts with `-`; unknown values last.

    Raises:
        ValueError: the column is unknown.
    """
    name = known_column(column.removeprefix("-"))
    known = [record for record in records if _is_known(getattr(record, name))]
    unknown = [record for record in records if not _is_known(getattr(record, name))]
    return [*sorted(known, key=lambda record: getattr(record, name), reverse=column.startswith("-")), *unknown]


def _is_known(value: Value) -> bool:
    """Whether it can be ordered: not None, and not the NaN of a diverged run."""
    return value is not None and value == value


def known_column(name: str) -> str:
    """`name`, if it is a column.

    Raises:
        ValueError: it is not; the message suggests the nearest.
    """
    if name in COLUMNS:
        return name
    near = difflib.get_close_matches(name, COLUMNS, n=3, cutoff=0.5) or [f for f in COLUMNS if name and name in f]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "the first line of results.csv lists all columns"
    raise ValueError(f"unknown column '{name}': {hint}")


def _value(name: str, text: str) -> Value:
    kind = COLUMNS[name].kind
    if kind is str:
        return text
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}={text}: column '{name}' needs {wanted}, not '{text}'") from None


_RUN = "run_id"


def joined(
    runs: Sequence[Run], records: Sequence[Sequence[Record]] | None = None
) -> tuple[list[Record], tuple[str, ...]]:
    """The records of several runs in one list, and the fields that distinguish the runs.

    Args:
        runs: at least one. With several, the run_id of each record becomes the run's name, or its path if names clash.
        records: the records to take from each run instead of all.
    """
    parts = [run.records for run in runs] if records is None else list(records)
    if len(runs) == 1:
        return list(parts[0]), ()
    return [
        dataclasses.replace(record, run_id=name)
        for name, part in zip(run_names(runs), parts, strict=True)
        for record in part
    ], (_RUN,)


def reference_row(records: Sequence[Record], reference: str = "") -> tuple[str, str]:
    """Model and mode of the baseline for ratios: the first match of `reference`, or the first of all if empty.

    Raises:
        ValueError: no record has that model (and mode).
    """
    rows = list(dict.fromkeys((record.model, record.mode) for record in records)) or [("", "")]
    found = [row for row in rows if reference in (row[0], ":".join(row))] if reference else rows
    if not found:
        there = ", ".join(shown(":".join(part for part in row if part)) for row in rows)
        raise ValueError(f"'{shown(reference)}' was not measured: choose from {there}")
    return found[0]


def conditions(records: Iterable[Record]) -> str:
    """What the records were measured in, with every value that occurs: `scenario neom · device cpu · envs 4`."""
    listed = list(records)
    parts = []
    for name in shown_in("heading"):
        values = dict.fromkeys(str(getattr(record, name)) for record in listed if getattr(record, name))
        parts += [f"{name} {', '.join(values)}"] if values else []
    return " · ".join(parts)


def run_names(runs: Sequence[Run]) -> list[str]:
    """The name of each run, or its path if names clash."""
    names = [run.name for run in runs]
    return [str(run.path) if names.count(run.name) > 1 else run.name for run in runs]
