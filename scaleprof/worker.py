"""The child process: one point, from import to measured updates, told to the parent event by event.

Run as `python -m scaleprof.worker` with a task (`scaleprof.protocol.Task`) on stdin. Events go to what was stdout when
the process began; anything that libraries print goes to stderr. Events are

    phase   {name}                  a phase begins
    facts   {field: value, …}       fields of the record that are known from here on
    sample  {update, phase, …}      one finished update
    oom     {reason_code, reason}   the point cannot fit, or ran out of memory
    error   {reason}                the last line of an exception
    done    {}                      all measured
"""

from __future__ import annotations

import importlib
import os
import signal
import statistics
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from sable.models import is_own
from scaleprof.probes import device as device_probe
from scaleprof.probes import host, timing, xla
from scaleprof.protocol import OOM_SIGNS, Task, send, under_limit

if TYPE_CHECKING:
    import jax

    from sable.ppo import Metrics
    from sable.types import TrainState
    from scaleprof.programs import Programs

OVER_BUDGET = 1.05
"""How far above its budget a prediction must be to be believed without a run."""
ACT_SECONDS = 0.5
ACT_REPEATS = (5, 50)
"""Acting alone is timed for about `ACT_SECONDS`, at least and at most this often."""


def main() -> int:
    """Read one task from stdin, carry it out and tell of it; returns the exit code."""
    host.die_with_parent(signal.SIGKILL)
    # Ctrl-C is for the parent, which decides what becomes of its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = Task.from_json(sys.stdin.readline())
    try:
        if task.point is None:
            send(events, "facts", **look_around())
        else:
            measure(task, events)
    except PredictedOomError as error:
        send(events, "oom", reason_code="predicted", reason=str(error))
    except MemoryError:
        send(events, "oom", reason_code="limit", reason=f"ran out of memory (MemoryError){under_limit(task)}")
    except Exception as error:  # Whatever a model or a scenario raises becomes a row; the log keeps the traceback.
        traceback.print_exc()
        reason = last_line(error)
        if any(sign in reason for sign in OOM_SIGNS):
            send(events, "oom", reason_code="limit", reason=reason + under_limit(task))
        else:
            send(events, "error", reason=reason)
        return 1
    else:
        send(events, "done")
    return 0


class PredictedOomError(Exception):
    """XLA's figure says that the point cannot fit its memory budget."""


def last_line(error: BaseException) -> str:
    """`Type: message` on one line of readable length."""
    return " ".join("".join(traceback.format_exception_only(error)).split())[:500]


def look_around() -> dict[str, Any]:
    """What a fresh process finds on this machine before it does any work."""
    imported = timing.timed_host(import_libraries)
    import jax

    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "devices": [device.device_kind for device in devices],
        "device_limit_bytes": device_probe.allocator_limit_bytes(devices[0]),
        "allocator_statistics": devices[0].memory_stats() is not None,
        "peak_can_be_reset": host.reset_peak(),
        "import_seconds": imported.seconds,
        "start_rss_bytes": host.rss_bytes(),
        "static_analysis": xla.program_memory(jax.jit(lambda x: x + 1).lower(1.0).compile()) is not None,
    }


def import_libraries() -> None:
    """Import everything that a measurement needs: jax and all that stands on it."""
    importlib.import_module("scaleprof.programs")


def measure(task: Task, events: TextIO) -> None:
    """Compile, warm up and measure one point, sending what is known as soon as it is."""
    assert task.point is not None
    if is_own(task.point.model):
        sys.path.insert(0, os.getcwd())  # As for a script of the user's; the project's own names come first.
    send(events, "phase", name="start")
    imported = timing.timed_host(import_libraries)
    import jax

    from scaleprof.programs import Programs

    device = jax.devices()[0]
    on_host = device.platform == "cpu"
    if on_host:
        host.limit_data(task.memory_limit_bytes)
    send(
        events,
        "facts",
        import_seconds=imported.seconds,
        platform=device.platform,
        device=device.device_kind,
        host_rss_start_bytes=host.rss_bytes(),
    )
    programs = Programs(task.point)
    send(
        events,
        "facts",
        parameters=programs.parameters,
        matched_embed_dim=programs.embed_dim if task.point.match else None,
        reference_parameters=programs.reference_parameters,
    )
    compile_programs(programs, task, device, events)
    run_programs(programs, task, device, events)


