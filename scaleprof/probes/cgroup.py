"""What the control groups of this process allow it: memory, cores, and how often the kernel killed for want of memory.

Reads versions 1 and 2. Unknown figures are None. A container may show only the end of the path that `/proc` names:
whatever of it exists below the root is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from scaleprof.probes.kernel_files import kernel_text

MEMBERSHIP = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
VMSTAT = Path("/proc/vmstat")
_NO_LIMIT = 2**62
"""Version 1 writes the largest multiple of a page for no limit."""
_MOST_CORES = 2**16
"""More than any machine has: a longer range is no list of cores."""


def memory_limit_bytes(membership: Path = MEMBERSHIP, root: Path = ROOT) -> int | None:
    """The smallest memory limit of this process's group and all groups around it; None without one."""
    limits = []
    for folder in _folders(membership, root, "memory"):
        names = ("memory.max", "memory.high", "memory.limit_in_bytes")
        limits += [_number(kernel_text(folder / name)) for name in names]
        limits.append(_number(_field(folder / "memory.stat", "hierarchical_memory_limit")))
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def cpu_quota(membership: Path = MEMBERSHIP, root: Path = ROOT) -> float | None:
    """The smallest number of cores whose time the group, or one around it, may use; None without a quota."""
    quotas = []
    for folder in _folders(membership, root, "cpu"):
        quota, _, period = (kernel_text(folder / "cpu.max") or "").partition(" ")
        pairs = [(quota, period), (kernel_text(folder / "cpu.cfs_quota_us"), kernel_text(folder / "cpu.cfs_period_us"))]
        for time, per in pairs:
            allowed, interval = _number(time), _number(per)
            if allowed and interval:
                quotas.append(allowed / interval)
    return min(quotas, default=None)


def cpus(membership: Path = MEMBERSHIP, root: Path = ROOT) -> frozenset[int] | None:
    """The cores that the group and all groups around it may use; None if none of them restricts them."""
    sets = []
    for folder in _folders(membership, root, "cpuset"):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            cores = _numbers(kernel_text(folder / name))
            if cores:  # an empty one leaves it to the groups around it
                sets.append(cores)
    return frozenset.intersection(*sets) if sets else None


def oom_kills(membership: Path = MEMBERSHIP, root: Path = ROOT, vmstat: Path = VMSTAT) -> int | None:
    """How many processes the kernel has killed for want of memory: of this group, or if that is not counted, of all."""
    for own, *_ in _hierarchies(membership, root, "memory"):  # groups around it also count those of others
        for name in ("memory.events", "memory.oom_control"):
            count = _number(_field(own / name, "oom_kill"))
            if count is not None:
                return count
    return _number(_field(vmstat, "oom_kill"))


def _folders(membership: Path, root: Path, controller: str) -> Iterator[Path]:
    return chain.from_iterable(_hierarchies(membership, root, controller))


def _hierarchies(membership: Path, root: Path, controller: str) -> Iterator[list[Path]]:
    """In each hierarchy that may have the controller: the folders of this process's groups, innermost first."""
    for line in (kernel_text(membership) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            unified = root / "unified"
            top = unified if unified.is_dir() else root
        elif controller in controllers.split(","):
            tops = (root / controllers, root / controller)
            top = next((folder for folder in tops if folder.is_dir()), tops[0])
        else:
            continue
        yield _up(top, [part for part in path.split("/") if part not in ("", ".", "..")])


def _up(top: Path, parts: list[str]) -> list[Path]:
    """The folder of a group and those around it, up to the top; of its path the longest end that exists."""
    ends = (top.joinpath(*parts[start:]) for start in range(len(parts)))
    folders = [next((folder for folder in ends if folder.is_dir()), top)]
    while folders[-1] != top:
        folders.append(folders[-1].parent)
    return folders


def _field(path: Path, name: str) -> str | None:
    """The value after `name` in a file of names and values."""
    lines = (kernel_text(path) or "").splitlines()
    return next((line.split()[1] for line in lines if line.startswith(f"{name} ") and len(line.split()) > 1), None)


def _numbers(text: str | None) -> frozenset[int]:
    """The whole numbers of a list such as `0-3,8`; none of a text that is no such list."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, dash, last = part.partition("-")
        start, end = _number(first), _number(last if dash else first)
        if start is None or end is None or end - start > _MOST_CORES:
            return frozenset()
        found |= set(range(start, end + 1))
    return frozenset(found)


def _number(text: str | None) -> int | None:
    """A whole number that is not negative; None for anything else, such as `max` or -1."""
    return int(text) if text is not None and text.isdecimal() and text.isascii() else None
