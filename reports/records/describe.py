"""How `Record` describes its fields: the vocabulary, and a helper for each kind of column.

A description is stored as the field's metadata; `reports.records.columns` reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

SIGNED = frozenset({"number"})
"""The units of figures that may be negative."""
Unit = Literal[
    "text",
    "count",
    "number",
    "flag",
    "fraction",
    "percent",
    "bytes",
    "seconds",
    "rate",
    "flops",
    "watts",
    "MHz",
    "joules",
]
"""What a value is measured in. A `rate` is per second, a `flag` is 0 or 1, a `number` has no unit."""

Source = Literal[
    "configuration", "sweep", "worker", "XLA", "traced program", "allocator", "driver", "kernel", "clock", "training"
]
"""Where a value comes from; `SOURCES` says how exact that is."""

Writer = Literal["parent", "memory process", "speed process", "planning process", "any process"]
"""Which process a column is read from when one measures memory and another speed; the parent is the sweep."""

Place = Literal["heading", "page", "repeats", "width"]
"""Where a column is shown without being asked for: in the heading of pictures and of the page; in the page's table of
results; in the table of repeats of a full report; beside a width that was matched, which depends on it."""

SOURCES: Mapping[Source, str] = MappingProxyType(
    {
        "configuration": "what was asked for on the command line",
        "sweep": "what the sweep itself notes about the run and how the point ended",
        "worker": "what the worker reports about the device, the model and its programs; the same in every repeat",
        "XLA": "XLA's static analysis of the compiled program; exact, the same in every repeat",
        "traced program": "counted in the traced program through all its loops; the same in every repeat",
        "allocator": "the device allocator's high-water mark; it cannot be reset",
        "driver": "the GPU driver (NVML), sampled by the parent every 50 ms",
        "kernel": "the operating system's counters and high-water marks; varies between repeats",
        "clock": "timed with a clock; varies between repeats",
        "training": "the training run itself; depends on the seed and on the number of updates",
    }
)
EXACT: frozenset[Source] = frozenset({"configuration", "worker", "XLA", "traced program"})
"""Sources without noise: all repeats agree."""

KEY = "column"


def described(
    default: int | str | None,
    unit: Unit,
    title: str,
    description: str,
    source: Source,
    writer: Writer,
    *,
    short: str = "",
    identity: bool = False,
    same_work: bool = False,
    per_side: bool = True,
    places: Sequence[Place] = (),
) -> Any:
    """A dataclass field with its description as metadata; `reports.records.columns.Column` explains the arguments."""
    description_of_field = {
        "unit": unit,
        "title": title,
        "description": description,
        "source": source,
        "writer": writer,
        "short": short or title,
        "identity": identity,
        "same_work": same_work,
        "per_side": per_side,
        "places": tuple(places),
    }
    return dataclasses.field(default=default, metadata={KEY: MappingProxyType(description_of_field)})


def axis(default: int | str | None, title: str, description: str, **more: Any) -> Any:
    """A part of a point's identity."""
    unit: Unit = "text" if isinstance(default, str) else "count"
    return described(default, unit, title, description, "configuration", "parent", identity=True, **more)


def noted(title: str, description: str, *, default: int | str = "", source: Source = "sweep", **more: Any) -> Any:
    """A value that the sweep sets itself."""
    unit: Unit = "text" if isinstance(default, str) else "count"
    return described(default, unit, title, description, source, "parent", **more)


def reported(
    title: str, description: str, *, default: int | str | None = None, source: Source = "worker", **more: Any
) -> Any:
    """A value that every process reports: text if the default is text, else a count."""
    return described(default, "text" if default == "" else "count", title, description, source, "any process", **more)


def planned_bytes(program: str, part: str) -> Any:
    """One part of XLA's memory plan for a program."""
    what = {
        "argument": "its inputs",
        "output": "its outputs",
        "alias": "outputs that reuse the memory of inputs",
        "temp": "intermediate values",
    }
    title = f"XLA's plan of {program}: {part}"
    return described(
        None, "bytes", title, f"Bytes that the {program} program takes for {what[part]}.", "XLA", "any process"
    )


def part_bytes(title: str, description: str) -> Any:
    """Bytes of a part of the training state, or of a rollout, from its shapes; every process reports it."""
    return described(None, "bytes", title, description, "worker", "any process")


def memory(title: str, description: str, source: Source, **more: Any) -> Any:
    """Bytes used by the process that measures memory."""
    return described(None, "bytes", title, description, source, "memory process", **more)


def speed(title: str, description: str, *, unit: Unit = "seconds", source: Source = "clock", **more: Any) -> Any:
    """A value from the process that measures speed; by default seconds of wall time."""
    return described(None, unit, title, description, source, "speed process", **more)


def learned(title: str, description: str, *, unit: Unit = "number", **more: Any) -> Any:
    """A result of training."""
    return described(None, unit, title, description, "training", "speed process", **more)
