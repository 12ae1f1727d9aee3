"""In the child: run compiled programs until their times are steady, then measure them."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from scaleprof.launch.protocol import GO, LONG_SECONDS, Task, send
from scaleprof.points.plan import MEMORY
from scaleprof.probes import device as device_probe
from scaleprof.probes import host, timing

if TYPE_CHECKING:
    import jax

    from sable.training.ppo import Metrics
    from sable.types import TrainState
    from scaleprof.worker.programs import Programs

Sample = dict[str, float]

MEMORY_UPDATES = 2
"""Updates after which a child that only measures memory has seen its peak: the first allocates, the second reuses."""
WINDOW = 4
SPREAD = 0.2
"""Times are steady when the last `WINDOW` differ by no more than this fraction of the shortest: drift, not noise."""
WARMUP_FACTOR = 5
WARMUP_SECONDS = 10.0
"""Warming up is given up as unsteady after this many times the updates asked for, or after this long."""
REFRESH_UPDATES = 8
"""Updates between two makings of the pool of starts."""
BURST_SECONDS = 0.1
"""How long the updates of one turn take at least, where two processes take turns."""
CONTENDED = 0.15
"""The share of its cores that others may use before a point's times are called contended."""
FLUSH_SECONDS = 0.2
"""How often updates are told of at most: the parent is not to be woken by each of a thousand a second."""
ALONE_SECONDS = 0.3
ALONE_REPEATS = (3, 50)
"""Acting alone and the environment alone are each timed for about this long, at least and at most this often."""


def run_programs(
    programs: Programs, task: Task, device: jax.Device, events: TextIO, *, compiled_here: bool = True
) -> float:
    """Warm up and measure compiled programs; returns the seconds that they ran.

    Memory peaks begin here, so that compiling is not in them.
    """
    assert task.point is not None
    host.release_free_memory()
    reset = host.reset_peak()
    base = host.rss_bytes()
    send(events, "facts", host_base_bytes=base)

    send(events, "phase", name="warm up")
    trainer = Trainer(programs, programs.init(task.point.seed, task.point.repeat), events)
    send(events, "facts", device_input_peak_bytes=device_probe.allocator_peak_bytes(device))
    start_params = programs.to_host(trainer.state.params)  # the state is donated to the first rollout
    if task.measure == MEMORY:
        for _ in range(MEMORY_UPDATES):
            trainer.update("warm up")
        trainer.flush()
    else:
        send(events, "facts", **measure_updates(trainer, task, events))
    peak = host.peak_rss_bytes() if reset else None
    send(
        events,
        "facts",
        device_peak_bytes=device_probe.allocator_peak_bytes(device),
        host_rss_peak_bytes=peak if compiled_here else None,  # else without what compiling leaves behind
        host_peak_rise_bytes=None if peak is None else max(peak - base, 0),
    )
    if task.measure == MEMORY:
        return trainer.seconds
    send(events, "phase", name="act and environment alone")
    if programs.pool_size:
        trainer.refresh()
    act, environment = (time_alone(program, trainer.state) for program in (programs.act, programs.environment))
    send(
        events,
        "facts",
        act_seconds=statistics.median(act[1:]),
        env_seconds=statistics.median(environment[1:]),
        reset_seconds=statistics.median(trainer.refresh_seconds) / programs.pool_size if programs.pool_size else None,
        parameters_moved=programs.distance(start_params, trainer.state.params),
        episode_return=programs.episode_return(trainer.state),
        episode_length=programs.episode_length(trainer.state),
    )
    return trainer.seconds + sum(act) + sum(environment)


