"""In the child: plan a point for a device that need not be there, by compiling its programs and running nothing."""

from __future__ import annotations

import re
import time
from contextlib import closing
from typing import Any, TextIO

from reports.text.units import format_bytes
from scaleprof.launch.protocol import Task, is_memory_error, send
from scaleprof.points.plan import AUTO
from scaleprof.probes import xla
from scaleprof.worker.compiling import MEASURED, Plan, PredictedOomError, build_one_by_one
from scaleprof.worker.programs import Programs
from scaleprof.worker.target_device import NO_TRIMMING, Place, place_for

UNTRIMMED_FROM = 0.4
"""From this share of the device's memory on, XLA may have trimmed a program: it is compiled again without that."""
_REFUSED = re.compile(r"Used ([\d.]+)([KMG]) of ([\d.]+)([KMG]) hbm")
"""What a TPU's compiler says of a program that does not fit."""
_SCALE = {"K": 2**10, "M": 2**20, "G": 2**30}


def plan_point(task: Task, events: TextIO, *, import_seconds: float) -> None:
    """Compile act, rollout and learn for the point's target, and send what XLA plans for them.

    Raises `PredictedOomError` where the target's compiler refuses a program because it does not fit.
    """
    assert task.point is not None
    point, place = task.point, place_for(task.point.target)
    send(events, "facts", import_seconds=import_seconds, platform=place.platform, device=place.kind)
    batching = "vmap" if point.batching == AUTO else point.batching
    programs = Programs(point, batching, place.sharding, place.platform)
    send(events, "facts", **programs.facts())
    began = time.monotonic()
    budget = task.memory_limit_bytes if place.usable_bytes is None else place.usable_bytes
    plan = Plan(task.memory_limit_bytes, programs.while_trips)
    peak = wanted = 0
    try:
        with closing(build_one_by_one(programs, MEASURED, {}, events, place.lowering)) as ready:
            for built in ready:
                facts = plan.add(built)
                send(events, "facts", **built.facts, **facts)
                peak = facts.get("xla_peak_bytes", peak)
                wanted = max(wanted, untrimmed_bytes(programs, built.name, built.compiled, place, budget, task, events))
    except Exception as error:
        refused_bytes(error, place, events)
        raise
    send(
        events,
        "facts",
        **plan.work(),
        xla_wanted_bytes=wanted or None,
        compiling="one by one",
        compile_seconds=time.monotonic() - began,
    )


def untrimmed_bytes(
    programs: Programs, name: str, compiled: Any, place: Place, budget: int, task: Task, events: TextIO
) -> int:
    """The peak of a program with XLA's own rematerialisation off; compiled again only where that can matter."""
    memory = xla.program_memory(compiled)
    peak = 0 if memory is None else memory.peak_bytes
    if not place.trims or not task.untrimmed or peak < UNTRIMMED_FROM * budget:
        return peak
    send(events, "phase", name=f"compile {name} untrimmed")
    lowered = programs.trace(name).lower(lowering_platforms=place.lowering)
    again = xla.program_memory(lowered.compile(dict[str, Any](NO_TRIMMING)))
    return peak if again is None else again.peak_bytes


def refused_bytes(error: Exception, place: Place, events: TextIO) -> None:
    """Turn a compiler's refusal of a program that does not fit into `PredictedOomError`, with the bytes it names."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if not is_memory_error(text) or place.sharding is None:
        return
    found = _REFUSED.search(text)
    if found is None:
        return
    needed, available = _bytes(found, 1), _bytes(found, 3)
    send(events, "facts", xla_peak_bytes=needed, xla_wanted_bytes=needed)
    raise PredictedOomError(
        f"its compiler needs {format_bytes(needed)} for a program; {place.kind} has {format_bytes(available)}"
    ) from error


def _bytes(found: re.Match[str], group: int) -> int:
    return int(float(found[group]) * _SCALE[found[group + 1]])
