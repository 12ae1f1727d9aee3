"""`scaleprof sweep`: its options, and what they start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import typer

from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.errors import UserError
from scaleprof.points.axes import LIMITS, RESULTS, WHAT, SweepRequest, option, rows

HELP = """Measure what it costs to train each model at each size.

Each point runs in a process of its own. Lists (16,128) and ranges (1:10:3, 16:4096:x2; the end included) multiply
into a grid.
"""


@dataclass(frozen=True, kw_only=True)
class SweepCommand:
    """The options that say what to do with a plan."""

    preset: str | None = option(
        None, "Start from a preset, such as quick; options override it", metavar="NAME", panel=WHAT
    )
    yes: bool = option(False, "Allow more than 10000 points", panel=LIMITS)
    out: Path | None = option(None, "Run directory", metavar="DIR", shown="runs/<time>-<scenario>", panel=RESULTS)
    csv: str | None = option(
        None, "Also write the results to this CSV file; - is stdout", metavar="FILE", panel=RESULTS
    )
    resume: Path | None = option(None, "Resume a run: measure the missing points", metavar="RUN", panel=RESULTS)
    retry: str | None = option(None, "With --resume, also rerun points with these statuses: oom,timeout", panel=RESULTS)
    strict: bool = option(False, "Exit with 3 if any point failed", panel=RESULTS)
    dry_run: bool = option(False, "Print the grid without measuring it", panel=RESULTS)


def register(app: typer.Typer, kind: type[SweepRequest] = SweepRequest) -> None:
    """Add the command to the program, with the options of `kind`."""

    def run(values: Mapping[str, Any]) -> int:
        chosen = {one.name: values[one.name] for one in fields(SweepCommand) if values[one.name] is not None}
        return sweep({name: values[name] for name in rows(kind)}, SweepCommand(**chosen), kind)

    command = command_of(run, kind, SweepCommand, name="sweep", help=HELP)
    app.command(cls=GroupedCommand, short_help="Measure what each model costs at each size.")(command)


def sweep(given: Mapping[str, Any], command: SweepCommand, kind: type[SweepRequest] = SweepRequest) -> int:
    """Plan the sweep that the user asked for and carry it out; returns the exit code. None in `given` is not given."""
    from scaleprof.cli import run_sweep
    from scaleprof.launch.pairs import find_version
    from scaleprof.points.options import make_request, plan_sweep
    from scaleprof.sweep.resuming import check_retry, plan_resume

    retry = check_retry(command.retry)
    request = make_request(given, command.preset, kind)
    if command.resume is not None:
        if command.out is not None:
            raise UserError(f"--out: a resumed run stays in its folder, {command.resume}: omit --out")
        plan = plan_resume(command.resume, request)
        if command.dry_run:
            return run_sweep.show_missing(plan, command.resume, retry=retry)
        return run_sweep.resume(plan, command.resume, retry=retry, csv=command.csv, strict=command.strict)
    if retry:
        raise UserError("--retry: only a run that is resumed can retry points: add --resume RUN")
    if request.against:
        find_version(request.against)
    plan = plan_sweep(request, yes=command.yes)
    if command.dry_run:
        return run_sweep.show_grid(plan)
    return run_sweep.run(plan, out=command.out, csv=command.csv, strict=command.strict)