class Trainer:
    """A training run that goes on update by update, each timed and told."""

    def __init__(self, programs: Programs, state: TrainState, events: TextIO) -> None:
        self.state = state
        self.seconds = 0.0
        """What all its updates took so far, and the making of starts between them."""
        self.refresh_seconds: list[float] = []
        self._done = 0
        self._programs = programs
        self._events = events
        self._phase = ""
        self._updates = 0
        self._pending: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()

    def update(self, phase: str, **labels: int) -> Sample:
        """One rollout and the learning from it, each timed to the last array; updates are counted by phase.

        `labels` go along with what is told of it. What the environments did is looked at in between, untimed; raises
        `ValueError` where no model could learn from it.
        """
        if phase != self._phase:
            self._phase, self._updates = phase, 0
        if self._programs.pool_size and self._done % REFRESH_UPDATES == REFRESH_UPDATES - 1:
            self.refresh()
        self._done += 1
        rollout = timing.timed(self._programs.rollout, self.state)
        state, trajectory = rollout.result
        if defect := self._programs.defects(trajectory):
            raise ValueError(f"the scenario: {defect}")
        learn = timing.timed(self._programs.learn, state, trajectory)
        self.state, metrics = learn.result
        sample = {
            "rollout_seconds": rollout.seconds,
            "learn_seconds": learn.seconds,
            "update_seconds": rollout.seconds + learn.seconds,
            "update_cpu_seconds": rollout.cpu_seconds + learn.cpu_seconds,
            **as_floats(metrics),
        }
        self._pending.append({"update": self._updates, "phase": phase, **labels, **sample})
        self._updates += 1
        self.seconds += sample["update_seconds"]
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()
        return sample

    def refresh(self) -> None:
        """Make new starts for the episodes to come, outside of what is measured."""
        made = timing.timed(self._programs.refresh, self.state)
        self.state = made.result
        self.refresh_seconds.append(made.seconds)
        self.seconds += made.seconds

    def flush(self) -> None:
        """Tell of the updates that were not told of yet."""
        if self._pending:
            send(self._events, "samples", samples=self._pending)
        self._pending, self._flushed_at = [], time.monotonic()


def measure_updates(trainer: Trainer, task: Task, events: TextIO) -> dict[str, Any]:
    """Warm up, then measure whole updates; returns fields of the record."""
    assert task.point is not None
    warmup, discarded = warm_up(lambda: trainer.update("warm up"), task.warmup_updates)
    trainer.flush()
    send(events, "phase", name="measure")
    contention = CpuContention()
    samples: list[Sample] = []
    if task.burst:
        for burst in itertools.takewhile(lambda _: wait_for_turn(trainer, events), itertools.count()):
            with contention:
                samples += measure_burst(trainer, task.burst, burst)
    else:
        with contention:
            while len(samples) < task.min_updates or total_seconds(samples) < task.min_seconds:
                samples.append(trainer.update("measure"))
    trainer.flush()
    seconds = total_seconds(samples)
    return {
        "first_update_seconds": discarded[0]["update_seconds"] if discarded else None,
        "warmup": warmup,
        "warmup_updates": len(discarded),
        "measured_updates": len(samples),
        "measured_seconds": seconds,
        **contention.fields(),
        **summarise(samples, task.point.envs * task.point.seq_len, task.point.agents),
    }


def measure_burst(trainer: Trainer, least: int, number: int) -> list[Sample]:
    """Updates of one turn: at least so many, and for at least `BURST_SECONDS`."""
    samples: list[Sample] = []
    while len(samples) < least or total_seconds(samples) < BURST_SECONDS:
        samples.append(trainer.update("measure", burst=number))
    return samples


def wait_for_turn(trainer: Trainer, events: TextIO) -> bool:
    """Tell that a burst is over and sleep until the next may begin; false when there is none."""
    trainer.flush()
    send(events, "ready")
    return sys.stdin.readline().strip() == GO


def warm_up(update: Callable[[], Sample], least: int) -> tuple[str, list[Sample]]:
    """Update until times are steady; returns how that went and the samples, which are not to be measured.

    `steady` after at least `least` updates, the last `WINDOW` of which took about the same time. `unsteady` where that
    does not come about. `short_warmup` where fewer than `WINDOW` are asked for or a single one takes `LONG_SECONDS`.
    """
    samples: list[Sample] = []
    while len(samples) < least:
        samples.append(update())
        if samples[-1]["update_seconds"] >= LONG_SECONDS:
            return "short_warmup", samples
    if least < WINDOW:
        return "short_warmup", samples
    while not is_steady(samples):
        if len(samples) >= WARMUP_FACTOR * least or total_seconds(samples) > WARMUP_SECONDS:
            return "unsteady", samples
        samples.append(update())
    return "steady", samples


