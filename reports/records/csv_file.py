"""Writes records to a CSV file and reads them back exactly.

The columns are the fields of `Record`, in order. An unknown value is an empty cell. Floats are written with `repr`,
which reads back exactly. A text that a spreadsheet would run as a formula gets a leading apostrophe, which reading
removes; so does a text that starts with an apostrophe.

Reading is strict about known columns (see `reports.records.mapping` for older schemas) and ignores unknown ones. The
file must have a `schema_version` column.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from reports.records.batches import ROWS, UnusualError, records_of_columns
from reports.records.columns import COLUMNS, Column, Value
from reports.records.files import file_errors, read_file
from reports.records.mapping import NOT_FINITE, checked, record_from_mapping, record_to_mapping
from reports.records.record import FIELD_NAMES, SCHEMA_VERSION, Record

_Row = tuple[int, list[str]]
"""Its number in the file, from 1 as in a spreadsheet, and its cells."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_GUARDED = ("'", *_FORMULA_STARTS)
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,40}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?inf|nan")
_USUAL_INT, _USUAL_FLOAT = re.compile(r"[0-9-]*"), re.compile(r"[0-9.eE+-]*")
"""Of these characters alone, Python reads as a number what `_WHOLE_NUMBER` and `_NUMBER` match, and nothing else."""
_LONGEST = 40
"""The longest usual number."""


def write_records(records: Iterable[Record], stream: TextIO) -> None:
    """Write a header and one row per record to `stream`.

    Open the stream with `newline=""` and UTF-8, as for the csv module. Rows end with a line feed.
    """
    stream.write(",".join(FIELD_NAMES) + "\n")
    for record in records:
        stream.write(",".join(_cell(value) for value in record_to_mapping(record).values()) + "\n")


def read_records(
    path_or_stream: str | os.PathLike[str] | TextIO, progress: Callable[[int], object] = lambda _: None
) -> list[Record]:
    """Read the records of a CSV file, in file order.

    Args:
        path_or_stream: a path, or a text stream opened with `newline=""`.
        progress: called for every `ROWS` records with their number.

    Raises:
        ValueError: the file cannot be read, is empty, is not a results file or is of a newer schema, or a cell does not
            fit its column. The message is one line with file, row (the header is row 1), column and remedy.
    """
    name, stream = _named_stream(path_or_stream)
    rows = _rows(csv.reader(stream, strict=True), name)
    row, header = next(((row, cells) for row, cells in rows if cells), (1, []))
    _check_header(header, row, name)
    reader = _Reader(header, name)
    records: list[Record] = []
    for some in _batches((row, cells) for row, cells in rows if cells):
        records += reader.records(some)
        if len(some) == ROWS:
            progress(ROWS)
    return records


def _batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """The rows in lists of `ROWS`; those before a row that is not CSV come before the error."""
    some: list[_Row] = []
    try:
        for row in rows:
            some.append(row)
            if len(some) == ROWS:
                yield some
                some = []
    except ValueError:
        yield some
        raise
    yield some


