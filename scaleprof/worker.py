"""The child process: one point, from import to measured updates, told to the parent event by event.

Run as `python -m scaleprof.worker` with a task (`scaleprof.protocol.Task`) on stdin. Events go to what was stdout when
the process began; anything that libraries print goes to stderr. Events are

    phase   {name}                  a phase begins
    facts   {field: value, …}       fields of the record that are known from here on
    samples {samples: […]}          finished updates, each {update, phase, …}
    ready   {}                      a burst is over, the next one waits for the word on stdin
    oom     {reason_code, reason}   the point cannot fit, or ran out of memory
    error   {reason}                the last line of an exception
    done    {}                      all measured
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import scenarios
from sable.models import is_own
from scaleprof import __version__
from scaleprof.compiling import PredictedOomError, compile_programs
from scaleprof.measuring import run_programs
from scaleprof.probes import device as device_probe
from scaleprof.probes import host, timing, xla
from scaleprof.protocol import AUTO, OOM_SIGNS, PROTOCOL, Task, send, under_limit


def main() -> int:
    """Read one task from stdin, carry it out and tell of it; returns the exit code."""
    task = Task.from_json(sys.stdin.readline())
    host.die_with_parent(signal.SIGKILL, task.parent)
    # Ctrl-C is for the parent, which decides what becomes of its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host.prefer_for_oom_kill()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        host.pin(task.pin)
        if task.point is None:
            send(events, "facts", **look_around(task))
        else:
            measure(task, events)
    except PredictedOomError as error:
        send(events, "oom", reason_code="predicted", reason=str(error))
    except MemoryError:
        send(events, "oom", reason_code="limit", reason=f"ran out of memory (MemoryError){under_limit(task)}")
    except Exception as error:  # Whatever a model or a scenario raises becomes a row; the log keeps the traceback.
        traceback.print_exc()
        reason = last_line(error)
        if reason.startswith("MemoryError") or any(sign in reason for sign in OOM_SIGNS):
            send(events, "oom", reason_code="limit", reason=reason + under_limit(task))
        else:
            send(events, "error", reason=reason)
        return 1
    else:
        send(events, "done")
    return 0


def last_line(error: BaseException) -> str:
    """`Type: message` on one line of readable length.

    An exception that carries another's whole traceback in its message (jax's, of a function that it called back) is
    known by that one's last line; what jax notes below an exception about its traceback is left out.
    """
    name, message = type(error).__name__, str(error)
    if "Traceback (most recent call last)" in message:
        return message.strip().splitlines()[-1].strip().rstrip(":")[:500]
    return " ".join(f"{name}: {message}".split())[:500] if message else name


def look_around(task: Task) -> dict[str, Any]:
    """What a fresh process finds on this machine before it does any work; its rates too, if they are asked for."""
    imported = timing.timed_host(import_libraries)
    import jax

    devices = jax.devices()
    facts = {
        "protocol": PROTOCOL,
        "scaleprof": __version__,
        "source": str(Path(__file__).parent),
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
    """Import everything that a measurement needs: jax and all that stands on it."""
    importlib.import_module("scaleprof.programs")


def measure(task: Task, events: TextIO) -> None:
    """Compile, warm up and measure one point, sending what is known as soon as it is."""
    assert task.point is not None
    if is_own(task.point.model) or scenarios.is_own(task.point.scenario):
        sys.path.insert(0, os.getcwd())  # As for a script of the user's; the project's own names come first.
    send(events, "phase", name="start")
    imported = timing.timed_host(import_libraries)
    import jax

    from scaleprof.programs import Programs

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
        from scaleprof.batching import faster_batching

        began = time.monotonic()
        batching = task.batching or faster_batching(task.point, events)
        tried = time.monotonic() - began
    programs = Programs(task.point, batching)
    send(
        events,
        "facts",
        batched_by=programs.batching,
        learn_groups=programs.learn_groups,
        segment_timesteps=programs.segment_timesteps,
        parameters=programs.parameters,
        matched_embed_dim=programs.embed_dim if task.point.match else None,
        reference_parameters=programs.reference_parameters,
    )
    compiling = compile_programs(programs, task, device, events)
    if device.platform == "cpu":  # not before: compilers die of a failed allocation in ways that tell nothing
        host.limit_data(task.memory_limit_bytes)
    ran = run_programs(programs, task, device, events, compiled_here=compiling.here)
    send(events, "facts", worked_seconds=tried + compiling.seconds + ran)


if __name__ == "__main__":
    sys.exit(main())
