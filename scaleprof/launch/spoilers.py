"""What spoils measurements on this machine at this moment, in a few words each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from reports.text.units import counted, format_bytes
from scaleprof.launch.host_description import governor
from scaleprof.probes import cgroup, host
from scaleprof.probes.kernel_files import kernel_text
from scaleprof.probes.nvml import Nvml, load_nvml

DEBUGGING = {
    "JAX_DEBUG_NANS": "every program is checked for NaN, and buffers are not reused (donation is off)",
    "JAX_DEBUG_INFS": "every program is checked for infinity, and buffers are not reused (donation is off)",
    "JAX_DISABLE_JIT": "nothing is compiled",
    "JAX_ENABLE_CHECKS": "jax checks itself",
    "JAX_CHECK_TRACER_LEAKS": "jax looks for leaked tracers",
    "JAX_LOG_COMPILES": "every compilation is logged",
}
"""Variables that make programs other ones, or slower, with what they do (jax's documentation of its options)."""
_OFF = ("", "0", "false", "no", "off")
DUMPS = "--xla_dump_to"
BUSY = 0.5
"""The load of the last minute, per core asked for, from which the machine counts as busy."""
SWAPPED_BYTES = 2**28
THROTTLED = "/sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count"


def spoilers(
    variables: Mapping[str, str],
    pin: Sequence[int] = (),
    *,
    load: Callable[[], tuple[float, float, float]] = os.getloadavg,
    swapped: Callable[[], int] = lambda: int(psutil.swap_memory().used),
    throttled: Callable[[], int | None] | None = None,
    nvml: Callable[[], Nvml] = lambda: Nvml(load_nvml()),
) -> list[str]:
    """Everything found; empty on a machine that measures well.

    Args:
        variables: those of the processes that measure.
        pin: the cores that they are pinned to; empty are all usable ones.
        load: the mean number of running processes over 1, 5 and 15 minutes.
        swapped: bytes of memory that were moved to disk.
        throttled: how often the processor slowed down because of heat; by default `throttle_count`.
        nvml: the driver of the GPUs.
    """
    cores = len(pin) or len(host.usable_cpus())
    debugging = {name: what for name, what in DEBUGGING.items() if variables.get(name, "").lower() not in _OFF}
    found = [f"{name} is set: {what}" for name, what in debugging.items()]
    if DUMPS in variables.get("XLA_FLAGS", ""):
        found.append(f"XLA_FLAGS holds {DUMPS}: XLA writes files while it compiles")
    policy = governor()
    if policy not in (None, "performance"):
        found.append(f"CPU frequency governor {policy}: the clock changes with the load (performance does not)")
    quota = cgroup.cpu_quota()
    if quota is not None and quota < cores:
        found.append(f"the control group allows {quota:g} of {cores} cores: more are stopped and started")
    busy = load()[0]
    if busy > BUSY * cores:
        found.append(f"other processes run: load {busy:.1f} on {counted(cores, 'core')}")
    moved = swapped()
    if moved > SWAPPED_BYTES:
        found.append(f"{format_bytes(moved)} of memory are swapped to disk")
    times = (throttled or throttle_count)()
    if times:
        found.append(f"the processor has slowed down because of heat ({times} times since it started)")
    return found + lowered_clocks(nvml())


def lowered_clocks(nvml: Nvml) -> list[str]:
    """The GPUs whose clock is lowered now, and why; an idle one counts as quiet."""
    reasons = {index: nvml.sample(os.getpid(), index).throttle_reasons for index in range(nvml.card_count)}
    return [f"card {index} has lowered its clock: {', '.join(why)}" for index, why in reasons.items() if why]


def throttle_count(pattern: str = THROTTLED) -> int | None:
    """How often the processor throttled since it started, over all packages; None where Linux does not say."""
    files = Path("/").glob(pattern.lstrip("/"))
    counts = [int(text) for file in files if (text := kernel_text(file) or "").isdigit()]
    return max(counts, default=None)
