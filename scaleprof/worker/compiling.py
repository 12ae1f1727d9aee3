"""In the child: trace and compile a point's programs, and stop at the first that cannot fit into memory."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from functools import partial
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
LONGEST_FIRST = ("learn", "rollout", "act", "init", "environment", "refresh", "inspect")
"""The order in which programs that compile together start."""
THREADS = 3
"""Programs that compile at a time. XLA releases the interpreter lock, and one program does not keep two cores busy."""
UNTIMED = ("init", "inspect")
"""Programs of which no time is measured."""
QUICK_OPTIONS: Mapping[str, Mapping[str, Any]] = {"cpu": {"xla_backend_optimization_level": 0}}
"""XLA's options by platform for programs whose time does not matter: they compile faster, with the same buffers."""
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


class Built(NamedTuple):
    """A compiled program."""

    name: str
    compiled: jax.stages.Compiled
    jaxpr: Any
    facts: dict[str, float]
    """The times of tracing (with lowering) and of compiling, if nothing else ran meanwhile."""


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


class Plan:
    """What XLA plans for the measured programs, as far as they are compiled, against the budget."""

    def __init__(self, budget_bytes: int, while_trips: float) -> None:
        self._budget = budget_bytes
        self._while_trips = while_trips
        self._largest, self._peak_bytes = "", 0
        self._unseen = self._uncounted = False
        self._work = arithmetic.Work(0.0, 0.0)

    def add(self, built: Built) -> dict[str, Any]:
        """Add a program; returns the figures that it changes."""
        if built.name != "act":  # an update is one rollout and one learn
            counted = arithmetic.work_of(built.jaxpr, while_trips=self._while_trips)
            work = self._work
            self._work = arithmetic.Work(work.flops + counted.flops, work.traffic_bytes + counted.traffic_bytes)
            self._uncounted = self._uncounted or bool(arithmetic.uncounted(built.jaxpr))
        memory = xla.program_memory(built.compiled)
        if memory is None:
            return {}
        if memory.peak_bytes > self._peak_bytes:
            self._largest, self._peak_bytes = built.name, memory.peak_bytes
        self._unseen = self._unseen or xla.has_unseen_memory(built.compiled)
        return {f"xla_{built.name}_{kind}": size for kind, size in memory._asdict().items()} | {
            "xla_peak_bytes": self._peak_bytes,
            "xla_bound": "lower" if self._unseen else "exact",
        }

    def check(self, resident_bytes: int) -> None:
        """Raise `PredictedOomError` if the programs so far cannot fit the budget beside what is resident."""
        if self._peak_bytes + resident_bytes > OVER_BUDGET * self._budget:
            raise PredictedOomError(
                f"the {self._largest} program needs {format_bytes(self._peak_bytes)} by XLA's analysis"
                f"{f' plus {format_bytes(resident_bytes)} already resident' if resident_bytes else ''}; "
                f"the limit is {format_bytes(self._budget)}"
            )

    def work(self) -> dict[str, float | None]:
        """The arithmetic and traffic of one update; None if some of it cannot be counted."""
        return {
            "flops_per_update": None if self._uncounted else self._work.flops,
            "traffic_bytes_per_update": None if self._uncounted else self._work.traffic_bytes,
        }


