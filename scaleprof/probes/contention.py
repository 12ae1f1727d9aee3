"""What slows this process's cores down while something is measured: other processes, and heat."""

from __future__ import annotations

import time
from typing import Any

from scaleprof.probes import host

CONTENDED = 0.15
"""The share of its cores that other processes may use before a point counts as contended."""


class CpuContention:
    """How much other processes use this process's cores, how long its threads wait for one, and whether heat slows it.

    A context manager around what is measured, which may be entered more than once.
    """

    def __init__(self) -> None:
        self._cpus = host.usable_cpus()
        self._totals: list[float | None] = [0.0, 0.0, 0.0, 0.0, 0]
        self._start: tuple[float | None, ...] = ()

    def __enter__(self) -> None:
        self._start = self._now()

    def __exit__(self, *_: object) -> None:
        spans = zip(self._totals, self._start, self._now(), strict=True)
        self._totals = [None if None in (sofar, a, b) else sofar + b - a for sofar, a, b in spans]  # type: ignore[operator]

    def _now(self) -> tuple[float | None, ...]:
        throttled = host.throttle_count(self._cpus)
        return host.run_delay_seconds(), host.busy_seconds(self._cpus), self._own(), self._clock(), throttled

    def _own(self) -> float:
        return time.process_time()

    def _clock(self) -> float:
        return time.monotonic()

    def fields(self) -> dict[str, Any]:
        """Fields of the record; None if the kernel does not count, or if a thread that had waited has ended."""
        delay, busy, own, seconds, throttled = self._totals
        others = None
        if busy is not None and own is not None and seconds:
            others = max(busy - own, 0.0) / (seconds * len(self._cpus))
        return {
            "run_delay_seconds": None if delay is None or delay < 0 else delay,
            "others_cpu_share": others,
            "contended": None if others is None else int(others > CONTENDED),
            "throttled": None if throttled is None else int(throttled > 0),
        }
