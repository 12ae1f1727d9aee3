"""Routes the facts that workers report into the columns of a record.

Each column names the process that it is read from. A fact is a column or is listed in `OTHER_FACTS`; any other is
logged once with its value.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from reports.records.columns import COLUMNS
from reports.records.describe import Writer
from scaleprof.launch.protocol import OTHER_FACTS
from scaleprof.points.plan import BETWEEN, MEMORY, PLAN, SPEED, TOGETHER

WRITERS: Mapping[str, frozenset[Writer]] = {
    MEMORY: frozenset({"memory process", "any process"}),
    SPEED: frozenset({"speed process", "any process"}),
    PLAN: frozenset({"planning process", "speed process", "any process"}),
    BETWEEN: frozenset({"any process"}),
    TOGETHER: frozenset({"memory process", "speed process", "any process"}),
}
"""The writers that each kind of process acts as."""
_MEASURED_MEMORY = ("host_peak_rise_bytes",)
_MEASURED_SPEED = ("update_seconds", "agent_steps_per_second")
FIGURES: Mapping[str, tuple[str, ...]] = {
    MEMORY: _MEASURED_MEMORY,
    SPEED: _MEASURED_SPEED,
    PLAN: ("xla_peak_bytes",),
    BETWEEN: ("xla_peak_bytes",),
    TOGETHER: _MEASURED_MEMORY + _MEASURED_SPEED,
}
"""The columns that each kind of process must fill before it is done."""

_log = logging.getLogger(__name__)
_reported: set[str] = set()


def columns_of(facts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The facts that a process of this kind may fill columns with: no times from `memory`, no memory from `speed`."""
    found = {}
    for name, value in facts.items():
        if not is_column(name, value):
            continue
        writer = COLUMNS[name].writer
        if writer == "parent":
            _report(name, value, "which only the sweep fills")
        elif writer in WRITERS[kind]:
            found[name] = value
    return found


def missing_figures(facts: Mapping[str, Any], kind: str) -> list[str]:
    """The figures that a process of this kind owes; memory may be reported as unknown, where the kernel is silent."""
    return [
        name for name in FIGURES[kind] if name not in facts or (facts[name] is None and name not in _MEASURED_MEMORY)
    ]


def is_column(name: str, value: Any) -> bool:
    """Whether a fact is a column. Logs a fact that is neither a column nor in `OTHER_FACTS`."""
    if name not in COLUMNS and name not in OTHER_FACTS:
        _report(name, value, "which is not a column of a record")
    return name in COLUMNS


def _report(name: str, value: Any, why: str) -> None:
    if name not in _reported:
        _reported.add(name)
        _log.warning("scaleprof: the worker reports '%s' = %.80r, %s", name, value, why)
