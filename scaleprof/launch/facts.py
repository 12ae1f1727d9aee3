"""From the facts that a worker reports to the columns of a record: each column names the process it is read from.

A fact is either a column of `Record` or listed in `scaleprof.launch.protocol`. Any other is logged, once a name, and
left out.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from reports.records.columns import COLUMNS
from reports.records.describe import Writer
from scaleprof.launch.protocol import OTHER_FACTS
from scaleprof.points.plan import MEMORY, SPEED, TOGETHER

WRITERS: Mapping[str, frozenset[Writer]] = {
    MEMORY: frozenset({"memory process", "any process"}),
    SPEED: frozenset({"speed process", "any process"}),
    TOGETHER: frozenset({"memory process", "speed process", "any process"}),
}
"""The columns that each kind of process fills."""

_log = logging.getLogger(__name__)


def columns_of(facts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The columns that a process of this kind fills: no times from the one for memory, no memory from the other."""
    found = {}
    for name, value in facts.items():
        if not is_column(name):
            continue
        writer = COLUMNS[name].writer
        if writer == "parent":
            _report(name, "which only the sweep fills")
        elif writer in WRITERS[kind]:
            found[name] = value
    return found


def is_column(name: str) -> bool:
    """Whether a fact is a column; logs one that is neither that nor listed in the protocol."""
    if name not in COLUMNS and name not in OTHER_FACTS:
        _report(name, "which is not a column of a record")
    return name in COLUMNS


@functools.cache
def _report(name: str, why: str) -> None:
    _log.warning("scaleprof: the worker reports '%s', %s; the value is not kept", name, why)
