"""Records as lines of strict JSON, each with a checksum, and back.

A line ends with the field `crc`: the CRC-32, eight hexadecimal digits, of the line without it. It tells damage, such as
a flipped bit, from data; it does not tell who wrote the line. Earlier versions wrote none, and bare NaN.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

from reports.records.columns import Value
from reports.records.mapping import record_from_mapping, record_to_mapping
from reports.records.record import Record

CRC = "crc"
"""The field with the checksum."""
_CRC = re.compile(r', "crc": "([0-9a-f]{8})"\}$')


def record_line(record: Record) -> str:
    """`record` as one line with its line feed. Numbers that are not finite are text, which JSON does have."""
    text = json.dumps(finite(record_to_mapping(record)), allow_nan=False)
    return f'{text[:-1]}, "crc": "{_checksum(text)}"}}\n'


def read_lines(content: str, source: str) -> tuple[list[Record], list[str]]:
    """The records in the text of a file, and what was left out, each in a few words.

    A last line without its line feed counts if it is whole; else it is left out: its point never finished, or the file
    is a part of another one.

    Raises:
        ValueError: a line is damaged, or of a newer version. The message is one line with line number and remedy.
    """
    *lines, last = content.split("\n")
    records = [_record(line, f"{source}, line {number}") for number, line in enumerate(lines, start=1)]
    if not last:
        return records, []
    if not is_whole(last):
        return records, ["1 torn line"]
    return [*records, _record(last, f"{source}, line {len(lines) + 1}")], []


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
