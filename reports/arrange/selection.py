"""Which records and which columns a report shows, from texts such as `model=sable,mat` and `agents,-update_seconds`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

from reports.records.columns import COLUMNS, Value
from reports.records.record import Record
from reports.records.run import Run
from reports.text.section import shown


def where(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """The records that fulfil every condition: `column=value`, or `column=value,value` where one of several will do.

    Numbers are compared as numbers. A condition without a value (`side=`) is fulfilled where nothing is known.

    Raises:
        ValueError: no condition of that form, an unknown column, text where a number belongs, or nothing is left.
    """
    left = list(records)
    for condition in conditions:
        name, equals, text = condition.partition("=")
        name = name.strip()
        if not equals:
            raise ValueError(f"'{condition}' is no condition: write column=value, such as model=sable or agents=16,128")
        known_column(name)
        wanted = {_value(name, part.strip()) for part in text.split(",")}
        kept = [record for record in left if getattr(record, name) in wanted]
        if not kept:
            there = dict.fromkeys("nothing" if (v := getattr(r, name)) in (None, "") else str(v) for r in left)
            some = ", ".join(list(there)[:8]) + (", ..." if len(there) > 8 else "")
            raise ValueError(f"no record has {name}={text}: there is {some or 'no record at all'}")
        left = kept
    return left


def columns(text: str) -> tuple[str, ...]:
    """The columns of a list such as `agents,update_seconds`; each counts once.

    Raises:
        ValueError: one of them is unknown.
    """
    return tuple(dict.fromkeys(known_column(name.strip()) for name in text.split(",")))


def sort(records: Sequence[Record], column: str) -> list[Record]:
    """The records by a column, ascending, or descending where it begins with `-`; unknown values last.

    Raises:
        ValueError: there is no such column.
    """
    name = known_column(column.removeprefix("-"))
    known = [record for record in records if _is_known(getattr(record, name))]
    unknown = [record for record in records if not _is_known(getattr(record, name))]
    return [*sorted(known, key=lambda record: getattr(record, name), reverse=column.startswith("-")), *unknown]


def _is_known(value: Value) -> bool:
    """Whether it can be ordered: not None, and not the NaN of a run that diverged."""
    return value is not None and value == value


def known_column(name: str) -> str:
    """`name`, if a record has a field of that name.

    Raises:
        ValueError: it has none; names the nearest.
    """
    if name in COLUMNS:
        return name
    near = difflib.get_close_matches(name, COLUMNS, n=3, cutoff=0.5) or [f for f in COLUMNS if name and name in f]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "the first line of a run's results.csv lists them"
    raise ValueError(f"there is no column '{name}': {hint}")


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
        raise ValueError(f"{name}={text}: column '{name}' holds numbers: give {wanted} instead of '{text}'") from None


_RUN = "run_id"


def joined(
    runs: Sequence[Run], records: Sequence[Sequence[Record]] | None = None
) -> tuple[list[Record], tuple[str, ...]]:
    """The records of several runs as those of one, and the fields that tell them apart.

    Args:
        runs: at least one; of several, each record's run_id becomes the run's name (its path, where names are equal).
        records: those of each run to take instead of all.
    """
    parts = [run.records for run in runs] if records is None else list(records)
    if len(runs) == 1:
        return list(parts[0]), ()
    names = [run.name for run in runs]
    labels = [str(run.path) if names.count(run.name) > 1 else run.name for run in runs]
    return [
        dataclasses.replace(record, run_id=name) for name, part in zip(labels, parts, strict=True) for record in part
    ], (_RUN,)


def reference_row(records: Sequence[Record], reference: str = "") -> tuple[str, str]:
    """Model and mode that factors refer to: the first of `reference`, or of all where that is empty.

    Raises:
        ValueError: no record is of that model (and mode).
    """
    rows = list(dict.fromkeys((record.model, record.mode) for record in records)) or [("", "")]
    found = [row for row in rows if reference in (row[0], ":".join(row))] if reference else rows
    if not found:
        there = ", ".join(shown(":".join(part for part in row if part)) for row in rows)
        raise ValueError(f"'{shown(reference)}' was not measured: there is {there or 'nothing'}")
    return found[0]


def run_names(runs: Sequence[Run]) -> list[str]:
    """Short names, or paths where short ones are not enough."""
    names = [run.name for run in runs]
    return [str(run.path) if names.count(run.name) > 1 else run.name for run in runs]
