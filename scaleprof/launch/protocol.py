"""The protocol between the sweep and its child processes: one task in, a stream of events out, as JSON lines.

Both ends import this module, so it is light: no jax, no rich.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from reports.text.units import format_bytes
from scaleprof.points.plan import TOGETHER
from scaleprof.points.point import Point

OOM_SIGNS = (
    "RESOURCE_EXHAUSTED",
    "Out of memory",
    "out of memory",
    "bad_alloc",
    "Cannot allocate memory",
    "pthread_create failed",
    "failed to map segment",
    "YNNPACK operation failed",
)
"""Texts of exceptions and dying processes that mean out of memory (the last one: failed scratch allocations)."""
EXPLAIN = "explain"
"""What a task measures that asks for the buffers at the peak of learning."""
PROTOCOL = 1
"""Two versions of the code can form a live pair only if this number is the same."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A child's task: measure `point`, or only inspect the devices if `point` is None."""

    point: Point | None = None
    measure: str = TOGETHER
    min_updates: int = 0
    """Minimum measured updates."""
    min_seconds: float = 0.0
    """Minimum measured seconds."""
    warmup_updates: int = 0
    """Minimum warm-up updates."""
    memory_limit_bytes: int = 0
    compile_together: bool = False
    """Whether the programs may compile at the same time; else one by one, and each is timed."""
    batching: str = ""
    """The faster batching as found by an earlier point, if the point's batching is `auto`."""
    pin: tuple[int, ...] = ()
    """Cores that the child is pinned to; empty does not pin it."""
    burst: int = 0
    """Minimum updates after which a child of a live pair waits for `GO`; 0 never waits."""
    measure_rates: bool = False
    """Whether a child without a point measures how fast the machine multiplies and copies."""
    untrimmed: bool = True
    """Whether a child that plans also finds what the programs want without XLA's own rematerialisation."""
    parent: int = 0
    """Process number of the parent."""
    deadline: float = 0.0
    """When the child must be done, on the clock of `time.monotonic`, which processes share; 0 is never."""

    def to_json(self) -> str:
        """One line of JSON."""
        fields = dataclasses.asdict(self)
        if self.point is not None and not self.point.columns:
            del fields["point"]["columns"]  # versions of this code that do not know it can measure this point too
        if self.point is not None and not self.point.target:
            del fields["point"]["target"]
        for later in ("deadline", "compile_together"):  # nor do they know these
            if not fields[later]:
                del fields[later]
        if self.untrimmed:
            del fields["untrimmed"]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        if fields["point"] is not None:
            pairs: dict[str, Any] = {
                name: tuple(map(tuple, fields["point"].pop(name, ()))) for name in ("settings", "columns")
            }
            fields["point"] = Point(**fields["point"], **pairs)
        fields["pin"] = tuple(fields["pin"])
        return cls(**fields)


FACT_TYPES: Mapping[str, type] = {
    # Of a point.
    "worked_seconds": float,
    "allocator_fixed": bool,
    # Of a device, when a child has no point.
    "protocol": int,
    "scaleprof": str,
    "source": str,
    "devices": list,
    "device_limit_bytes": int,
    "allocator_statistics": bool,
    "peak_can_be_reset": bool,
    "start_rss_bytes": int,
    "static_analysis": bool,
    "matmul_flops_per_second": float,
    "copy_bytes_per_second": float,
    # Of a scenario, from `scaleprof.worker.check_scenario`.
    "defects": list,
    # Of an explanation, from `scaleprof.worker.explain_point`: `LiveBuffer`s as JSON.
    "live_buffers": list,
}
"""The types of facts that are not columns of a record; lists hold text."""
OTHER_FACTS = frozenset(FACT_TYPES)
"""Facts that are not columns of a record; all others must be."""
UNKNOWN_FACTS = frozenset({"device_limit_bytes", "matmul_flops_per_second", "copy_bytes_per_second"})
"""Those of `OTHER_FACTS` that may be None: unknown."""
EVENTS: Mapping[str, Mapping[str, type]] = {
    "phase": {"name": str},
    "facts": {},
    "samples": {"samples": list},
    "ready": {},
    "oom": {"reason_code": str, "reason": str},
    "error": {"reason": str},
    "done": {},
}
"""The events of a child, with the keys that each must have, and their types."""
SAMPLE: Mapping[str, type] = {"update": int, "phase": str, "update_seconds": float}
"""What each of an event's samples must have; all else in it is a number."""
OOM_CODES = ("limit", "predicted")
MAX_LINE_BYTES = 4 * 2**20
"""The longest event that a parent reads: thousands of samples, a multiple of what a child collects."""


GO = "go"
"""What a child of a live pair reads before each burst; `STOP` ends its bursts."""
STOP = "stop"


def is_memory_error(line: str) -> bool:
    """Whether the last line of an exception, `Type: message`, says that memory ran out.

    The type decides. Words count only where a runtime that reports in words raised it: XLA, or the system.
    """
    kind, _, message = line.partition(":")
    name, message = kind.strip().rpartition(".")[2], message.strip()
    if name in ("MemoryError", "_ArrayMemoryError"):
        return True
    if name in ("JaxRuntimeError", "XlaRuntimeError"):
        return any(sign in message for sign in OOM_SIGNS)
    if name in ("OSError", "ImportError", "BlockingIOError"):
        return any(sign in message for sign in ("Cannot allocate memory", "failed to map segment"))
    return name == "RuntimeError" and message.startswith("RESOURCE_EXHAUSTED")


def under_limit(task: Task) -> str:
    """The memory limit in force, for the message that memory ran out."""
    return f", under the limit of {format_bytes(task.memory_limit_bytes)} (--memory-limit)"


def send(stream: TextIO, event: str, **fields: Any) -> None:
    """Write and flush one event, so that it survives if the process dies next."""
    stream.write(json.dumps({"event": event, **fields}) + "\n")
    stream.flush()


LONG_SECONDS = 5.0
"""Updates of at least this many seconds get one warm-up update only."""
