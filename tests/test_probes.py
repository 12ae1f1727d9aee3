"""Clocks and memory: each probe against something whose size or order is known, and without what it reads from."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import psutil
import pytest
from compiler import optimised_jit

from scaleprof.errors import UserError
from scaleprof.points.choices import memory_limit
from scaleprof.probes import cgroup, device, host, timing, watch, xla

MIB = 2**20
VARIABLE = "MALLOC_MMAP_THRESHOLD_"


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Host memory.


def test_peak_of_this_process() -> None:
    if not host.reset_peak():
        pytest.skip("this kernel does not reset peaks")
    base = host.rss_bytes()
    block = b"x" * (96 * MIB)
    peak = host.peak_rss_bytes()
    assert peak is not None
    assert 90 * MIB < peak - base < 140 * MIB
    del block
    assert abs((host.peak_rss_bytes() or 0) - peak) < MIB  # the kernel counts in batches per thread
    host.release_free_memory()
    assert host.reset_peak()
    after = host.peak_rss_bytes()
    assert after is not None
    assert after < peak - 60 * MIB
    assert abs(after - host.rss_bytes()) < 30 * MIB


def test_a_child_does_not_inherit_its_parents_peak() -> None:
    block = b"x" * (300 * MIB)
    printed = python("from scaleprof.probes import host; print(host.peak_rss_bytes())")
    assert MIB < int(printed) < len(block) / 2


def test_a_kernel_that_keeps_no_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(host, "_CLEAR_REFS", tmp_path / "no" / "clear_refs")
    assert host.peak_rss_bytes() is None
    assert not host.reset_peak()
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  100 kB\n")
    assert host.peak_rss_bytes() is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  123 kB\n")
    assert host.peak_rss_bytes() == 123 * 1024


@pytest.mark.skipif(not platform.libc_ver()[0], reason="only glibc has a threshold to fix")
@pytest.mark.parametrize(("variables", "said"), [({}, "True True False"), ({VARIABLE: "131072"}, "False")])
def test_the_mmap_threshold(variables: dict[str, str], said: str) -> None:
    """Fixed, an array of 1 MB is mapped, so that freeing it returns it at once; raised, it is kept on the heap."""
    code = (
        "import ctypes\nfrom scaleprof.probes import host\n"
        "libc = ctypes.CDLL(None)\nlibc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "mapped = lambda: libc.malloc(1 << 20) % 4096 == 16\n"
        "done = host.fix_mmap_threshold()\nfound = [done]\n"
        "if done:\n    found.append(mapped())\n    host.raise_mmap_threshold()\n"
        "    libc.malloc(5000)\n    found.append(all(mapped() for _ in range(3)))\n"
        "print(*found)"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{said}\n"


def test_memory_of_the_machine() -> None:
    assert host.rss_bytes() < host.total_memory_bytes() == psutil.virtual_memory().total


@pytest.mark.parametrize("hard_limit", [None, 256 * MIB])
def test_allocations_fail_beyond_the_limit(hard_limit: int | None) -> None:
    printed = python(
        f"""
        import resource
        from scaleprof.probes import host
        if {hard_limit}:
            resource.setrlimit(resource.RLIMIT_DATA, ({hard_limit}, {hard_limit}))
        host.limit_data(512 * 2**20)
        held = b"x" * (128 * 2**20)
        try:
            more = b"x" * (512 * 2**20)
        except MemoryError:
            print("refused", resource.getrlimit(resource.RLIMIT_DATA)[0])
        """
    )
    assert printed.split() == ["refused", str(hard_limit or 512 * MIB)]


# Control groups: made-up trees of both versions.

GIB = 2**30
NO_LIMIT_V1 = str(2**63 - 4096)


def group(root: Path, membership: str, files: dict[str, str]) -> dict[str, Path]:
    """A tree of control groups, and the membership of a process in it."""
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (root / "self").write_text(membership)
    return {"membership": root / "self", "root": root / "cgroup"}


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("", {}, None),
        ("0::/\n", {}, None),
        ("0::/a\n", {"a/memory.max": "max"}, None),
        ("0::/a\n", {"a/memory.max": str(GIB)}, GIB),
        ("0::/a\n", {"a/memory.max": str(GIB), "b/memory.max": "7"}, GIB),
        ("0::/a/b/c\n", {"a/memory.max": str(GIB), "a/b/memory.max": "max", "a/b/c/memory.max": str(2 * GIB)}, GIB),
        ("0::/a/b\n", {"a/memory.high": str(GIB), "a/memory.max": str(2 * GIB), "a/b/memory.max": "max"}, GIB),
        ("0::/\n", {"memory.max": str(GIB)}, GIB),
        ("0::/docker/abc\n", {"memory.max": str(GIB)}, GIB),
        ("0::/docker/abc/own\n", {"memory.max": str(2 * GIB), "own/memory.max": str(GIB)}, GIB),
        ("0::/../../b\n", {"memory.max": str(GIB)}, GIB),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": str(GIB)}, GIB),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": NO_LIMIT_V1}, None),
        ("4:memory:/a/b\n", {"memory/a/memory.limit_in_bytes": str(GIB), "memory/a/b/tasks": ""}, GIB),
        (
            "4:memory:/a\n",
            {
                "memory/a/memory.limit_in_bytes": NO_LIMIT_V1,
                "memory/a/memory.stat": f"cache 0\nhierarchical_memory_limit {GIB}\nhierarchical_memsw_limit 7",
            },
            GIB,
        ),
        ("4:cpu,memory:/a\n", {"cpu,memory/a/memory.limit_in_bytes": str(GIB)}, GIB),
        ("4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": str(GIB), "unified/cgroup.procs": ""}, GIB),
        ("4:memory:/docker/abc\n", {"memory/memory.limit_in_bytes": str(GIB)}, GIB),
        ("9:name=systemd:/a\n1:cpu:/a\n", {"a/memory.max": "7", "cpu/a/memory.limit_in_bytes": "7"}, None),
        ("0::/a\n", {"a/memory.max": "nonsense"}, None),
        ("nonsense", {"memory.max": str(GIB)}, None),
    ],
)
def test_the_memory_limit_of_control_groups(
    tmp_path: Path, membership: str, files: dict[str, str], limit: int | None
) -> None:
    assert cgroup.memory_limit_bytes(**group(tmp_path, membership, files)) == limit


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/a\n", {"a/cpu.max": "max 100000"}, None),
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "400000 100000"}, 1.5),
        ("1:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("1:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"}, 0.5),
        ("1:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "50000"}, None),
        ("0::/a\n", {"a/cpu.max": ""}, None),
    ],
)
def test_the_quota_of_control_groups(
    tmp_path: Path, membership: str, files: dict[str, str], cores: float | None
) -> None:
    assert cgroup.cpu_quota(**group(tmp_path, membership, files)) == cores


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("", {}, None),
        ("0::/a\n", {"a/cgroup.procs": ""}, None),
        ("0::/a\n", {"a/cpuset.cpus.effective": "0-3"}, {0, 1, 2, 3}),
        ("0::/a\n", {"a/cpuset.cpus.effective": "0-1,4,6-7"}, {0, 1, 4, 6, 7}),
        ("0::/a/b\n", {"a/cpuset.cpus.effective": "0-3", "a/b/cpuset.cpus": ""}, {0, 1, 2, 3}),
        ("0::/a/b\n", {"a/cpuset.cpus": "2-5", "a/b/cpuset.cpus": "0-3"}, {2, 3}),
        ("0::/host/a\n", {"a/cpuset.cpus.effective": "1"}, {1}),
        ("0::/a\n", {"a/cpuset.cpus": "all"}, None),
        ("0::/a\n", {"a/cpuset.cpus": "0-99999999999"}, None),
        ("3:cpuset:/a\n", {"cpuset/cpuset.cpus": "0-7", "cpuset/a/cpuset.cpus": "3"}, {3}),
        ("3:cpuset:/a/b\n", {"cpuset/a/cpuset.effective_cpus": "0,2", "cpuset/a/b/cpuset.cpus": "2-3"}, {2}),
        ("3:cpu,cpuset:/a\n", {"cpu,cpuset/a/cpuset.cpus": "5"}, {5}),
        ("3:cpuset:/a\n0::/\n", {"cpuset/a/cpuset.cpus": "5", "unified/cgroup.procs": ""}, {5}),
        ("3:memory:/a\n", {"memory/a/cpuset.cpus": "5"}, None),
    ],
)
def test_cores_that_control_groups_allow(
    tmp_path: Path, membership: str, files: dict[str, str], cores: set[int] | None
) -> None:
    assert cgroup.cpus(**group(tmp_path, membership, files)) == cores


@pytest.mark.parametrize(
    ("own", "allowed", "usable"),
    [({0, 1, 2, 3}, {2, 3, 4}, (2, 3)), ({0, 1}, None, (0, 1)), ({1}, {0, 1, 2}, (1,)), ({0, 1}, {7}, (0, 1))],
)
def test_usable_cores(
    monkeypatch: pytest.MonkeyPatch, own: set[int], allowed: set[int] | None, usable: tuple[int, ...]
) -> None:
    """Those of the mask that the control groups allow too; the mask counts where they contradict each other."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: own)
    monkeypatch.setattr(cgroup, "cpus", lambda: None if allowed is None else frozenset(allowed))
    assert host.usable_cpus() == usable


