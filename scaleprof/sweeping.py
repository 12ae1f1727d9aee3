"""The sweep command, from a checked plan to files, a summary and an exit code."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from reports.terminal import render_grid, render_summary
from scaleprof import environment
from scaleprof.child import look_around
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.launching import Machine, child_environment, memory_fraction, variables
from scaleprof.options import SweepPlan
from scaleprof.probes.nvml import Nvml, load_nvml
from scaleprof.progress import Progress
from scaleprof.roofline import Rates
from scaleprof.runner import SweepInterruptedError, sweep
from scaleprof.store import RunDirectory, check_free, csv_text

SOME_FAILED = 3


def show_grid(plan: SweepPlan) -> int:
    """`--dry-run`: print the points and write nothing."""
    render_grid([point.record() for point in plan.points], Console(highlight=False))
    return 0


def run(plan: SweepPlan, *, device: str | None, out: Path | None, csv: str | None, strict: bool) -> int:
    """Measure every point of the plan; returns the exit code.

    Progress goes to stderr, the summary to stdout (to stderr where stdout carries the CSV).
    """
    folder = out if out is not None else default_folder(plan.scenario)
    check_free(folder)
    check_csv(csv)
    nvml = Nvml(load_nvml())
    cards = nvml.describe()
    child_env = child_environment(device, nvml)
    facts = first_child(child_env, plan, device)
    if facts["platform"] != "cpu":
        child_env |= memory_fraction(plan.options.memory_limit_bytes, total_bytes(cards, nvml.card(child_env)))
    kinds = {kind: variables(child_env, kind) for kind in plan.options.measure}
    described = environment.describe(environment.command_line(), kinds, facts, cards)
    run_directory = RunDirectory.create(folder, plan.manifest, described)

    progress = Console(stderr=True, highlight=False)
    interrupted = False
    stopped_by: UserError | None = None
    try:
        machine = Machine(environment=child_env, nvml=nvml, rates=rates_of(facts))
        with Progress(plan.points, progress) as observer:
            sweep(plan.points, plan.options, run_directory, machine, observer)
    except SweepInterruptedError:
        interrupted = True
    except UserError as error:  # the disk took no more: show what there is before saying so
        stopped_by = error
    records = run_directory.records
    render_summary(records, progress if csv == "-" else Console(highlight=False), title=f"Run {folder}")
    progress.print(f"Written to {folder}", soft_wrap=True, markup=False)
    write_csv(csv, csv_text(records))
    if stopped_by is not None:
        raise stopped_by
    if interrupted:
        progress.print(f"Interrupted after {len(records)} of {len(plan.points)} points.", soft_wrap=True)
        return INTERRUPTED
    failed = any(record.status != "ok" for record in records)
    return SOME_FAILED if strict and failed else 0


def total_bytes(cards: list[dict[str, Any]], index: int | None) -> int | None:
    """The whole memory of the card that is measured; None where that is not certain."""
    size: int | None = None if index is None else cards[index]["memory_bytes"]
    return size


def rates_of(facts: dict[str, Any]) -> Rates:
    """The machine's rates as the first child found them."""
    return Rates(**{name.name: facts.get(name.name) for name in dataclasses.fields(Rates)})


def default_folder(scenario: str) -> Path:
    """`runs/<time>-<scenario>`, free of characters that file systems or shells mind; numbered where it is taken."""
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in scenario)
    first = f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{name}"
    names = itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
    return next(path for path in (Path("runs") / name for name in names) if not path.exists())


def check_csv(csv: str | None) -> None:
    """Raise `UserError` before anything runs if the CSV could not be written at the end."""
    if csv is None or csv == "-":
        return
    path = Path(csv)
    if path.is_dir():
        raise UserError(f"--csv: {csv} is a folder: name a file, or - for stdout")
    if not path.parent.is_dir():
        raise UserError(f"--csv: there is no folder {path.parent}: make it first, or name another file")


def write_csv(csv: str | None, text: str) -> None:
    """Copy the results to where `--csv` says."""
    try:
        if csv == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        elif csv is not None:
            Path(csv).write_text(text, encoding="utf-8", newline="")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"--csv: cannot write {csv}: {error.strerror or error}") from None


def first_child(child_env: dict[str, str], plan: SweepPlan, device: str | None) -> dict[str, Any]:
    """Look at the devices from a fresh process, and refuse a memory limit that no process could start under."""
    with tempfile.TemporaryDirectory() as folder:
        timeout = max(plan.options.timeout_seconds, 60.0)
        facts = look_around(child_env, Path(folder) / "log", timeout, pin=plan.options.pin, rates=True)
    if device is not None and device.startswith("gpu") and facts["platform"] == "cpu":
        raise UserError(f"--device: jax finds no GPU for {device}: see 'scaleprof doctor'")
    limit, start = plan.options.memory_limit_bytes, facts["start_rss_bytes"]
    if facts["platform"] == "cpu" and limit <= start:
        raise UserError(
            f"--memory-limit: {limit / 2**20:.0f} MiB is less than a process needs before it does any work "
            f"({start / 2**20:.0f} MiB): give more"
        )
    return facts
