"""Host memory of this process and of its machine, from Linux' /proc where it is there, from psutil elsewhere.

Peaks are the kernel's own high-water mark (VmHWM), reset through /proc/self/clear_refs; never `ru_maxrss`, which a
child inherits from its parent. Where they cannot be had the answer is None.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_PR_SET_PDEATHSIG = 1


def total_memory_bytes() -> int:
    """Physical memory of the machine."""
    return int(psutil.virtual_memory().total)


def rss_bytes() -> int:
    """Resident memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int | None:
    """The most resident memory this process had since the last reset (or its start)."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def reset_peak() -> bool:
    """Begin a new peak from what is resident now; false where the kernel does not allow it."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def release_free_memory() -> None:
    """Give freed heap memory back to the kernel (glibc), so that the base of a measurement holds what is in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def limit_data(limit_bytes: int) -> None:
    """Let allocations fail beyond this much data (RLIMIT_DATA) instead of driving the machine out of memory."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def die_with_parent(signal_number: int) -> None:
    """Ask Linux to send this process a signal when its parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