@pytest.mark.parametrize(
    ("membership", "files", "kills"),
    [
        ("0::/a\n", {"a/memory.events": "low 0\noom 9\noom_kill 2\noom_group_kill 0"}, 2),
        ("0::/a/b\n", {"a/memory.events": "oom_kill 5", "a/b/memory.events": "oom_kill 1"}, 1),
        ("4:memory:/a\n", {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3"}, 3),
        ("0::/\n4:memory:/a\n", {"memory/a/memory.oom_control": "oom_kill 3", "unified/x": ""}, 3),
        ("0::/\n", {"cgroup.procs": ""}, 7),
        ("0::/a\n", {"a/memory.events": "oom_kill"}, 7),
    ],
)
def test_kills_for_want_of_memory(tmp_path: Path, membership: str, files: dict[str, str], kills: int) -> None:
    """Those of the process's own group; where that has no counter, the whole machine's."""
    (tmp_path / "vmstat").write_text("pgfault 1\noom_kill 7\n")
    tree = group(tmp_path, membership, files)
    assert cgroup.oom_kills(**tree, vmstat=tmp_path / "vmstat") == kills


def test_no_counter_of_kills(tmp_path: Path) -> None:
    assert cgroup.oom_kills(tmp_path / "no", tmp_path / "no", tmp_path / "no") is None


@pytest.mark.parametrize("allowed", [300 * MIB, 4 * GIB, 2**60, None])
def test_control_groups_bound_the_memory_limit_of_points(monkeypatch: pytest.MonkeyPatch, allowed: int | None) -> None:
    monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda: allowed)
    monkeypatch.setattr(host, "total_memory_bytes", lambda: 24 * GIB)
    usable = min(allowed or 24 * GIB, 24 * GIB)
    assert host.usable_memory_bytes() == usable
    assert memory_limit(None) == min(8 * GIB, int(0.6 * usable))
    assert memory_limit(f"{usable // MIB}MiB") == usable
    if usable < 24 * GIB:
        with pytest.raises(UserError, match="that this process's control group allows: give less"):
            memory_limit("20GiB")
    with pytest.raises(UserError, match=r"more than the 24\.0 GiB this machine has"):
        memory_limit("25GiB")


# Another process.


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that holds at least 64 MiB until its stdin closes."""
    code = "import sys; held = b'x' * (64 * 2**20); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_memory_of_another_process(holder: subprocess.Popen[str]) -> None:
    seen = watch.rss_bytes(holder.pid)
    assert seen is not None
    assert 64 * MIB < seen < 120 * MIB
    assert abs(seen - psutil.Process(holder.pid).memory_info().rss) <= MIB


def test_a_process_that_is_gone(holder: subprocess.Popen[str]) -> None:
    holder.communicate()
    assert watch.rss_bytes(holder.pid) is None


def test_a_process_that_nobody_took_notice_of(holder: subprocess.Popen[str]) -> None:
    other = psutil.Process(holder.pid)
    holder.kill()
    while other.status() != psutil.STATUS_ZOMBIE:
        pass
    assert watch.rss_bytes(holder.pid) is None


# XLA.


def test_memory_of_a_program() -> None:
    def step(state: jax.Array, data: jax.Array) -> tuple[jax.Array, jax.Array]:
        return state + jnp.sort(data @ data.T, axis=0).sum(), data[:8, 0]

    shapes = (jax.ShapeDtypeStruct((64, 64), jnp.float32), jax.ShapeDtypeStruct((256, 32), jnp.float32))
    compiled = optimised_jit(step, donate_argnums=0).lower(*shapes).compile()
    memory = xla.program_memory(compiled)
    assert memory is not None
    state_bytes, data_bytes = 64 * 64 * 4, 256 * 32 * 4
    assert memory.argument_bytes == state_bytes + data_bytes
    assert memory.output_bytes >= state_bytes + 8 * 4
    assert memory.alias_bytes == state_bytes
    assert memory.temp_bytes >= 256 * 256 * 4
    assert memory.peak_bytes == (memory.argument_bytes + memory.output_bytes - memory.alias_bytes + memory.temp_bytes)


def test_a_backend_without_analysis() -> None:
    assert xla.program_memory(SimpleNamespace(memory_analysis=lambda: None)) is None


# Clocks.


class Pending:
    """A result that is computed when somebody waits for it."""

    def __init__(self, order: list[str]) -> None:
        self.order = order

    def block_until_ready(self) -> Pending:
        self.order.append("ready")
        return self


def test_the_clock_stops_when_the_result_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    walls, cpus = iter([10.0, 13.0]), iter([1.0, 6.0])

    def clock(name: str, times: Iterator[float]) -> Any:
        def read() -> float:
            order.append(name)
            return next(times)

        return read

    def call(left: int, right: int) -> dict[str, Any]:
        order.append("called")
        return {"sum": left + right, "later": [Pending(order)]}

    monkeypatch.setattr("scaleprof.probes.timing.time.perf_counter", clock("wall", walls))
    monkeypatch.setattr("scaleprof.probes.timing.time.process_time", clock("cpu", cpus))
    timed = timing.timed(call, 1, 2)
    monkeypatch.undo()
    assert order == ["cpu", "wall", "called", "ready", "wall", "cpu"]
    assert (timed.seconds, timed.cpu_seconds) == (3.0, 5.0)
    assert timed.result["sum"] == 3


def test_timing_of_a_real_program() -> None:
    timed = timing.timed(jax.jit(lambda x: (x @ x).sum()), jnp.ones((64, 64)))
    assert timed.result.is_ready()
    assert float(timed.result) == 64.0**3
    assert timed.seconds > 0.0


def test_timing_of_host_work() -> None:
    timed = timing.timed_host(sorted, [2, 1])
    assert timed.result == [1, 2]
    assert timed.seconds >= 0.0
    assert timed.cpu_seconds >= 0.0


# The device's allocator.


def test_a_cpu_keeps_no_statistics() -> None:
    cpu = jax.devices("cpu")[0]
    assert device.allocator_peak_bytes(cpu) is None
    assert device.allocator_limit_bytes(cpu) is None


@pytest.mark.parametrize(
    ("statistics", "peak", "limit"),
    [
        ({"peak_bytes_in_use": 7, "bytes_limit": 9}, 7, 9),
        ({"peak_bytes_in_use": 0}, 0, None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_allocator_statistics(statistics: dict[str, int] | None, peak: int | None, limit: int | None) -> None:
    fake = SimpleNamespace(memory_stats=lambda: statistics)
    assert device.allocator_peak_bytes(fake) == peak
    assert device.allocator_limit_bytes(fake) == limit


def test_cores_are_busy_while_this_process_computes() -> None:
    cpus = host.usable_cpus()
    before, own = host.busy_seconds(cpus), time.process_time()
    if before is None:
        pytest.skip("this kernel does not count")
    while time.process_time() < own + 0.3:
        pass
    after = host.busy_seconds(cpus)
    assert after is not None
    assert after - before >= 0.25  # counted in ticks of a hundredth of a second
    assert host.busy_seconds((10_000,)) is None


def test_waiting_for_a_core_only_grows() -> None:
    before = host.run_delay_seconds()
    if before is None:
        pytest.skip("this kernel does not count")
    after = host.run_delay_seconds()
    assert after is not None
    assert after >= before >= 0.0
