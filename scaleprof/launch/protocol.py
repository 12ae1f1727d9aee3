"""What the sweep and its child processes say to each other: one task in, a stream of events out, as JSON lines.

Both sides import this module, so it is light: no jax, no rich.
"""

from __future__ import annotations

import dataclasses
import json
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
"""What exceptions and dying processes say when memory ran out (the last one stands for failed scratch allocations)."""


PROTOCOL = 1
"""What two versions of the code must have alike to be measured together."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a child is asked to do: measure `point`, or only look at its devices when `point` is None."""

    point: Point | None = None
    measure: str = TOGETHER
    min_updates: int = 0
    """Updates that are measured at least."""
    min_seconds: float = 0.0
    """Seconds that the measured updates take at least."""
    warmup_updates: int = 0
    """Updates that come before and are not measured, at least."""
    memory_limit_bytes: int = 0
    batching: str = ""
    """What an earlier point found to be faster, where its environments' batching is `auto`."""
    pin: tuple[int, ...] = ()
    """Cores that the child keeps to; empty leaves them as they are."""
    burst: int = 0
    """Updates, at least, after which a child that takes turns with another waits for the word `GO`; 0 never waits."""
    measure_rates: bool = False
    """Whether a child without a point measures how fast the machine multiplies and copies."""
    parent: int = 0
    """Process number of whoever started the child."""

    def to_json(self) -> str:
        """One line of JSON."""
        fields = dataclasses.asdict(self)
        if self.point is not None and not self.point.columns:
            del fields["point"]["columns"]  # versions of this code that do not know it can measure this point too
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


GO = "go"
"""What a child that is measured in turns reads before each burst; `STOP` ends its turns."""
STOP = "stop"


def under_limit(task: Task) -> str:
    """What a person can act on when memory ran out: the limit that was in force."""
    return f", under the limit of {format_bytes(task.memory_limit_bytes)} (--memory-limit)"


def send(stream: TextIO, event: str, **fields: Any) -> None:
    """Write one event at once, so that it is not lost if the process dies next."""
    stream.write(json.dumps({"event": event, **fields}) + "\n")
    stream.flush()


LONG_SECONDS = 5.0
"""An update from this long on is warmed up by one alone."""
