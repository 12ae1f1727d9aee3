"""Resident memory of another process, over time and by phase."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil
from memory_profiler import memory_usage

TREE_SECONDS = 2.0
"""Seconds between two searches for the child's own children, which read the whole process table."""


class Sample(NamedTuple):
    """The memory of a process tree at one moment."""

    seconds: float
    """Seconds since the watch began."""
    phase: str
    rss_bytes: int


class Timeline:
    """Resident memory of a process and its descendants, sampled at every call of `look`.

    It serves the timeline figure and the watchdog. It is never the source of a peak, because a sample every 50 ms
    misses peaks in between.
    """

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._began = time.monotonic()
        self._tree: list[int] = [pid]
        self._next_tree = self._began + TREE_SECONDS

    def look(self, phase: str) -> int | None:
        """Add a sample; returns the resident bytes, or None if the process has ended."""
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
    """Resident memory of process `pid`; None if it has ended or may not be looked at."""
    try:
        samples = memory_usage(proc=pid, interval=0.0, backend="psutil")
    except psutil.Error:
        return None
    return int(samples[-1] * 2**20) if samples and samples[-1] > 0 else None


def _tree(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]
