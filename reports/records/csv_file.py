"""Records as a CSV file, and back without losing a bit.

The columns are the fields of `Record` in field order. An unknown value is an empty cell; whole numbers stay whole;
other numbers are written with `repr`, which reads back exactly. A text that a spreadsheet would run as a formula gets a
leading apostrophe in the file, which is taken off again on reading (a text that starts with an apostrophe gets a second
one).

Reading is strict about what it knows (`reports.records.mapping` says how schemas are told apart) and ignores
columns that it does not know, as long as the file is one of ours: it has a `schema_version` column.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from reports.records.columns import COLUMNS, Column, Value
from reports.records.mapping import record_from_mapping, record_to_mapping
from reports.records.record import FIELD_NAMES, SCHEMA_VERSION, Record

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_GUARDED = ("'", *_FORMULA_STARTS)
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,40}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?inf|nan")


def write_records(records: Iterable[Record], stream: TextIO) -> None:
    """Writes a header and one row per record to `stream`.

    Open the stream with `newline=""` and UTF-8, as for the csv module; rows end with a line feed.
    """
    stream.write(",".join(FIELD_NAMES) + "\n")
    for record in records:
        stream.write(",".join(_cell(value) for value in record_to_mapping(record).values()) + "\n")


def read_records(path_or_stream: str | os.PathLike[str] | TextIO) -> list[Record]:
    """The records of a CSV file, in file order.

    Args:
        path_or_stream: a path, or a text stream opened with `newline=""`.

    Raises:
        ValueError: the file cannot be read, is empty, is not one of ours, comes from a newer version, or a cell does
            not hold what its column needs. The message is one line: file, row (the header is row 1), column, remedy.
    """
    name, stream = _named_stream(path_or_stream)
    rows = _rows(csv.reader(stream, strict=True), name)
    row, header = next(((row, cells) for row, cells in rows if cells), (1, []))
    _check_header(header, row, name)
    return [_record(cells, header, f"{name}, row {row}") for row, cells in rows if cells]


def _cell(value: Value) -> str:
    """`value` as it stands in the file, guarded against spreadsheets and quoted if need be."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = f"'{value}" if value.startswith(_GUARDED) else value
    # Quoted here and not by csv.writer, which leaves a lone carriage return bare when rows end with a line feed.
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _named_stream(path_or_stream: str | os.PathLike[str] | TextIO) -> tuple[str, TextIO]:
    """The name for error messages, and the text; that of a file is read whole, and may start with a byte order mark."""
    if not isinstance(path_or_stream, (str, os.PathLike)):
        name = getattr(path_or_stream, "name", None)
        return name if isinstance(name, str) else "the input", path_or_stream
    path = os.fspath(path_or_stream)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, row {row}: not UTF-8 text; save the file as CSV in UTF-8") from error
    return path, io.StringIO(text, newline="")


def _rows(reader: Iterator[list[str]], name: str) -> Iterator[tuple[int, list[str]]]:
    """Row number, counted from 1 as a spreadsheet does, and cells."""
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
            f"{name}, row {row}: no column 'schema_version', so this is not a scaleprof results file; "
            "check which file was given"
        )
    seen: set[str] = set()
    for column in header:
        if column in seen and column in COLUMNS:
            raise ValueError(f"{name}, row {row}, column '{column}': stands there twice; remove one of the two")
        seen.add(column)


def _record(cells: list[str], header: list[str], where: str) -> Record:
    if len(cells) != len(header):
        raise ValueError(
            f"{where}: has {len(cells)} cells where the header has {len(header)}; "
            "the row is cut off or was edited, so delete or correct it"
        )
    by_name = dict(zip(header, cells, strict=True))
    _refuse_newer(by_name["schema_version"], where)
    values = {name: _value(COLUMNS[name], text, where) for name, text in by_name.items() if name in COLUMNS}
    return record_from_mapping(values, source=where)


def _refuse_newer(text: str, where: str) -> None:
    """Stops at a newer schema before its cells are read: a changed type in it would hide the real cause."""
    if _WHOLE_NUMBER.fullmatch(text) and int(text) > SCHEMA_VERSION:
        record_from_mapping({"schema_version": int(text)}, source=where)


def _value(column: Column, text: str, where: str) -> Value:
    """The value of one cell; texts lose their guard, numbers must be nothing but a number."""
    if column.kind is str:
        return text[1:] if text.startswith("'") and text[1:].startswith(_GUARDED) else text
    if text == "" and column.optional:
        return None
    if column.kind is int and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if column.kind is float and _NUMBER.fullmatch(text):
        return float(text)
    wanted = "a whole number" if column.kind is int else "a number"
    unknown = " or an empty cell" if column.optional else ""
    found = repr(text) if text else "empty"
    raise ValueError(f"{where}, column '{column.name}': {found}; {wanted}{unknown} belongs here, so correct the cell")
