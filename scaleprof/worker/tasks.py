"""The tasks of a child process: inspect the device, or measure a point."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import scaleprof
import scenarios
from sable.models import is_custom
from scaleprof.launch.protocol import EXPLAIN, PROTOCOL, Task, send
from scaleprof.points.plan import AUTO, BETWEEN, PLAN
from scaleprof.probes import device as device_probe
from scaleprof.probes import host, timing, xla
from scaleprof.worker.compiling import compile_programs, plan_between
from scaleprof.worker.measuring import run_programs


def inspect_device(task: Task) -> dict[str, Any]:
    """Facts about this host as seen by a fresh process; its measured rates too, if requested."""
    imported = timing.timed_host(import_libraries)
    import jax

    devices = jax.devices()
    facts = {
        "protocol": PROTOCOL,
        "scaleprof": scaleprof.__version__,
        "source": str(Path(scaleprof.__file__).parent),
        "platform": devices[0].platform,
        "devices": [device.device_kind for device in devices],
        "device_limit_bytes": device_probe.allocator_limit_bytes(devices[0]),
        "allocator_statistics": devices[0].memory_stats() is not None,
        "peak_can_be_reset": host.reset_peak(),
        "import_seconds": imported.seconds,
        "start_rss_bytes": host.rss_bytes(),
        "static_analysis": xla.program_memory(jax.jit(lambda x: x + 1).lower(1.0).compile()) is not None,
    }
    if task.measure_rates:
        from scaleprof.probes import rates

        facts |= {
            "matmul_flops_per_second": rates.matmul_flops_per_second(),
            "copy_bytes_per_second": rates.copy_bytes_per_second(),
        }
    return facts


def import_libraries() -> None:
    """Import jax and everything else that a measurement needs."""
    importlib.import_module("scaleprof.worker.programs")


def measure(task: Task, events: TextIO) -> None:
    """Compile, warm up and measure one point, sending facts as soon as they are known; or only plan it."""
    assert task.point is not None
    if is_custom(task.point.model) or scenarios.is_custom(task.point.scenario):
        sys.path.insert(0, os.getcwd())  # As for a user's script; the project's own modules take precedence.
    send(events, "phase", name="start")
    imported = timing.timed_host(import_libraries)
    import jax

    from scaleprof.worker.programs import Programs

    if task.measure == PLAN:
        from scaleprof.worker.plan_point import plan_point

        plan_point(task, events, import_seconds=imported.seconds)
        return
    if task.measure == EXPLAIN:
        from scaleprof.worker.explain_point import explain_point

        explain_point(task, events, import_seconds=imported.seconds)
        return
    device = jax.devices()[0]
    send(
        events,
        "facts",
        import_seconds=imported.seconds,
        platform=device.platform,
        device=device.device_kind,
        pinned_cpus=" ".join(str(cpu) for cpu in task.pin),
        host_rss_start_bytes=host.rss_bytes(),
    )
    batching, tried = task.point.batching, 0.0
    if batching == AUTO:
        from scaleprof.worker.batching import faster_batching

        began = time.monotonic()
        batching = task.batching or faster_batching(task.point, events)
        tried = time.monotonic() - began
    programs = Programs(task.point, batching)
    send(events, "facts", **programs.facts())
    if task.measure == BETWEEN:
        plan_between(programs, task, device, events)
        return
    compiling = compile_programs(programs, task, device, events)
    if device.platform == "cpu":  # not earlier: a compiler that fails to allocate crashes without a usable message
        host.limit_data(task.memory_limit_bytes)
    ran = run_programs(programs, task, device, events, compiled_here=compiling.here)
    send(events, "facts", worked_seconds=tried + compiling.seconds + ran)
