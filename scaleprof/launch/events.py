"""Reads what a child sends, in the parent. The parent trusts none of it: what the protocol does not allow is an error.

Values that would break a later reader are refused here: of another type, not finite, out of range, or text that is not
Unicode. Losses and rewards may be infinite or NaN, because training can diverge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from reports.records.columns import COLUMNS
from reports.records.describe import SIGNED
from reports.records.record import POSITIVE
from scaleprof.launch.protocol import EVENTS, FACT_TYPES, MAX_LINE_BYTES, OOM_CODES, SAMPLE, UNKNOWN_FACTS

MAX_NAMES = 1000
"""How many different facts and figures of updates one child may report."""
MAX_TEXT = {"name": 200, "reason": 2000}
"""The longest name of a phase, and the longest reason, in characters."""
LARGEST = 1e30
"""The largest number that is plausible in any unit."""
LARGEST_OF_UNIT = {"seconds": 1e9, "bytes": 1e18, "count": 1e18}
_START = b'{"event"'
_NUMBER = (int, float)


class ProtocolError(Exception):
    """A child sent what the protocol does not allow."""


class EventReader:
    """Cuts a child's output into lines and reads each as an event.

    Before the first event other output may arrive, such as what Python prints as it starts: it is skipped. After it
    every line must be an event.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._begun = False
        self._names: set[str] = set()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The events that these bytes complete; raises `ProtocolError` at the first one that is not allowed."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in (*lines, self._pending):
            if len(line) > MAX_LINE_BYTES:
                raise ProtocolError(f"a line of more than {MAX_LINE_BYTES >> 20} MiB: {quoted(line)}")
        for line in lines:
            if self._begun or line.startswith(_START):
                self._begun = True
                event = parse(line)
                self._count_names(event)
                yield event

    def _count_names(self, event: Mapping[str, Any]) -> None:
        for fields in (event, *event.get("samples", ())) if event["event"] in ("facts", "samples") else ():
            self._names |= fields.keys()
        if len(self._names) > MAX_NAMES:
            raise ProtocolError(f"more than {MAX_NAMES} different names of facts and figures")


def parse(line: bytes) -> dict[str, Any]:
    """Read one event and check it against `EVENTS`; raises `ProtocolError` with what is wrong and what was sent."""
    try:
        event = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ProtocolError(f"not UTF-8: {quoted(line)}") from None
    except (ValueError, RecursionError):
        raise ProtocolError(f"not JSON: {quoted(line)}") from None
    try:
        _check(event)
    except ProtocolError as error:
        raise ProtocolError(f"{error}: {quoted(line)}") from None
    return {**event, "reason": " ".join(event["reason"].split())} if "reason" in event else event


def quoted(line: bytes) -> str:
    """The start of a line that a child sent, in characters that any terminal shows."""
    text = ascii(line[:60].decode(errors="replace"))
    return text + ("…" if len(line) > 60 else "")


def _check(event: Any) -> None:
    kind = event.get("event") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind not in EVENTS:
        raise ProtocolError("not an event")
    _check_keys(event, EVENTS[kind], f"event '{kind}'")
    for name, longest in MAX_TEXT.items():
        if name in EVENTS[kind] and len(event[name]) > longest:
            raise ProtocolError(f"event '{kind}': '{name}' is longer than {longest} characters")
    if kind == "oom" and event["reason_code"] not in OOM_CODES:
        raise ProtocolError(f"event 'oom': 'reason_code' is not one of {', '.join(OOM_CODES)}")
    for sample in event["samples"] if kind == "samples" else ():
        _check_sample(sample)
    for name, value in event.items() if kind == "facts" else ():
        if name != "event":
            _check_fact(name, value)


def _check_keys(fields: Mapping[str, Any], keys: Mapping[str, type], what: str) -> None:
    for name, kind in keys.items():
        if name not in fields:
            raise ProtocolError(f"{what}: '{name}' is missing")
        _check_type(fields[name], kind, f"{what}: '{name}'")


def _check_type(value: Any, kind: type, what: str) -> None:
    """Accept an int for a float, but no bool for a number; text in full Unicode; lists of what a caller checks."""
    fits = isinstance(value, _NUMBER if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not fits:
        raise ProtocolError(f"{what} is not {_KINDS[kind]}")
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ProtocolError(f"{what} is not Unicode") from None


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}


def _check_sample(sample: Any) -> None:
    if not isinstance(sample, dict):
        raise ProtocolError("a sample is not an object")
    _check_keys(sample, SAMPLE, "a sample")
    for name, value in sample.items():
        _check_name(name)
        what = f"a sample: '{name}'"
        if name == "phase":
            continue
        _check_type(value, int if name in ("update", "burst") else float, what)
        if name.endswith("_seconds") or name in ("update", "burst"):
            _check_range(value, "seconds", what)
        else:
            _check_trained(value, what)
    _check_range(sample["update_seconds"], "seconds", "a sample: 'update_seconds'", positive=True)


def _check_fact(name: str, value: Any) -> None:
    _check_name(name)
    what = f"fact '{name}'"
    column, other = COLUMNS.get(name), FACT_TYPES.get(name)
    if column is not None:
        if value is None and column.optional:
            return
        _check_type(value, column.kind, what)
        if column.source == "training":
            _check_trained(value, what)
        elif not column.is_text:
            _check_range(value, column.unit, what, positive=name in POSITIVE)
    elif other is not None:
        if value is None and name in UNKNOWN_FACTS:
            return
        _check_type(value, other, what)
        if other is list:
            for item in value:
                _check_type(item, str, f"{what}: an item")
        elif other in _NUMBER:
            _check_range(value, "count", what)


def _check_name(name: str) -> None:
    """A name becomes the heading of a column."""
    if not name.isidentifier() or len(name) > MAX_TEXT["name"]:
        raise ProtocolError(f"{name[:40]!a} is not a name")


def _check_trained(value: float, what: str) -> None:
    """Training may diverge; only a whole number that no float holds is refused."""
    if isinstance(value, int):
        _check_range(value, "number", what)


def _check_range(value: float, unit: str, what: str, *, positive: bool = False) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ProtocolError(f"{what} is not finite")
    if (value < 0 and unit not in SIGNED) or (positive and value < 1e-9):
        raise ProtocolError(f"{what} is {'zero or ' if positive else ''}negative")
    if abs(value) > LARGEST_OF_UNIT.get(unit, LARGEST):
        raise ProtocolError(f"{what} is too large")
