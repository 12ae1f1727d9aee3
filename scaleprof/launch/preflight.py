"""Inspect host, devices and code versions before the first point, in processes of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from reports.records.redaction import redacted_values
from reports.text.units import format_bytes
from scaleprof.errors import UserError
from scaleprof.launch import host_description
from scaleprof.launch.launcher import Launcher
from scaleprof.launch.local import child_variables, compile_cache, limit_name, memory_fraction, variables_of
from scaleprof.launch.local_launcher import LocalLauncher
from scaleprof.launch.machine import Machine, Version
from scaleprof.launch.pairs import ROOT, find_version, python_path
from scaleprof.launch.process import START_LIMIT, inspect_device
from scaleprof.launch.protocol import PROTOCOL
from scaleprof.launch.scratch import scratch_log
from scaleprof.planning.target import VARIABLES as PLAN_VARIABLES
from scaleprof.points.choices import check_host_memory, on_gpu
from scaleprof.points.plan import MEMORY, PLAN, SweepPlan
from scaleprof.probes import cgroup
from scaleprof.probes.nvml import Nvml, load_nvml
from scaleprof.probes.roofline import Rates

START_SECONDS = 60.0
"""A child that only starts has at least this long."""
ALLOCATOR_SHARE = 0.75
"""The share of a card that jax's allocator may take by default."""
DIFFERING = ("packages", "python", "git", "cpu", "affinity", "variables")
"""Fields of the host description that should not change within a run; a resumed run reports those that did."""


def preflight(plan: SweepPlan) -> tuple[Launcher, dict[str, Any]]:
    """What measures the points of a plan, and the description of the host that the run keeps."""
    if plan.options.measure == (PLAN,):
        return preflight_of_a_plan(plan)
    nvml = Nvml(load_nvml())
    cards = nvml.describe()
    variables = child_variables(plan.device, nvml)
    facts = first_child(variables, plan)
    if Path(facts["source"]) != ROOT / "scaleprof":  # started from a checkout other than the installed one
        variables["PYTHONPATH"] = python_path(first=ROOT)
        facts = first_child(variables, plan)
    if facts["platform"] != "cpu":
        index = nvml.card(variables)
        size = None if index is None else cards[index]["memory_bytes"]
        allocatable = facts.get("device_limit_bytes")
        if size is None and allocatable:
            size = int(allocatable / ALLOCATOR_SHARE)
        variables |= memory_fraction(plan.options.memory_limit_bytes, size)
    against = plan.manifest["options"]["against"]
    versions = (Version(), find_version(against)) if against else ()
    kinds = {kind: variables_of(variables, kind) for kind in plan.options.measure}
    if plan.options.reuse_compiled:
        cached = compile_cache(Path(), plan.points[0])
        del cached["JAX_COMPILATION_CACHE_DIR"]  # a folder in the run, another one for each point
        kinds = {kind: of if kind == MEMORY else {**of, **cached} for kind, of in kinds.items()}
    described = host_description.describe(host_description.command_line(), kinds, facts, cards)
    if versions:
        described["against"] = redacted_values(inspect_version(against, versions[1], variables, facts["source"]))
    rates = Rates(**{field.name: facts.get(field.name) for field in dataclasses.fields(Rates)})
    machine = Machine(variables=variables, nvml=nvml, rates=rates, versions=versions)
    return LocalLauncher(machine), described


def preflight_of_a_plan(plan: SweepPlan) -> tuple[Launcher, dict[str, Any]]:
    """What compiles the points of a plan: processes that see no device but the CPU, and measure nothing."""
    variables = child_variables("cpu") | PLAN_VARIABLES
    facts = inspected(variables, plan, rates=False)
    if Path(facts["source"]) != ROOT / "scaleprof":
        variables["PYTHONPATH"] = python_path(first=ROOT)
        facts = inspected(variables, plan, rates=False)
    described = host_description.describe(host_description.command_line(), {PLAN: variables}, facts, [])
    return LocalLauncher(Machine(variables=variables, nvml=Nvml(None), rates=Rates())), described


def inspected(variables: dict[str, str], plan: SweepPlan, *, rates: bool) -> dict[str, Any]:
    """The facts of a fresh process; with `rates`, also how fast the machine multiplies and copies."""
    own = plan.options.timeout_seconds
    timeout, name = (own, limit_name(plan.options)) if own > START_SECONDS else (START_SECONDS, START_LIMIT)
    with scratch_log() as log:
        return inspect_device(variables, log, timeout, pin=plan.options.pin, rates=rates, limit_name=name)


def first_child(variables: dict[str, str], plan: SweepPlan) -> dict[str, Any]:
    """Inspect the devices from a fresh process; refuse a memory limit that no process can start under."""
    facts = inspected(variables, plan, rates=True)
    if on_gpu(plan.device) and facts["platform"] == "cpu":
        raise UserError(f"--device: jax finds no GPU for {plan.device}; see scaleprof doctor")
    limit, start = plan.options.memory_limit_bytes, facts["start_rss_bytes"]
    if facts["platform"] == "cpu":
        check_host_memory(limit)
    if facts["platform"] == "cpu" and limit <= start:
        allowed = cgroup.memory_limit_bytes()
        most = "" if allowed is None else f" (this process's control group allows {format_bytes(allowed)})"
        raise UserError(
            f"--memory-limit: {format_bytes(limit)} is less than a process needs at start-up "
            f"({format_bytes(start)}): give more{most}"
        )
    return facts


def inspect_version(against: str, version: Version, variables: dict[str, str], ours: str) -> dict[str, Any]:
    """Describe another version of the code; `ours` is the folder of this one.

    Raises `UserError` if it cannot start, cannot alternate with this version, or is this version.
    """
    with scratch_log() as log:
        try:
            facts = inspect_device(
                {**variables, **dict(version.variables)}, log, START_SECONDS, command=version.command, needed=()
            )
        except UserError as error:
            raise UserError(f"--against: {against}: {error}") from None
    if facts.get("protocol") != PROTOCOL:
        raise UserError(
            f"--against: the scaleprof in {against} cannot alternate with this one: it is too old or too new"
        )
    for name in ("scaleprof", "source"):
        if name not in facts:
            raise UserError(f"--against: {against}: its child process did not report {name}")
    if Path(against).is_dir() and not Path(facts["source"]).samefile(Path(against) / "scaleprof"):
        raise UserError(
            f"--against: {against} is not a complete checkout: its processes run the code in {facts['source']}"
        )
    if facts["source"] == ours and not Path(against).is_dir():
        raise UserError(f"--against: {against} is this same scaleprof, in {ours}: give another one")
    return {
        "given": against,
        "scaleprof": facts["scaleprof"],
        "source": facts["source"],
        "git": host_description.git_state(Path(facts["source"])),
    }


def changed_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The fields in `DIFFERING` that have changed since a run began; what was never known has not changed."""
    known = [name for name in DIFFERING if before.get(name) is not None and now.get(name) is not None]
    return [name for name in known if before[name] != now[name]]
