"""In the child: trace and compile a point's programs, and stop at the first that cannot fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from reports.text.units import format_bytes
from scaleprof.launch.protocol import Task, send
from scaleprof.points.plan import MEMORY
from scaleprof.probes import arithmetic, host, timing, xla
from scaleprof.probes import device as device_probe

if TYPE_CHECKING:
    import jax

    from scaleprof.worker.programs import Programs

MEASURED = ("act", "rollout", "learn")
"""The programs with figures in the record; the others are small in comparison."""
CACHE_READ = "/jax/compilation_cache/cache_hits"
CACHE_WRITTEN = "/jax/compilation_cache/cache_misses"
"""Names of the events of jax's compilation cache (`jax._src.compiler` of 0.10)."""
OVER_BUDGET = 1.05
"""Predicted memory / budget above which a point counts as out of memory without being run."""


class Compiling(NamedTuple):
    """The outcome of compiling."""

    seconds: float
    here: bool
    """Whether every measured program was compiled in this process, none read from the cache."""


class CacheUse:
    """Reads and writes of jax's persistent compilation cache, as reported by jax."""

    def __init__(self) -> None:
        from jax import monitoring

        self.reads = self.writes = 0
        self._seen = 0
        monitoring.register_event_listener(self._heard)

    def _heard(self, event: str, **_: Any) -> None:
        self.reads += event == CACHE_READ
        self.writes += event == CACHE_WRITTEN

    def was_read(self) -> bool:
        """Whether anything was read since the last call."""
        before, self._seen = self._seen, self.reads
        return self.reads > before

    @property
    def summary(self) -> str:
        """`off` if the cache was not used, else `read`, `written` or `mixed`."""
        if self.reads and self.writes:
            return "mixed"
        return "read" if self.reads else "written" if self.writes else "off"


class PredictedOomError(Exception):
    """By XLA's static analysis the point cannot fit its memory budget."""


def compile_programs(programs: Programs, task: Task, device: jax.Device, events: TextIO) -> Compiling:
    """Compile all programs one by one and send the time and memory of each.

    Raises `PredictedOomError` at the first that cannot fit the budget.
    """
    budget = task.memory_limit_bytes
    if device.platform != "cpu":
        budget = min(budget, device_probe.allocator_limit_bytes(device) or budget)
    send(events, "phase", name="compile init")
    _, _, times = compile_program(programs, "init")
    cache = CacheUse()
    worked = sum(times.values())
    program_peak = 0
    compile_peak: int | None = 0
    unseen = False
    work = arithmetic.Work(0.0, 0.0)
    uncounted = False
    for name in MEASURED:
        send(events, "phase", name=f"compile {name}")
        reset = host.reset_peak()
        compiled, jaxpr, times = compile_program(programs, name)
        worked += sum(times.values())
        facts: dict[str, Any] = dict(times)
        if cache.was_read():  # reading a file is not compiling
            facts.pop(f"compile_{name}_seconds")
        peak = host.peak_rss_bytes() if reset else None
        compile_peak = None if peak is None or compile_peak is None else max(compile_peak, peak)
        memory = xla.program_memory(compiled)
        if memory is not None:
            facts |= {f"xla_{name}_{kind}": size for kind, size in memory._asdict().items()}
            program_peak = max(program_peak, memory.peak_bytes)
            unseen = unseen or xla.has_unseen_memory(compiled)
            facts |= {"xla_peak_bytes": program_peak, "xla_bound": "lower" if unseen else "exact"}
        if name != "act":  # an update is one rollout and one learn
            counted = arithmetic.work_of(jaxpr, while_trips=programs.while_trips)
            work = arithmetic.Work(work.flops + counted.flops, work.traffic_bytes + counted.traffic_bytes)
            uncounted = uncounted or bool(arithmetic.uncounted(jaxpr))
        send(events, "facts", **facts)
        host.release_free_memory()
        resident = host.rss_bytes() if device.platform == "cpu" else 0
        if program_peak + resident > OVER_BUDGET * budget:
            raise PredictedOomError(
                f"the {name} program needs {format_bytes(program_peak)} by XLA's analysis"
                f"{f' plus {format_bytes(resident)} already resident' if resident else ''}; "
                f"the limit is {format_bytes(budget)}"
            )
    send(
        events,
        "facts",
        flops_per_update=None if uncounted else work.flops,
        traffic_bytes_per_update=None if uncounted else work.traffic_bytes,
        compile_cache=cache.summary,
        host_compile_peak_bytes=compile_peak if cache.reads == 0 else None,
        device_compile_peak_bytes=device_probe.allocator_peak_bytes(device),
    )
    here = cache.reads == 0
    others = ["inspect"]
    if task.measure != MEMORY:
        send(events, "phase", name="compile environment")
        others += ["environment", *(["refresh"] if programs.pool_size else [])]
    for name in others:
        _, _, times = compile_program(programs, name)
        worked += sum(times.values())
    return Compiling(worked, here)


def compile_program(programs: Programs, name: str) -> tuple[jax.stages.Compiled, Any, dict[str, float]]:
    """The compiled program, its jaxpr, and the times of tracing (with lowering) and of compiling."""
    traced = timing.timed_host(programs.trace, name)
    lowered = timing.timed_host(traced.result.lower)
    compiled = timing.timed_host(programs.compile, name, lowered.result)
    facts = {
        f"trace_{name}_seconds": traced.seconds + lowered.seconds,
        f"compile_{name}_seconds": compiled.seconds,
    }
    return compiled.result, traced.result.jaxpr, facts
