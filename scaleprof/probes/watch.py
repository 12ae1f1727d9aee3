"""Looking at another process from outside."""

from __future__ import annotations

import psutil
from memory_profiler import memory_usage


def rss_bytes(pid: int) -> int | None:
    """Resident memory of process `pid` now; None when it is gone."""
    try:
        samples = memory_usage(proc=pid, interval=0.0, backend="psutil")
    except psutil.NoSuchProcess:
        return None
    return int(samples[-1] * 2**20) if samples and samples[-1] > 0 else None
