"""Looking at another process from outside: its resident memory, over time and by phase."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil
from memory_profiler import memory_usage

TREE_SECONDS = 2.0
"""How often the child's own children are looked for; that reads the whole process table, so not at every sample."""


class Sample(NamedTuple):
    """One look at a process tree."""

    seconds: float
    """Since the watch began."""
    phase: str
    rss_bytes: int


class Timeline:
    """Resident memory of a process and all that it started, sampled by whoever calls `look`.

    For the picture of a point's life and for the watchdog; never the source of a peak, because a sample every 50 ms
    misses what comes and goes between two.
    """

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._began = time.monotonic()
        self._tree: list[int] = [pid]
        self._next_tree = self._began + TREE_SECONDS

    def look(self, phase: str) -> int | None:
        """Add a sample; returns the resident bytes, None when the process is gone."""
        now = time.monotonic()
        if now >= self._next_tree:
            self._next_tree = now + TREE_SECONDS
            self._tree = _tree(self._pid)
        found = [size for pid in self._tree if (size := rss_bytes(pid)) is not None]
        if not found:
            return None
        self.samples.append(Sample(now - self._began, phase, sum(found)))
        return sum(found)


def rss_bytes(pid: int) -> int | None:
    """Resident memory of process `pid` now; None when it is gone."""
    try:
        samples = memory_usage(proc=pid, interval=0.0, backend="psutil")
    except psutil.NoSuchProcess:
        return None
    return int(samples[-1] * 2**20) if samples and samples[-1] > 0 else None


def _tree(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]
