"""In the child: run compiled programs until their times are steady, then measure them."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from scaleprof.launch.protocol import GO, LONG_SECONDS, Task, send
from scaleprof.points.plan import MEMORY, TOGETHER
from scaleprof.probes import device as device_probe
from scaleprof.probes import host, timing
from scaleprof.probes.contention import CpuContention
from scaleprof.worker.sample_statistics import Sample, summarise, total_seconds

if TYPE_CHECKING:
    import jax

    from sable.types import TrainState
    from scaleprof.worker.programs import Programs
    from scaleprof.worker.stopwatch import MeasuredTraining

MEMORY_UPDATES = 2
"""Updates after which memory has peaked: the first allocates, the second reuses.

Where one takes `LONG_SECONDS` it is the only one: at 6 GB the second adds 0.6 %.
"""
WINDOW = 4
SPREAD = 0.2
"""Times are steady if the last `WINDOW` differ by at most this fraction of the shortest."""
WARMUP_FACTOR = 5
WARMUP_SECONDS = 10.0
"""Warm-up ends as unsteady after this many times the requested updates, or after this long."""
BURST_SECONDS = 0.1
"""Minimum time of a burst of updates when two processes take turns."""
ALONE_SECONDS = 0.3
ALONE_REPEATS = (3, 50)
"""Acting alone and the environment alone are each timed for about this long, within these numbers of calls."""
SPARE_SECONDS = 2.0
"""What a child keeps before its deadline for short programs, and to report."""


def has_time(task: Task, last: Sample, updates: int = 1) -> bool:
    """Whether so many more updates like `last`, and what is timed after them, end before the task's deadline."""
    if not task.deadline:
        return True
    alone = (1 + ALONE_REPEATS[0]) * last["rollout_seconds"] + SPARE_SECONDS
    return time.monotonic() + updates * last["update_seconds"] + alone < task.deadline


def run_programs(
    programs: Programs, task: Task, device: jax.Device, events: TextIO, *, compiled_here: bool = True
) -> float:
    """Warm up and measure compiled programs; returns the seconds that they ran.

    Memory peaks are reset first, so that they exclude compilation. Where one process measures memory and speed, memory
    comes first, with the allocator set so that it repeats, if that can be done.
    """
    from scaleprof.worker.stopwatch import MeasuredTraining

    assert task.point is not None
    fixed = task.measure == TOGETHER and host.fix_mmap_threshold()
    host.release_free_memory()
    reset = host.reset_peak()
    base = host.rss_bytes()
    send(events, "facts", host_base_bytes=base, allocator_fixed=fixed)

    send(events, "phase", name="memory" if fixed else "warm up")
    training = MeasuredTraining(programs, programs.init(task.point.seed, task.point.repeat), events)
    send(events, "facts", device_input_peak_bytes=device_probe.allocator_peak_bytes(device))
    start_params = programs.to_host(training.trainer.state.params)  # the first rollout donates the state
    before: list[Sample] = []
    if fixed or task.measure == MEMORY:
        before = run_for_memory(training, task, "memory" if fixed else "warm up")
    else:
        send(events, "facts", **measure_updates(training, task, events))
    peak = host.peak_rss_bytes() if reset else None
    send(
        events,
        "facts",
        device_peak_bytes=device_probe.allocator_peak_bytes(device),
        host_rss_peak_bytes=peak if compiled_here else None,  # a cached program leaves out what compiling allocates
        host_peak_rise_bytes=None if peak is None else max(peak - base, 0),
    )
    if task.measure == MEMORY:
        return training.seconds
    if fixed:
        host.raise_mmap_threshold()
        send(events, "phase", name="warm up")
        send(events, "facts", **measure_updates(training, task, events, before))
        send(events, "facts", device_peak_bytes=device_probe.allocator_peak_bytes(device))
    trainer = training.trainer
    send(events, "phase", name="act and environment alone")
    if programs.pool_size:
        trainer.refresh()
    act, environment = (time_alone(program, trainer.state) for program in (programs.act, programs.environment))
    send(
        events,
        "facts",
        act_seconds=statistics.median(act[1:]),
        env_seconds=statistics.median(environment[1:]),
        reset_seconds=statistics.median(training.refresh_seconds) / programs.pool_size if programs.pool_size else None,
        parameters_moved=programs.distance(start_params, trainer.state.params),
        episode_return=trainer.episode_return(),
        episode_length=trainer.episode_length(),
    )
    return training.seconds + sum(act) + sum(environment)


