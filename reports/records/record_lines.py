"""Records as lines of strict JSON, each with a checksum, and back.

A line ends with the field `crc`: the CRC-32, eight hexadecimal digits, of the line without it. It tells damage, such as
a flipped bit, from data; it does not tell who wrote the line. Earlier versions wrote none, and bare NaN.
"""

from __future__ import annotations

import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO

from reports.records.batches import ROWS, UnusualError, records_of_columns
from reports.records.columns import Value
from reports.records.mapping import record_from_mapping, record_to_mapping
from reports.records.record import FIELD_NAMES, Record

CRC = "crc"
"""The field with the checksum."""
_CRC = re.compile(r', "crc": "([0-9a-f]{8})"\}$')
_CRC_START = b', "crc": "'
_WRITTEN = (*FIELD_NAMES, CRC)
"""The names of a line in the order in which they are written."""


def record_line(record: Record) -> str:
    """`record` as one line with its line feed. Numbers that are not finite are text, which JSON does have."""
    text = json.dumps(finite(record_to_mapping(record)), allow_nan=False)
    return f'{text[:-1]}, "crc": "{_checksum(text)}"}}\n'


def read_lines(
    content: str | BinaryIO, source: str, progress: Callable[[int], object] = lambda _: None
) -> tuple[list[Record], list[str]]:
    """The records in a file or its content, and what was left out, each in a few words.

    A last line without its line feed counts if it is whole; else it is left out: its point never finished, or the file
    is a part of another one. Bytes that are not UTF-8 become replacement characters, which no record holds.

    Args:
        content: the file, or all that it holds.
        source: the name for errors.
        progress: called for every `ROWS` records with their number.

    Raises:
        ValueError: a line is damaged, or of a newer version. The message is one line with line number and remedy.
    """
    lines = iter(io.BytesIO(content.encode()) if isinstance(content, str) else content)
    records: list[Record] = []
    number = 1
    while some := list(islice(lines, ROWS)):
        last = b"" if some[-1].endswith(b"\n") else some.pop()
        records += _records([line[:-1] for line in some], source, number)
        number += len(some)
        if last:
            text = last.decode(errors="replace")
            if not is_whole(text):
                return records, ["1 torn line"]
            records.append(_record(text, f"{source}, line {number}"))
        if len(some) == ROWS:
            progress(ROWS)
    return records, []


def is_whole(line: str) -> bool:
    """Whether a line is complete, though perhaps without its line feed."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def json_object(text: str, source: str) -> dict[str, Any]:
    """The JSON object in `text`; raises `ValueError` naming `source` if there is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # not JSON, a number with thousands of digits, or nesting too deep
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{source} is not a JSON object: the file was edited or damaged")
    return content


def finite(mapping: Mapping[str, Value]) -> dict[str, Value]:
    """`mapping` with `nan`, `inf` and `-inf` as text."""
    return {name: repr(v) if isinstance(v, float) and not math.isfinite(v) else v for name, v in mapping.items()}


def _records(lines: Sequence[bytes], source: str, first: int) -> list[Record]:
    """The records in neighbouring lines, of which `first` is the number of the first."""
    try:
        return records_of_columns(list(zip(*_rows(lines), strict=True))) if lines else []
    except UnusualError:
        texts = (line.decode(errors="replace") for line in lines)
        return [_record(text, f"{source}, line {number}") for number, text in enumerate(texts, start=first)]


def _rows(lines: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
    """The fields of each line in order, if all lines are as `record_line` writes them; else raises `UnusualError`.

    They are parsed as one array. That each line has its own object shows in their checksums, which stay in order.
    """
    checksums = []
    for line in lines:
        body, found, end = line.rpartition(_CRC_START)
        checksums.append(f"{zlib.crc32(b'}', zlib.crc32(body)):08x}")
        if not found or end != f'{checksums[-1]}"}}'.encode() or not line.startswith(b'{"'):
            raise UnusualError
    try:
        contents = json.loads(f"[{b','.join(lines).decode()}]")
    except (ValueError, RecursionError):
        raise UnusualError from None
    if len(contents) != len(lines):
        raise UnusualError
    for content, checksum in zip(contents, checksums, strict=True):
        if not isinstance(content, dict) or tuple(content) != _WRITTEN or content[CRC] != checksum:
            raise UnusualError
        yield tuple(content.values())[:-1]


def _record(line: str, source: str) -> Record:
    content, found = json_object(line, source), _CRC.search(line)
    is_intact = found is not None and found[1] == _checksum(f"{line[: found.start()]}}}")
    if CRC in content and not is_intact:
        raise ValueError(
            f"{source}: the checksum is wrong, so the line was edited or damaged; restore the file, or remove the "
            "line's crc if you edited it"
        )
    return record_from_mapping(content, source=source)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
