"""In the child: compile a point's learning step for its target, and send what is in memory at its peak."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TextIO

import jax

import scaleprof
from scaleprof.launch.protocol import Task, send
from scaleprof.planning.xla_dump import live_buffers, read_dump, total_bytes
from scaleprof.points.plan import AUTO
from scaleprof.probes import timing, xla
from scaleprof.worker.plan_point import refused_bytes
from scaleprof.worker.programs import Programs
from scaleprof.worker.target_device import place_for

MOST = 2000
"""Kinds of buffers that are sent; all others are below a millionth of a peak."""
OURS = (Path(scaleprof.__file__).parents[1], Path.cwd())
"""Folders whose files a reader knows: the project's, and the user's own."""


def explain_point(task: Task, events: TextIO, *, import_seconds: float) -> None:
    """Compile learn as `plan` does, and send its peak and the buffers that are live then.

    Raises `PredictedOomError` where the target's compiler refuses the program because it does not fit.
    """
    assert task.point is not None
    jax.config.update("jax_enable_compilation_cache", False)  # a program that is read from it leaves no dump
    point, place = task.point, place_for(task.point.target)
    send(events, "facts", import_seconds=import_seconds, platform=place.platform, device=place.kind)
    programs = Programs(point, "vmap" if point.batching == AUTO else point.batching, place.sharding)
    send(events, "phase", name="compile learn")
    with tempfile.TemporaryDirectory(prefix="scaleprof-xla-") as folder:
        lowered = programs.trace("learn").lower(lowering_platforms=place.lowering)
        options = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        try:
            compiled = timing.timed_host(programs.compile, "learn", lowered, options)
        except Exception as error:
            refused_bytes(error, place, events)
            raise
        send(events, "phase", name="read the dump")
        dump = read_dump(Path(folder), "jit_learn")
    memory = xla.program_memory(compiled.result)
    send(
        events,
        "facts",
        compile_learn_seconds=compiled.seconds,
        xla_peak_bytes=total_bytes(dump) if memory is None else memory.peak_bytes,
        live_buffers=[one.to_json() for one in live_buffers(dump, shown_path)[:MOST]],
    )


def shown_path(file: str) -> str:
    """A path as it is shown: from the project's folder or the current one; empty for a library's file."""
    path = Path(file)
    if "site-packages" in path.parts and not path.is_relative_to(OURS[0]):
        return ""
    for folder in OURS:
        if path.is_relative_to(folder):
            inside = path.relative_to(folder)
            return "" if "site-packages" in inside.parts else str(inside)
    return ""