def is_steady(samples: list[Sample]) -> bool:
    """Whether the last `WINDOW` updates took about the same time."""
    seconds = [sample["update_seconds"] for sample in samples[-WINDOW:]]
    return max(seconds) <= (1.0 + SPREAD) * min(seconds)


def total_seconds(samples: list[Sample]) -> float:
    """What the updates took together."""
    return sum(sample["update_seconds"] for sample in samples)


class CpuContention:
    """Who else uses this process's cores while updates are measured: a context manager around them, more than once too.

    Others' share of the cores, and how long this process's threads waited for one.
    """

    def __init__(self) -> None:
        self._cpus = host.usable_cpus()
        self._totals: list[float | None] = [0.0, 0.0, 0.0, 0.0]
        self._start: tuple[float | None, ...] = ()

    def __enter__(self) -> None:
        self._start = self._now()

    def __exit__(self, *_: object) -> None:
        spans = zip(self._totals, self._start, self._now(), strict=True)
        self._totals = [None if None in (sofar, a, b) else sofar + b - a for sofar, a, b in spans]  # type: ignore[operator]

    def _now(self) -> tuple[float | None, ...]:
        return host.run_delay_seconds(), host.busy_seconds(self._cpus), self._own(), self._clock()

    def _own(self) -> float:
        return time.process_time()

    def _clock(self) -> float:
        return time.monotonic()

    def fields(self) -> dict[str, Any]:
        """Fields of the record; None where the kernel does not count, or a thread that had waited has ended."""
        delay, busy, own, seconds = self._totals
        others = None
        if busy is not None and own is not None and seconds:
            others = max(busy - own, 0.0) / (seconds * len(self._cpus))
        return {
            "run_delay_seconds": None if delay is None or delay < 0 else delay,
            "others_cpu_share": others,
            "contended": None if others is None else int(others > CONTENDED),
        }


def time_alone(program: Callable[..., Any], state: TrainState) -> list[float]:
    """Wall times of a program that leaves the state as it is; the first is one more, and not to be counted."""
    least, most = ALONE_REPEATS
    seconds = [timing.timed(program, state).seconds]
    while len(seconds) <= least or (sum(seconds[1:]) < ALONE_SECONDS and len(seconds) <= most):
        seconds.append(timing.timed(program, state).seconds)
    return seconds


def as_floats(metrics: Metrics) -> dict[str, float]:
    """Metrics as plain numbers by name."""
    return {name: float(value) for name, value in metrics._asdict().items()}


def summarise(samples: list[Sample], env_steps: int, agents: int) -> dict[str, float | None]:
    """A record's times and throughput from the measured updates, and the metrics of the last one."""
    updates = sorted(sample["update_seconds"] for sample in samples)
    median = statistics.median(updates)
    metrics = {name: value for name, value in samples[-1].items() if not name.endswith("_seconds")}
    return {
        "rollout_seconds": statistics.median(sample["rollout_seconds"] for sample in samples),
        "learn_seconds": statistics.median(sample["learn_seconds"] for sample in samples),
        "update_seconds": median,
        "update_min_seconds": updates[0],
        "update_p25_seconds": percentile(updates, 25),
        "update_p90_seconds": percentile(updates, 90),
        "update_cv": statistics.stdev(updates) / statistics.mean(updates) if len(updates) > 1 else None,
        "update_cpu_seconds": statistics.median(sample["update_cpu_seconds"] for sample in samples),
        "env_steps_per_second": env_steps / median,
        "agent_steps_per_second": env_steps * agents / median,
        **metrics,
    }


def percentile(ordered: list[float], percent: int) -> float:
    """A percentile of sorted values, linear between neighbours."""
    if len(ordered) == 1:
        return ordered[0]
    return statistics.quantiles(ordered, n=100, method="inclusive")[percent - 1]
