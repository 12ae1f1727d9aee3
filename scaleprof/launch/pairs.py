"""Live pairs: two versions of the code measure one point in two processes that alternate in short bursts.

Disturbances of the machine affect both alike, so their ratio is steadier than either time.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import scaleprof
from reports.records.columns import COLUMNS
from scaleprof.errors import UserError
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.local import batching_of, limit_name, make_task, merged, quality
from scaleprof.launch.machine import Machine, Version
from scaleprof.launch.process import WORKER, Child
from scaleprof.launch.stopping import Stop
from scaleprof.points.plan import TOGETHER, SweepOptions
from scaleprof.points.point import Point
from scaleprof.runs.store import RunDirectory

ROOT = Path(scaleprof.__file__).resolve().parent.parent
"""The folder of this code's packages."""
BURST_UPDATES = 4
MIN_BURSTS = 16
"""Minimum bursts per side; sides alternate in the order A B B A."""


def find_version(text: str) -> Version:
    """Read `--against`: a Python interpreter with another scaleprof installed, or a checkout of one.

    Raises `UserError` if it is neither.
    """
    path = Path(text)
    if path.is_dir():
        if not (path / "scaleprof").is_dir():
            raise UserError(f"--against: {text} is not a checkout of scaleprof: it has no scaleprof package")
        return Version(variables=(("PYTHONPATH", python_path(first=path.absolute())),))
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UserError(f"--against: {text} is neither a Python interpreter nor a checkout of scaleprof")
    # The variables that lead this process to its own code would lead the other interpreter there too.
    return Version(command=(str(path.absolute()), *WORKER[1:]), variables=(("PYTHONPATH", python_path()),))


def python_path(first: Path | None = None) -> str:
    """The user's PYTHONPATH without this code's root; `first` is put in front."""
    kept = [
        part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and Path(part).resolve() != ROOT
    ]
    return os.pathsep.join([*([] if first is None else [str(first)]), *kept])


def measure_pair(
    point: Point,
    name: str,
    options: SweepOptions,
    machine: Machine,
    run: RunDirectory,
    on_event: EventHandler,
    stop: Stop,
) -> list[Outcome]:
    """Measure one repeat of a point, one process per version; returns their outcomes in the order of the versions.

    Each compiles and warms up while the others sleep. Then they alternate until each has `MIN_BURSTS` and what
    `options` ask for. If one fails, the others go on.
    """
    batching = batching_of(point, run.records)
    began = time.monotonic()
    with ExitStack() as stack:
        children = []
        for side, version in zip(options.sides, machine.versions, strict=True):
            variables = {**machine.variables, **dict(version.variables)}
            log = run.log_path(f"{name}-{side}")
            task = make_task(point, TOGETHER, options, burst=BURST_UPDATES, batching=batching)
            child = Child(
                task,
                variables,
                log,
                options.timeout_seconds,
                machine.nvml,
                on_event,
                stop,
                version.command,
                limit_name=limit_name(options),
                must_measure=True,
            )
            children.append(stack.enter_context(child))
            child.follow("ready")
            batching = batching or child.outcome.facts.get("batched_by", "")
        turn = 0
        while alive := [child for child in children if not child.outcome.status]:
            if all(has_enough(child.outcome, options) for child in alive):
                break
            for child in alive if turn % 2 == 0 else reversed(alive):
                child.go()
                child.follow("ready")
            turn += 1
        for child in alive:
            child.finish()
            child.follow()
    seconds = time.monotonic() - began - sum(child.outcome.stopped_seconds for child in children)
    outcomes = []
    for child in children:
        fixed = bool(child.outcome.facts.get("allocator_fixed"))
        outcome = merged((TOGETHER,), {TOGETHER: child.outcome})
        outcome.facts = {name: value for name, value in outcome.facts.items() if COLUMNS[name].per_side}
        outcome.facts["host_memory_quality"] = quality(machine.variables, TOGETHER, fixed=fixed)
        outcome.facts["point_seconds"] = seconds
        outcomes.append(outcome)
    return outcomes


def has_enough(outcome: Outcome, options: SweepOptions) -> bool:
    """Whether a side has enough bursts, updates and measured seconds."""
    samples = [sample for sample in outcome.samples if sample["phase"] == "measure"]
    return (
        len({sample.get("burst") for sample in samples}) >= MIN_BURSTS
        and len(samples) >= options.min_updates
        and sum(sample["update_seconds"] for sample in samples) >= options.min_seconds
    )
