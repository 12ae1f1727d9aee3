"""Memory and cores of this process and its host, from Linux' /proc if it exists, otherwise from psutil.

Peaks are the kernel's high-water mark (VmHWM), reset through /proc/self/clear_refs; never `ru_maxrss`, which a child
inherits from its parent. Unknown figures are None.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from scaleprof.probes import cgroup
from scaleprof.probes.kernel_files import kernel_text

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_THRESHOLD_VARIABLE = "MALLOC_MMAP_THRESHOLD_"
_THREADS = Path("/proc/self/task")
_CORES = Path("/proc/stat")
_CPUS = Path("/sys/devices/system/cpu")
_NANOSECONDS = 1e-9


def total_memory_bytes() -> int:
    """Physical memory of the host."""
    return int(psutil.virtual_memory().total)


def usable_memory_bytes() -> int:
    """Memory that this process may use: the host's, or less by the limit of a control group that it is in."""
    return min(total_memory_bytes(), cgroup.memory_limit_bytes() or sys.maxsize)


def rss_bytes() -> int:
    """Current resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int | None:
    """Peak resident memory of this process since the last reset (or its start)."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int | None:
    """A figure of this process's status in bytes; None if the kernel does not report it."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def reset_peak() -> bool:
    """Restart the peak from the current resident memory; False if the kernel does not allow it."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def release_free_memory() -> None:
    """Return freed heap memory to the kernel (glibc), so that the base of a measurement is memory in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def fix_mmap_threshold() -> bool:
    """Have glibc return every large array to the kernel, so that resident memory repeats; steps take longer meanwhile.

    By default the threshold moves with what is freed. False where that is left as it is: without glibc, or if the
    user has set the threshold.
    """
    return _THRESHOLD_VARIABLE not in os.environ and _mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def raise_mmap_threshold() -> None:
    """After `fix_mmap_threshold`: have glibc keep large arrays for reuse, as it does by default after a while."""
    _mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc takes
    _mallopt(_M_TRIM_THRESHOLD, 2**30)


def _mallopt(parameter: int, value: int) -> bool:
    """Set a parameter of glibc's allocator; False if there is no glibc, or it refuses."""
    if sys.platform != "linux" or not platform.libc_ver()[0]:
        return False
    set_parameter = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_parameter is not None and set_parameter(parameter, value) == 1


def limit_data(limit_bytes: int) -> None:
    """Make allocations fail (RLIMIT_DATA) that would take this process above this resident memory.

    The kernel limits mapped memory, so mapped but untouched memory, such as threads' stacks, is added to the limit.
    """
    untouched = max((_status_bytes("VmData") or 0) - rss_bytes(), 0)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit_bytes + untouched
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def run_delay_seconds() -> float | None:
    """Time that this process's living threads waited for a core, summed over threads.

    With more threads than cores they also wait for each other.
    """
    try:
        texts = [(thread / "schedstat").read_text() for thread in _THREADS.iterdir()]
    except OSError:
        return None
    return sum(int(text.split()[1]) for text in texts) * _NANOSECONDS


def busy_seconds(cpus: tuple[int, ...]) -> float | None:
    """Time that these cores have been busy since boot for any process, including time stolen by a hypervisor."""
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


def throttle_count(cpus: tuple[int, ...], folder: Path = _CPUS) -> int | None:
    """How often these cores and their packages slowed down because of heat since boot; None if Linux does not say."""
    names = ("core_throttle_count", "package_throttle_count")
    texts = [kernel_text(folder / f"cpu{cpu}" / "thermal_throttle" / name) for cpu in cpus for name in names]
    counts = [int(text) for text in texts if text is not None and text.isdecimal()]
    return sum(counts) if counts else None


def pin(cpus: tuple[int, ...]) -> None:
    """Pin this process to these cores. Call it before jax is imported: XLA sizes its thread pools by them."""
    if cpus:
        os.sched_setaffinity(0, cpus)


def usable_cpus() -> tuple[int, ...]:
    """The cores that this process may run on, by its own mask and by its control groups.

    Linux keeps the mask within the groups; what stands in for it, as in some sandboxes, may not.
    """
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    allowed = cgroup.cpus()
    return tuple(sorted(own if allowed is None else allowed.intersection(own) or own))


def prefer_for_oom_kill() -> None:
    """Make the kernel end this process first if memory runs out; no effect if that is not allowed."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def die_with_parent(signal_number: int, parent: int) -> None:
    """Have Linux send this process a signal when its parent dies; send it now if the parent is already dead.

    `parent` is the process id of the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal_number)


def adopt_orphans() -> None:
    """Have Linux make this process the parent of descendants whose own parent has died, so that it can find them."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