def run_programs(programs: Programs, task: Task, device: jax.Device, events: TextIO) -> None:
    """Warm up and measure compiled programs; memory peaks begin here, so that compiling is not in them."""
    assert task.point is not None
    key = programs.key(task.point.seed)
    host.release_free_memory()
    compile_peak = host.peak_rss_bytes()
    reset = host.reset_peak()
    base = host.rss_bytes()
    send(events, "facts", host_compile_peak_bytes=compile_peak)

    send(events, "phase", name="warm up")
    state = programs.init(key)
    start_params = programs.to_host(state.params)  # the state is donated to the first rollout
    for update in range(task.warmup_updates):
        state, _ = run_update(programs, state, update, "warm up", events)
    send(events, "phase", name="measure")
    samples = []
    for update in range(task.updates):
        state, sample = run_update(programs, state, update, "measure", events)
        samples.append(sample)
    act_seconds = time_acting(programs, state)

    peak = host.peak_rss_bytes() if reset else None
    send(
        events,
        "facts",
        device_peak_bytes=device_probe.allocator_peak_bytes(device),
        host_rss_peak_bytes=peak,
        host_peak_rise_bytes=None if peak is None else max(peak - base, 0),
        act_seconds=act_seconds,
        parameters_moved=programs.distance(start_params, state.params),
        episode_return=programs.episode_return(state),
        warmup_updates=task.warmup_updates,
        measured_updates=task.updates,
        **summarise(samples, task.point.envs * task.point.seq_len, task.point.agents),
    )


def compile_programs(programs: Programs, task: Task, device: jax.Device, events: TextIO) -> None:
    """Compile act, rollout and learn one by one; stop at the first that cannot fit the budget."""
    budget = task.memory_limit_bytes
    if device.platform != "cpu":
        budget = min(budget, device_probe.allocator_limit_bytes(device) or budget)
    peak_bytes = 0
    for name in ("act", "rollout", "learn"):
        send(events, "phase", name=f"compile {name}")
        if name == "act":
            programs.compile("init")  # small, and in nobody's figure
        compiled = timing.timed_host(programs.compile, name)
        memory = xla.program_memory(compiled.result)
        facts: dict[str, Any] = {f"compile_{name}_seconds": compiled.seconds}
        if memory is not None:
            facts[f"xla_{name}_temp_bytes"] = memory.temp_bytes
            if name == "learn":
                facts |= {
                    "xla_learn_argument_bytes": memory.argument_bytes,
                    "xla_learn_output_bytes": memory.output_bytes,
                }
            peak_bytes = max(peak_bytes, memory.peak_bytes)
            facts["xla_peak_bytes"] = peak_bytes
        send(events, "facts", **facts)
        host.release_free_memory()
        resident = host.rss_bytes() if device.platform == "cpu" else 0
        if peak_bytes + resident > OVER_BUDGET * budget:
            raise PredictedOomError(
                f"the {name} step needs {gib(peak_bytes)} by XLA's analysis"
                f"{f' beside {gib(resident)} resident' if resident else ''}, the limit is {gib(budget)}"
            )


def run_update(
    programs: Programs, state: TrainState, update: int, phase: str, events: TextIO
) -> tuple[TrainState, dict[str, float]]:
    """One rollout and the learning from it, each timed to the last array."""
    rollout = timing.timed(programs.rollout, state)
    state, trajectory = rollout.result
    learn = timing.timed(programs.learn, state, trajectory)
    state, metrics = learn.result
    sample = {
        "rollout_seconds": rollout.seconds,
        "learn_seconds": learn.seconds,
        "update_seconds": rollout.seconds + learn.seconds,
        "update_cpu_seconds": rollout.cpu_seconds + learn.cpu_seconds,
        **as_floats(metrics),
    }
    send(events, "sample", update=update, phase=phase, **sample)
    return state, sample


def as_floats(metrics: Metrics) -> dict[str, float]:
    """Metrics as plain numbers by name."""
    return {name: float(value) for name, value in metrics._asdict().items()}


def time_acting(programs: Programs, state: TrainState) -> float:
    """Median wall time of the policy alone choosing one step's actions."""
    least, most = ACT_REPEATS
    seconds = [timing.timed(programs.act, state).seconds]
    while len(seconds) < least or (sum(seconds) < ACT_SECONDS and len(seconds) < most):
        seconds.append(timing.timed(programs.act, state).seconds)
    return statistics.median(seconds)


def summarise(samples: list[dict[str, float]], env_steps: int, agents: int) -> dict[str, float]:
    """A record's times and throughput from the measured updates, and the metrics of the last one."""
    updates = sorted(sample["update_seconds"] for sample in samples)
    median = statistics.median(updates)
    metrics = {name: value for name, value in samples[-1].items() if not name.endswith("_seconds")}
    return {
        "rollout_seconds": statistics.median(sample["rollout_seconds"] for sample in samples),
        "learn_seconds": statistics.median(sample["learn_seconds"] for sample in samples),
        "update_seconds": median,
        "update_min_seconds": updates[0],
        "update_p90_seconds": percentile_90(updates),
        "update_cpu_seconds": statistics.median(sample["update_cpu_seconds"] for sample in samples),
        "env_steps_per_second": env_steps / median,
        "agent_steps_per_second": env_steps * agents / median,
        **metrics,
    }


def percentile_90(ordered: list[float]) -> float:
    """The 90th percentile of sorted values, linear between neighbours."""
    if len(ordered) == 1:
        return ordered[0]
    return statistics.quantiles(ordered, n=10, method="inclusive")[-1]


def gib(size: float) -> str:
    """A size for a reason's text."""
    return f"{size / 2**30:.1f} GiB"


if __name__ == "__main__":
    sys.exit(main())
