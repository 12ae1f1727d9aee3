"""`scaleprof doctor`: installed versions, devices, what can be measured here, and checks of a scenario."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import typer

import scenarios
from reports.text.units import counted, format_bytes, format_seconds
from sable.models import REFERENCE
from scaleprof import __version__
from scaleprof.cli.output import tell
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.launch import host_description
from scaleprof.launch.local import child_variables
from scaleprof.launch.process import inspect_device, run_child
from scaleprof.launch.protocol import Task
from scaleprof.launch.scratch import scratch_log
from scaleprof.launch.spoilers import spoilers
from scaleprof.points.choices import choose_scenario, memory_limit
from scaleprof.points.options import make_request, plan_sweep
from scaleprof.probes import host
from scaleprof.probes.nvml import FIELD_WORDS, NOT_LISTED, Nvml, load_nvml

START_TIMEOUT_SECONDS = 120.0
SCENARIO_WORKER = (sys.executable, "-P", "-m", "scaleprof.worker.check_scenario")


def diagnose(device: str | None) -> int:
    """Print what was found; returns 0 if a sweep can run here."""
    typer.echo(f"scaleprof {__version__}")
    for name in host_description.PACKAGES:
        typer.echo(f"  {name} {host_description.package_version(name) or 'NOT INSTALLED'}")
    typer.echo(
        f"host: {host_description.cpu_model() or 'unknown processor'}, {format_bytes(host.total_memory_bytes())}"
    )
    for line in driver_figures(Nvml(load_nvml())):
        typer.echo(line)
    typer.echo(f"default memory limit: {format_bytes(memory_limit(None))} per point")
    with scratch_log() as log:
        facts = inspect_device(child_variables(device), log, START_TIMEOUT_SECONDS)
    tell(f"devices: {facts['platform']}: {', '.join(facts['devices'])}")
    typer.echo(
        f"a process starts in {format_seconds(facts['import_seconds'])} with {format_bytes(facts['start_rss_bytes'])}"
    )
    for line in measurable(facts):
        typer.echo(line)
    found = spoilers(os.environ)
    for what in found:
        tell(f"may spoil a measurement: {what}")
    if not found:
        typer.echo("nothing found that spoils a measurement")
    return 0


def check_scenario(name: str, agents: int | None, device: str | None) -> int:
    """Build and play one scenario in a child process and print its defects, one per line; returns 2 if it has any."""
    entry = scenarios.find(choose_scenario(name))
    number = entry.few_agents(name.partition(":")[2]) if agents is None else agents
    plan = plan_sweep(make_request({"scenario": name, "agents": str(number), "model": REFERENCE}))
    with scratch_log() as log:
        outcome = run_child(
            Task(point=plan.points[0]),
            child_variables(device),
            log,
            timeout_seconds=START_TIMEOUT_SECONDS,
            nvml=Nvml(None),
            on_event=lambda event: None,
            command=SCENARIO_WORKER,
        )
    if outcome.status == "interrupted":
        raise UserError("interrupted before the scenario was checked", INTERRUPTED)
    if outcome.status == "error":
        raise UserError(f"scenario {name} cannot run here: jax finds no device ({outcome.reason})")
    late = f"building and playing it took more than {START_TIMEOUT_SECONDS:g} s"
    defects = outcome.facts.get("defects", [late if outcome.status == "timeout" else outcome.reason])
    for defect in defects:
        tell(f"{name}: {defect}")
    if not defects:
        tell(f"{name}: no defects found with {counted(number, 'agent')}")
    return 2 if defects else 0


def measurable(facts: dict[str, Any]) -> Iterator[str]:
    """One line per source of measurements: yes, or no and why."""
    yield f"XLA's static memory analysis: {'yes' if facts['static_analysis'] else 'no: not provided by the backend'}"
    reset = facts["peak_can_be_reset"]
    yield f"host peak memory (VmHWM): {'yes' if reset else 'only since process start: the kernel cannot reset it'}"
    allocator = facts["allocator_statistics"]
    without = f"no: {facts['platform']} keeps no statistics"
    yield f"device allocator peak: {'yes' if allocator else without}"


def driver_figures(nvml: Nvml) -> Iterator[str]:
    """What the driver reports for each card, and why it does not report the rest."""
    label = "GPU figures by the driver (NVML)"
    if not nvml.available:
        yield f"{label}: no: {nvml.reason}"
        return
    yield f"{label}: yes: {', '.join(nvml.device_names()) or 'unnamed cards'}"
    for index in range(nvml.card_count):
        nvml.sample(os.getpid(), index)
        missing = nvml.missing()
        words = dict(FIELD_WORDS)
        if missing.get("process_bytes") == NOT_LISTED:
            # This process uses no card, so the driver cannot list it. It may still list a point's process.
            del missing["process_bytes"]
            words["process_bytes"] += " (if the driver lists the process: in a container it may not)"
        readable = [name for field, name in words.items() if field not in missing]
        if readable:
            yield f"  card {index}: yes: {', '.join(readable)}"
        for reason in dict.fromkeys(missing.values()):
            names = ", ".join(words[field] for field, why in missing.items() if why == reason)
            yield f"  card {index}: no {names}: {reason}"
