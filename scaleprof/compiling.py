"""In the child: trace and compile a point's programs, and stop before the first that cannot fit its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from scaleprof.probes import arithmetic, host, timing, xla
from scaleprof.probes import device as device_probe
from scaleprof.protocol import MEMORY, Task, send

if TYPE_CHECKING:
    import jax

    from scaleprof.programs import Programs

MEASURED = ("act", "rollout", "learn")
"""The programs that a record has figures of; `init` and `environment` are small beside them."""
OVER_BUDGET = 1.05
"""How far above its budget a prediction must be to be believed without a run."""


class PredictedOomError(Exception):
    """XLA's figure says that the point cannot fit its memory budget."""


def compile_programs(programs: Programs, task: Task, device: jax.Device, events: TextIO) -> float:
    """Compile all programs one by one and tell what each took and needs; returns the seconds that took.

    Raises `PredictedOomError` at the first that cannot fit the budget.
    """
    budget = task.memory_limit_bytes
    if device.platform != "cpu":
        budget = min(budget, device_probe.allocator_limit_bytes(device) or budget)
    _, _, times = compile_program(programs, "init")
    worked = sum(times.values())
    program_peak = compile_peak = 0
    unseen = False
    work = arithmetic.Work(0.0, 0.0)
    uncounted = False
    for name in MEASURED:
        send(events, "phase", name=f"compile {name}")
        host.reset_peak()
        compiled, jaxpr, times = compile_program(programs, name)
        worked += sum(times.values())
        facts: dict[str, Any] = dict(times)
        if task.compile_cache == "read":  # a time of reading files is not a time of compiling
            facts.pop(f"compile_{name}_seconds")
        compile_peak = max(compile_peak, host.peak_rss_bytes() or 0)
        memory = xla.program_memory(compiled)
        if memory is not None:
            facts |= {f"xla_{name}_{kind}": size for kind, size in memory._asdict().items()}
            program_peak = max(program_peak, memory.peak_bytes)
            unseen = unseen or xla.has_unseen_memory(compiled)
            facts |= {"xla_peak_bytes": program_peak, "xla_bound": "lower" if unseen else "exact"}
        if name != "act":  # an update is one rollout and one learning
            counted = arithmetic.work_of(jaxpr, while_trips=programs.while_trips)
            work = arithmetic.Work(work.flops + counted.flops, work.traffic_bytes + counted.traffic_bytes)
            uncounted = uncounted or bool(arithmetic.uncounted(jaxpr))
        send(events, "facts", **facts)
        host.release_free_memory()
        resident = host.rss_bytes() if device.platform == "cpu" else 0
        if program_peak + resident > OVER_BUDGET * budget:
            raise PredictedOomError(
                f"the {name} step needs {gib(program_peak)} by XLA's analysis"
                f"{f' beside {gib(resident)} resident' if resident else ''}, the limit is {gib(budget)}"
            )
    send(
        events,
        "facts",
        flops_per_update=None if uncounted else work.flops,
        traffic_bytes_per_update=None if uncounted else work.traffic_bytes,
        compile_cache=task.compile_cache,
        host_compile_peak_bytes=compile_peak if task.compile_cache != "read" and compile_peak else None,
        device_compile_peak_bytes=device_probe.allocator_peak_bytes(device),
    )
    if task.measure != MEMORY:
        send(events, "phase", name="compile environment")
        _, _, times = compile_program(programs, "environment")
        worked += sum(times.values())
    return worked


def compile_program(programs: Programs, name: str) -> tuple[jax.stages.Compiled, Any, dict[str, float]]:
    """The compiled program, its jaxpr, and what tracing (with lowering) and compiling took."""
    traced = timing.timed_host(programs.trace, name)
    lowered = timing.timed_host(traced.result.lower)
    compiled = timing.timed_host(programs.compile, name, lowered.result)
    facts = {
        f"trace_{name}_seconds": traced.seconds + lowered.seconds,
        f"compile_{name}_seconds": compiled.seconds,
    }
    return compiled.result, traced.result.jaxpr, facts


def gib(size: float) -> str:
    """A size for a reason's text."""
    return f"{size / 2**30:.1f} GiB"
