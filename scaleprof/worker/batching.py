"""In the child: measure which batching steps the environments faster."""

from __future__ import annotations

import statistics
from typing import TextIO

from scaleprof.launch.protocol import send
from scaleprof.points.point import Point
from scaleprof.worker.measuring import time_alone
from scaleprof.worker.programs import Programs
from scenarios.configs import BATCHINGS


def faster_batching(point: Point, events: TextIO) -> str:
    """The batching with the shorter environment steps, of those in `BATCHINGS`."""
    taken = {}
    for batching in BATCHINGS:
        send(events, "phase", name=f"try {batching}")
        programs = Programs(point, batching)
        for name in ("init", "environment"):
            programs.compile(name, programs.trace(name).lower())
        state = programs.init(point.seed, point.repeat)
        taken[batching] = statistics.median(time_alone(programs.environment, state)[1:])
    return min(taken, key=lambda batching: taken[batching])