def _cell(value: Value) -> str:
    """`value` as a cell: guarded against spreadsheets, and quoted if necessary."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = f"'{value}" if value.startswith(_GUARDED) else value
    # csv.writer would not quote a lone carriage return when rows end with a line feed.
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _named_stream(path_or_stream: str | os.PathLike[str] | TextIO) -> tuple[str, TextIO]:
    """The name for error messages, and the text. A file is read whole and may start with a byte order mark."""
    if not isinstance(path_or_stream, (str, os.PathLike)):
        name = getattr(path_or_stream, "name", None)
        return name if isinstance(name, str) else "the input", path_or_stream
    path = os.fspath(path_or_stream)
    with file_errors(path, "read"):
        content = read_file(path)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, row {row}: not UTF-8 text; save the file as CSV in UTF-8") from error
    return path, io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")


def _rows(reader: Iterator[list[str]], name: str) -> Iterator[tuple[int, list[str]]]:
    """Row numbers, from 1 as in a spreadsheet, and cells."""
    row = 0
    while True:
        row += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}, row {row}: not UTF-8 text; save the file as CSV in UTF-8") from error
        except csv.Error as error:
            raise ValueError(f"{name}, row {row}: not valid CSV ({error}); correct or delete this row") from error
        yield row, cells


def _check_header(header: list[str], row: int, name: str) -> None:
    if not header:
        raise ValueError(f"{name}: the file is empty; a results file starts with a row of column names")
    if "schema_version" not in header:
        separator = next((mark for mark in (";", "\t") if len(header) == 1 and mark in header[0]), None)
        if separator is not None and "schema_version" in header[0].split(separator):
            raise ValueError(f"{name}, row {row}: cells are separated by {separator!r}; save the file with commas")
        raise ValueError(
            f"{name}, row {row}: no column 'schema_version', so this is not a scaleprof results file; check the path"
        )
    seen: set[str] = set()
    for column in header:
        if column in seen and column in COLUMNS:
            raise ValueError(f"{name}, row {row}, column '{column}': appears twice; remove one of them")
        seen.add(column)


class _Reader:
    """Reads the rows of one file: column by column where all cells are usual, else cell by cell."""

    def __init__(self, header: list[str], name: str) -> None:
        self._header, self._name = header, name
        self._version = header.index("schema_version")
        self._known = [(place, COLUMNS[name]) for place, name in enumerate(header) if name in COLUMNS]
        self._places = {column.name: place for place, column in self._known}

    def records(self, rows: Sequence[_Row]) -> list[Record]:
        """The records in some rows."""
        try:
            return self._all_at_once([cells for _, cells in rows])
        except UnusualError:
            return [self._record(cells, f"{self._name}, row {row}") for row, cells in rows]

    def _all_at_once(self, rows: Sequence[list[str]]) -> list[Record]:
        if len(self._places) < len(COLUMNS) or set(map(len, rows)) != {len(self._header)}:
            raise UnusualError
        columns = list(zip(*rows, strict=True))
        return records_of_columns([_values(one, columns[self._places[one.name]]) for one in COLUMNS.values()])

    def _record(self, cells: list[str], where: str) -> Record:
        if len(cells) != len(self._header):
            raise ValueError(
                f"{where}: {len(cells)} cells, but the header has {len(self._header)}; "
                "the row was cut off or edited, so correct or delete it"
            )
        _refuse_newer(cells[self._version], where)
        values = {
            column.name: checked(column, _value(column, cells[place], where), where) for place, column in self._known
        }
        return record_from_mapping(values, source=where)


def _values(column: Column, cells: Sequence[str]) -> Sequence[Value]:
    """The values of a column's cells; raises `UnusualError` if one of them is not usual, which need not be wrong."""
    different = set(cells)
    if column.kind is str:
        return cells if all(text[:1] != "'" for text in different) else list(map(_text, cells))
    if "" in different and not column.optional:
        raise UnusualError
    kind: Callable[[str], Value] = column.kind
    usual = _USUAL_INT if column.kind is int else _USUAL_FLOAT
    if usual.fullmatch("".join(different.difference(NOT_FINITE))) is None or max(map(len, different)) > _LONGEST:
        raise UnusualError
    try:
        if len(different) < len(cells) // 2:
            known = {text: kind(text) if text else None for text in different}
            return list(map(known.__getitem__, cells))
        return [kind(text) if text else None for text in cells] if "" in different else list(map(kind, cells))
    except ValueError:
        raise UnusualError from None


def _refuse_newer(text: str, where: str) -> None:
    """Refuse a newer schema before reading its cells, where a changed type would hide the real cause."""
    if _WHOLE_NUMBER.fullmatch(text) and int(text) > SCHEMA_VERSION:
        record_from_mapping({"schema_version": int(text)}, source=where)


def _value(column: Column, text: str, where: str) -> Value:
    """The value of one cell: a text without its guard, or a number."""
    if column.kind is str:
        return _text(text)
    if text == "" and column.optional:
        return None
    if column.kind is int and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if column.kind is float and _NUMBER.fullmatch(text):
        return float(text)
    wanted = "a whole number" if column.kind is int else "a number"
    wanted += " or an empty cell" if column.optional else ""
    found = repr(text) if text else "an empty cell"
    raise ValueError(f"{where}, column '{column.name}': expected {wanted}, found {found}; correct the cell")


def _text(cell: str) -> str:
    """A text without its guard."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_GUARDED) else cell
