"""The sweep command, from a checked plan to files, a summary and an exit code."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from reports.terminal import render_grid, render_summary
from scaleprof import environment
from scaleprof.child import look_around
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.grid import Point
from scaleprof.launching import Machine, Version, child_environment, memory_fraction, variables
from scaleprof.options import SweepPlan, on_gpu
from scaleprof.pairs import find_version
from scaleprof.probes.nvml import Nvml, load_nvml
from scaleprof.progress import Progress
from scaleprof.protocol import PROTOCOL
from scaleprof.resuming import RETRYABLE, check_platform, left_of
from scaleprof.roofline import Rates
from scaleprof.runner import SweepInterruptedError, sweep
from scaleprof.store import RunDirectory, check_free, csv_text, load_records

SOME_FAILED = 3


def show_grid(plan: SweepPlan) -> int:
    """`--dry-run`: print the points and write nothing."""
    render_grid([point.record() for point in plan.points], Console(highlight=False))
    return 0


def run(plan: SweepPlan, *, out: Path | None, csv: str | None, strict: bool) -> int:
    """Measure every point of the plan in a new folder; returns the exit code."""
    folder = out if out is not None else default_folder(plan.scenario)
    check_free(folder)
    check_csv(csv)
    machine, described = look_at_machine(plan)
    with closing(RunDirectory.create(folder, plan.manifest, described)) as run_directory:
        return carry_out(plan, list(enumerate(plan.points)), run_directory, machine, csv=csv, strict=strict)


def resume(plan: SweepPlan, folder: Path, *, retry: Collection[str], csv: str | None, strict: bool) -> int:
    """Measure what is missing of the run in `folder`, and what ended as `retry` says; returns the exit code."""
    check_csv(csv)
    with closing(RunDirectory.open(folder)) as run_directory:
        work = left_of(plan, folder, run_directory.records, retry)
        machine = None
        if work:
            machine, described = look_at_machine(plan)
            check_platform(folder, run_directory.records, described["platform"])
            run_directory.add_environment(described)
        return carry_out(plan, work, run_directory, machine, csv=csv, strict=strict)


def show_rest(plan: SweepPlan, folder: Path, *, retry: Collection[str]) -> int:
    """`--resume --dry-run`: print the points that are left and write nothing."""
    records = load_records(folder)
    render_grid([point.record() for _, point in left_of(plan, folder, records, retry)], Console(highlight=False))
    return 0


def carry_out(
    plan: SweepPlan,
    work: Sequence[tuple[int, Point]],
    run_directory: RunDirectory,
    machine: Machine | None,
    *,
    csv: str | None,
    strict: bool,
) -> int:
    """Measure the points in `work` and show what came of the whole run; returns the exit code.

    Progress goes to stderr, the summary to stdout (to stderr where stdout carries the CSV).
    """
    folder = run_directory.path
    progress = Console(stderr=True, highlight=False)
    interrupted = False
    stopped_by: UserError | None = None
    try:
        done = len(plan.points) - len(work)
        if work and machine is not None:
            with Progress([point for _, point in work], plan.options, progress, done=done) as observer:
                sweep(work, plan.options, run_directory, machine, observer)
        else:
            failed = [status for status in RETRYABLE if any(r.status == status for r in run_directory.records)]
            hint = f" Try those again that failed: --retry {','.join(failed)}" if failed else ""
            progress.print(f"Nothing is left to do: all {done} points have ended.{hint}", soft_wrap=True)
    except SweepInterruptedError:
        interrupted = True
    except UserError as error:  # the disk took no more: show what there is before saying so
        stopped_by = error
    records = run_directory.records
    render_summary(records, progress if csv == "-" else Console(highlight=False), title=f"Run {folder}")
    if stopped_by is None:
        progress.print(f"Written to {folder}", soft_wrap=True, markup=False)
    write_csv(csv, csv_text(records))
    if stopped_by is not None:
        raise stopped_by
    if interrupted:
        progress.print(
            f"Interrupted after {len(records)} of {len(plan.points)} points; to go on: "
            f"scaleprof sweep --resume {shlex.quote(str(folder))}",
            soft_wrap=True,
            markup=False,
        )
        return INTERRUPTED
    some_failed = any(record.status != "ok" for record in records)
    return SOME_FAILED if strict and some_failed else 0


def look_at_machine(plan: SweepPlan) -> tuple[Machine, dict[str, Any]]:
    """What all points share, and the description of it that a run keeps."""
    nvml = Nvml(load_nvml())
    cards = nvml.describe()
    child_env = child_environment(plan.device, nvml)
    facts = first_child(child_env, plan)
    if facts["platform"] != "cpu":
        child_env |= memory_fraction(plan.options.memory_limit_bytes, total_bytes(cards, nvml.card(child_env)))
    kinds = {kind: variables(child_env, kind) for kind in plan.options.measure}
    described = environment.describe(environment.command_line(), kinds, facts, cards)
    against = plan.manifest["options"]["against"]
    versions: tuple[Version, ...] = ()
    if against:
        versions = (Version(), find_version(against))
        described["against"] = look_at_version(against, versions[1], child_env)
    return Machine(environment=child_env, nvml=nvml, rates=rates_of(facts), versions=versions), described


def look_at_version(against: str, version: Version, child_env: dict[str, str]) -> dict[str, Any]:
    """Which scaleprof another version of the code is; raises `UserError` where the two cannot be measured together."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        try:
            facts = look_around({**child_env, **dict(version.variables)}, log, 60.0, command=version.command)
        except UserError as error:
            raise UserError(f"--against: {against}: {error}") from None
    if facts.get("protocol") != PROTOCOL:
        raise UserError(
            f"--against: the scaleprof of {against} cannot take turns with this one: give a version like it"
        )
    return {"given": against, "scaleprof": facts["scaleprof"], "git": environment.git_state(Path(facts["source"]))}


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


def first_child(child_env: dict[str, str], plan: SweepPlan) -> dict[str, Any]:
    """Look at the devices from a fresh process, and refuse a memory limit that no process could start under."""
    with tempfile.TemporaryDirectory() as folder:
        timeout = max(plan.options.timeout_seconds, 60.0)
        facts = look_around(child_env, Path(folder) / "log", timeout, pin=plan.options.pin, rates=True)
    if on_gpu(plan.device) and facts["platform"] == "cpu":
        raise UserError(f"--device: jax finds no GPU for {plan.device}: see 'scaleprof doctor'")
    limit, start = plan.options.memory_limit_bytes, facts["start_rss_bytes"]
    if facts["platform"] == "cpu" and limit <= start:
        raise UserError(
            f"--memory-limit: {limit / 2**20:.0f} MiB is less than a process needs before it does any work "
            f"({start / 2**20:.0f} MiB): give more"
        )
    return facts
