"""Measure a point in one or two local processes: their variables, their tasks, and their merged outcome."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reports.records.record import Record
from reports.text.units import format_bytes
from scaleprof.errors import UserError
from scaleprof.launch.facts import columns_of
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.machine import Machine
from scaleprof.launch.process import run_child
from scaleprof.launch.protocol import Task
from scaleprof.launch.stopping import Stop
from scaleprof.points.choices import DEFAULT_TIMEOUT_SECONDS
from scaleprof.points.plan import BETWEEN, MEMORY, PLAN, SPEED, TOGETHER, SweepOptions
from scaleprof.points.point import Point
from scaleprof.probes import watch
from scaleprof.probes.nvml import Nvml
from scaleprof.runs.store import COMPILED, RunDirectory

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""Makes glibc return every large array to the system, so that resident memory repeats. Steps take up to 1.6 times as
long."""


def child_variables(device: str | None, nvml: Nvml | None = None) -> dict[str, str]:
    """The variables of every child: the parent's, with the chosen device and without those that distort measurements.

    The persistent compilation cache is off unless later repeats may read it, because compile time is measured. On a GPU
    the allocator does not preallocate the card, so that the driver's figures are meaningful. A card is chosen by its
    UUID if the driver reports one, because CUDA and the driver may number cards differently.
    """
    variables = dict(os.environ)
    variables.pop("XLA_PYTHON_CLIENT_MEM_FRACTION", None)  # the older name of XLA_CLIENT_MEM_FRACTION
    variables["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    variables["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if device is not None:
        kind, _, index = device.partition(":")
        variables["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[kind]
        if index:
            variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            variables["CUDA_VISIBLE_DEVICES"] = (nvml.uuid_of(int(index)) if nvml is not None else None) or index
    return variables


def memory_fraction(limit_bytes: int, card_bytes: int | None) -> dict[str, str]:
    """The variable that limits jax's allocator on a GPU; none if the card is not larger than the limit."""
    if card_bytes is None or limit_bytes >= card_bytes:
        return {}
    if limit_bytes < card_bytes / 1000:
        raise UserError(
            f"--memory-limit: {format_bytes(limit_bytes)} is less than a thousandth of the card's memory: give more"
        )
    return {"XLA_CLIENT_MEM_FRACTION": f"{limit_bytes / card_bytes:.4f}"}


def measure_point(
    point: Point,
    name: str,
    options: SweepOptions,
    machine: Machine,
    run: RunDirectory,
    on_event: EventHandler,
    stop: Stop,
) -> Outcome:
    """Measure one repeat of a point in one process, or in one for memory and then one for speed; or only plan it.

    If the first of two shows that the point cannot run, the second is not started and its status is `skipped`.
    Compiled programs are reused only when measuring speed: the memory process also measures the memory of compiling.
    """
    outcomes = {}
    began, worked, batching = time.monotonic(), 0.0, batching_of(point, run.records)
    for kind in options.measure:
        cached = compile_cache(run.path, point) if options.reuse_compiled and kind != MEMORY else {}
        log = run.log_path(name if len(options.measure) == 1 else f"{name}-{kind}")
        outcome = run_child(
            make_task(point, kind, options, batching=batching),
            {**variables_of(machine.variables, kind), **cached},
            log,
            timeout_seconds=options.timeout_seconds,
            nvml=machine.nvml,
            on_event=on_event,
            stop=stop,
            limit_name=limit_name(options),
            must_measure=True,
        )
        outcomes[kind] = outcome
        batching = batching or outcome.facts.get("batched_by", "")
        worked += outcome.facts.get("worked_seconds", 0.0)
        if outcome.status in ("oom", "error", "interrupted"):
            break
    fixed = any(outcome.facts.get("allocator_fixed") for outcome in outcomes.values())
    stopped = sum(outcome.stopped_seconds for outcome in outcomes.values())
    outcome = merged(options.measure, outcomes)
    elapsed = time.monotonic() - began
    seconds = max(elapsed - stopped, min(worked, elapsed))  # a child works on while its parent is stopped
    outcome.facts["point_seconds"] = seconds
    if options.measure in ((PLAN,), (BETWEEN,)):
        outcome.status = "planned" if outcome.status == "ok" else outcome.status
    elif options.measure[0] != SPEED:
        outcome.facts["host_memory_quality"] = quality(machine.variables, options.measure[0], fixed=fixed)
    measured = outcome.facts.get("measured_updates")
    if outcome.status == "ok" and measured is not None and measured < options.min_updates:
        outcome.reason_code = "few_updates"
        outcome.reason = (
            f"{measured} of {options.min_updates} updates: there was no time for another ({limit_name(options)})"
        )
    if outcome.status == "ok" and not stopped:
        outcome.facts["overhead_seconds"] = max(seconds - worked, 0.0)
    return outcome


def limit_name(options: SweepOptions) -> str:
    """What messages call the time limit of a point: it is `--timeout` only if that was given."""
    if not options.timeout_grows:
        return "--timeout"
    known = options.timeout_seconds > DEFAULT_TIMEOUT_SECONDS
    return "twice what was expected; see --timeout" if known else "the default; see --timeout"


def batching_of(point: Point, records: Iterable[Record]) -> str:
    """The batching that earlier points with the same environments found faster; empty if there are none."""
    same = ("scenario", "agents", "envs", "settings", "reset")
    wanted = point.record()
    found = (
        record.batched_by
        for record in records
        if record.batching == point.batching and all(getattr(record, n) == getattr(wanted, n) for n in same)
    )
    return next((batching for batching in found if batching), "")


def compile_cache(run: Path, point: Point) -> dict[str, str]:
    """The variables of jax's persistent compilation cache for the repeats of one point.

    Each point has its own folder, because compiling is timed even where another point compiles the same programs.
    """
    digest = hashlib.sha256(repr(point.without_repeat).encode()).hexdigest()[:16]
    return {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str((run / COMPILED / digest).absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def make_task(point: Point, kind: str, options: SweepOptions, *, burst: int = 0, batching: str = "") -> Task:
    """The task of the child of this kind."""
    return Task(
        point=point,
        measure=kind,
        min_updates=options.min_updates,
        min_seconds=options.min_seconds,
        warmup_updates=options.warmup_updates,
        memory_limit_bytes=options.memory_limit_bytes,
        pin=options.pin,
        compile_together=options.compile_together and kind in (TOGETHER, BETWEEN) and not burst,
        batching=batching,
        untrimmed=options.untrimmed,
        burst=burst,
    )


def variables_of(shared: Mapping[str, str], kind: str) -> dict[str, str]:
    """The variables of the child of this kind."""
    return {**shared, **(ALLOCATOR if kind == MEMORY else {})}


def quality(variables: Mapping[str, str], kind: str, *, fixed: bool = False) -> str:
    """Whether resident memory is repeatable: it is if the allocator's threshold is fixed.

    `fixed` says that the child did that itself.
    """
    return "repeatable" if fixed or kind == MEMORY or any(name in variables for name in ALLOCATOR) else "noisy"


def merged(kinds: tuple[str, ...], outcomes: dict[str, Outcome]) -> Outcome:
    """One outcome of a point's processes: memory from one, all else from the other, the first failure as the end."""
    last = next((outcome for outcome in outcomes.values() if outcome.status != "ok"), list(outcomes.values())[-1])
    facts: dict[str, Any] = {}
    timeline: list[watch.Sample] = []
    for kind, outcome in outcomes.items():
        facts |= columns_of(outcome.facts, kind)
        began = timeline[-1].seconds if timeline else 0.0
        process = f"{kind}: " if len(kinds) > 1 else ""
        timeline += [watch.Sample(began + at, process + phase, size) for at, phase, size in outcome.timeline]
    last.timeline = timeline
    last.facts = facts | {
        "measure": ",".join(kinds),
        "memory_status": status_of((MEMORY, TOGETHER), kinds, outcomes),
        "speed_status": status_of((SPEED, TOGETHER), kinds, outcomes),
    }
    return last


def status_of(kinds: tuple[str, ...], asked: tuple[str, ...], outcomes: Mapping[str, Outcome]) -> str:
    """How the first of `kinds` that was asked for ended: `skipped` if not started, empty if none was asked for."""
    kind = next((kind for kind in kinds if kind in asked), None)
    if kind is None:
        return ""
    return outcomes[kind].status if kind in outcomes else "skipped"
