"""Host memory of this process and of its machine, from Linux' /proc where it is there, from psutil elsewhere.

Peaks are the kernel's own high-water mark (VmHWM), reset through /proc/self/clear_refs; never `ru_maxrss`, which a
child inherits from its parent. Where they cannot be had the answer is None.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_PR_SET_PDEATHSIG = 1
_THREADS = Path("/proc/self/task")
_CORES = Path("/proc/stat")
_NANOSECONDS = 1e-9


def total_memory_bytes() -> int:
    """Physical memory of the machine."""
    return int(psutil.virtual_memory().total)


def rss_bytes() -> int:
    """Resident memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int | None:
    """The most resident memory this process had since the last reset (or its start)."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int | None:
    """A line of this process's status; None where the kernel tells none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


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
    """Let allocations fail (RLIMIT_DATA) once this process would have more than this resident, instead of driving the
    machine out of memory.

    The kernel counts what is mapped, so that what is mapped and was never touched, as of threads' stacks, comes on top.
    """
    untouched = max((_status_bytes("VmData") or 0) - rss_bytes(), 0)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit_bytes + untouched
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def run_delay_seconds() -> float | None:
    """Time that this process's threads were ready to run and had to wait for a core, summed over the living threads.

    They wait for each other too, where there are more of them than cores.
    """
    try:
        texts = [(thread / "schedstat").read_text() for thread in _THREADS.iterdir()]
    except OSError:
        return None
    return sum(int(text.split()[1]) for text in texts) * _NANOSECONDS


def busy_seconds(cpus: tuple[int, ...]) -> float | None:
    """Time that these cores have been busy since the machine started, for whomever, stolen by a hypervisor included."""
    try:
        lines = _CORES.read_text().splitlines()
    except OSError:
        return None
    ticks = 0
    for cpu in cpus:
        fields = next((line.split()[1:] for line in lines if line.startswith(f"cpu{cpu} ")), None)
        if fields is None:
            return None
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, fields)
        ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def pin(cpus: tuple[int, ...]) -> None:
    """Keep this process on these cores; XLA sizes its thread pools by them, so this comes before jax is imported."""
    if cpus:
        os.sched_setaffinity(0, cpus)


def usable_cpus() -> tuple[int, ...]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def prefer_for_oom_kill() -> None:
    """Let the kernel, short of memory, end this process before any other; where that is not allowed nothing changes."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def die_with_parent(signal_number: int, parent: int) -> None:
    """Ask Linux to send this process a signal when its parent dies, however it dies; end now if it already has.

    `parent` is the process number of the parent that started this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal_number)