def run_for_memory(training: MeasuredTraining, task: Task, phase: str) -> list[Sample]:
    """Updates until memory has peaked, or there is no time for another."""
    samples: list[Sample] = []
    while len(samples) < MEMORY_UPDATES:
        if samples and (samples[-1]["update_seconds"] >= LONG_SECONDS or not has_time(task, samples[-1])):
            break
        samples.append(training.update(phase))
    training.flush()
    return samples


def measure_updates(
    training: MeasuredTraining, task: Task, events: TextIO, before: Sequence[Sample] = ()
) -> dict[str, Any]:
    """Warm up, then measure whole updates; returns fields of the record.

    `before` are updates that ran already: they count as warm-up if they are too long to run more.
    """
    assert task.point is not None
    if before and before[-1]["update_seconds"] >= LONG_SECONDS:
        warmup, discarded = "short_warmup", list(before)
    else:
        warmup, discarded = warm_up(
            lambda: training.update("warm up"), task.warmup_updates, lambda last: has_time(task, last, 2), before
        )
        discarded = [*before, *discarded]
    training.flush()
    send(events, "phase", name="measure")
    contention = CpuContention()
    samples: list[Sample] = []
    if task.burst:
        for burst in itertools.takewhile(lambda _: wait_for_turn(training, events), itertools.count()):
            with contention:
                samples += measure_burst(training, task.burst, burst)
    else:
        with contention:
            last = discarded[-1] if discarded else None
            while len(samples) < task.min_updates or total_seconds(samples) < task.min_seconds:
                if last is not None and not has_time(task, last):
                    break
                last = training.update("measure")
                samples.append(last)
    training.flush()
    if not samples:  # then those before are all that there is
        samples, discarded = discarded, []
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


def measure_burst(training: MeasuredTraining, least: int, number: int) -> list[Sample]:
    """At least `least` updates, for at least `BURST_SECONDS`."""
    samples: list[Sample] = []
    while len(samples) < least or total_seconds(samples) < BURST_SECONDS:
        samples.append(training.update("measure", burst=number))
    return samples


def wait_for_turn(training: MeasuredTraining, events: TextIO) -> bool:
    """Report the end of a burst and sleep until the next may begin; False if there is none."""
    training.flush()
    send(events, "ready")
    return sys.stdin.readline().strip() == GO


def warm_up(
    update: Callable[[], Sample],
    least: int,
    has_time: Callable[[Sample], bool] = lambda last: True,
    before: Sequence[Sample] = (),
) -> tuple[str, list[Sample]]:
    """Update until times are steady; returns the outcome and the samples, which do not count as measured.

    `steady`: at least `least` updates, the last `WINDOW` of which took about the same time. `unsteady`: that was not
    reached. `short_warmup`: fewer than `WINDOW` were requested, a single one takes `LONG_SECONDS`, or there is no time
    for another like the last one (at first, the last of `before`).
    """
    samples: list[Sample] = []
    while len(samples) < least:
        if any(not has_time(last) for last in [*before, *samples][-1:]):
            return "short_warmup", samples
        samples.append(update())
        if samples[-1]["update_seconds"] >= LONG_SECONDS:
            return "short_warmup", samples
    if least < WINDOW:
        return "short_warmup", samples
    while not is_steady(samples):
        if (
            len(samples) >= WARMUP_FACTOR * least
            or total_seconds(samples) > WARMUP_SECONDS
            or not has_time(samples[-1])
        ):
            return "unsteady", samples
        samples.append(update())
    return "steady", samples


def is_steady(samples: list[Sample]) -> bool:
    """Whether the last `WINDOW` updates took about the same time."""
    seconds = [sample["update_seconds"] for sample in samples[-WINDOW:]]
    return max(seconds) <= (1.0 + SPREAD) * min(seconds)


def time_alone(program: Callable[..., Any], state: TrainState) -> list[float]:
    """Wall times of a program that does not donate the state; the first call is a warm-up, not to be counted."""
    least, most = ALONE_REPEATS
    seconds = [timing.timed(program, state).seconds]
    while len(seconds) <= least or (sum(seconds[1:]) < ALONE_SECONDS and len(seconds) <= most):
        seconds.append(timing.timed(program, state).seconds)
    return seconds