def compile_programs(programs: Programs, task: Task, device: jax.Device, events: TextIO) -> Compiling:
    """Compile all programs, at the same time if the task says so, and send what is known of each as it is ready.

    On a device other than the CPU they are compiled one by one: a compiler that times kernels on the device must have
    it for itself. Raises `PredictedOomError` at the first program that cannot fit the budget.
    """
    names = ["init", *MEASURED, "inspect"]
    if task.measure != MEMORY:
        names += ["environment", *(["refresh"] if programs.pool_size else [])]
    together = task.compile_together and device.platform == "cpu"
    budget = task.memory_limit_bytes
    if device.platform != "cpu":
        budget = min(budget, device_probe.allocator_limit_bytes(device) or budget)
    plan, cache, began = Plan(budget, programs.while_trips), CacheUse(), time.monotonic()
    reset, resident = host.reset_peak(), resident_bytes(device)
    build_all = build_together if together else build_one_by_one
    with closing(build_all(programs, names, quick_options(UNTIMED, device), events)) as ready:
        for built in ready:
            facts = built.facts
            if cache.was_read():  # reading a file is not compiling
                facts.pop(f"compile_{built.name}_seconds", None)
            if built.name in MEASURED:
                send(events, "facts", **facts, **plan.add(built))
                plan.check(
                    resident if together else resident_bytes(device)
                )  # those that still compile will free theirs
    plan.check(resident_bytes(device))
    seconds, here = time.monotonic() - began, cache.reads == 0
    send(
        events,
        "facts",
        **plan.work(),
        compiling="together" if together else "one by one",
        compile_seconds=seconds if here else None,
        compile_cache=cache.summary,
        host_compile_peak_bytes=host.peak_rss_bytes() if reset and here else None,
        device_compile_peak_bytes=device_probe.allocator_peak_bytes(device),
    )
    return Compiling(seconds, here)


def plan_between(programs: Programs, task: Task, device: jax.Device, events: TextIO) -> None:
    """Compile the measured programs as quickly as possible, send what XLA plans for them, and run nothing.

    The plan is that of the program that would run: on a CPU, unoptimised code has the same buffers.
    """
    plan = Plan(task.memory_limit_bytes, programs.while_trips)
    together = task.compile_together and device.platform == "cpu"
    build_all = build_together if together else build_one_by_one
    with closing(build_all(programs, MEASURED, quick_options(MEASURED, device), events)) as ready:
        for built in ready:
            send(events, "facts", **plan.add(built))
    send(events, "facts", **plan.work(), compiling="together" if together else "one by one")


def quick_options(names: Sequence[str], device: jax.Device) -> dict[str, Mapping[str, Any]]:
    """The options of `QUICK_OPTIONS` for these programs; none on other platforms."""
    options = QUICK_OPTIONS.get(device.platform)
    return {} if options is None else dict.fromkeys(names, options)


def resident_bytes(device: jax.Device) -> int:
    """What this process holds of the memory that the device's programs use."""
    host.release_free_memory()
    return host.rss_bytes() if device.platform == "cpu" else 0


def build_one_by_one(
    programs: Programs,
    names: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    events: TextIO,
    platforms: tuple[str, ...] | None = None,
) -> Generator[Built]:
    """Trace and compile programs one after the other, and time each. `options` are XLA's, by program.

    `platforms` are those to lower for, if they are not jax's own.
    """
    for name in names:
        send(events, "phase", name=f"compile {name}")
        traced = timing.timed_host(programs.trace, name)
        lower = traced.result.lower
        lowered = timing.timed_host(lower if platforms is None else partial(lower, lowering_platforms=platforms))
        compiled = timing.timed_host(programs.compile, name, lowered.result, options.get(name))
        facts = {
            f"trace_{name}_seconds": traced.seconds + lowered.seconds,
            f"compile_{name}_seconds": compiled.seconds,
        }
        yield Built(name, compiled.result, traced.result.jaxpr, facts)


def build_together(
    programs: Programs, names: Sequence[str], options: Mapping[str, Mapping[str, Any]], events: TextIO
) -> Generator[Built]:
    """Trace programs one after the other while others compile; each comes when it is ready.

    Nothing is timed, since each waits for the others. `options` are XLA's, by program.
    """
    send(events, "phase", name="compile")
    threads = ThreadPoolExecutor(THREADS)
    try:
        running: dict[Future[jax.stages.Compiled], tuple[str, Any]] = {}
        for name in sorted(names, key=LONGEST_FIRST.index):
            traced = programs.trace(name)
            running[threads.submit(programs.compile, name, traced.lower(), options.get(name))] = name, traced.jaxpr
        for future in as_completed(running):
            name, jaxpr = running[future]
            yield Built(name, future.result(), jaxpr, {})
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
