"""`scaleprof plan`: what points need on a device, by compiling for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.cli.sweep import SweepCommand, from_files, held
from scaleprof.points.axes import LIMITS, RESULTS, WHAT, SweepRequest, option, rows
from scaleprof.points.completions import presets
from scaleprof.points.plan_request import PlanRequest

if TYPE_CHECKING:
    from scaleprof.points.plan import SweepPlan

HELP = """Plan what each model needs at each size on a device that need not be there.

XLA compiles act, rollout and learn of every point for the target, and nothing runs. An estimate: no autotuning, no
workspace of cuDNN.
"""


@dataclass(frozen=True, kw_only=True)
class PlanCommand:
    """The options that say what to do with a plan."""

    preset: str | None = option(
        None,
        "Start from a preset, such as paper-memory, or from a .toml file",
        metavar="NAME",
        panel=WHAT,
        complete=presets,
        in_files=False,
    )
    config: Path | None = option(
        None, "Take options from the [sweep] table of this file", metavar="FILE.toml", panel=WHAT, in_files=False
    )
    yes: bool = option(False, "Allow more than 10000 points", panel=LIMITS)
    out: Path | None = option(None, "Run directory", metavar="DIR", shown="runs/<time>-<scenario>", panel=RESULTS)
    csv: str | None = option(
        None, "Also write the results to this CSV file; - is stdout", metavar="FILE", panel=RESULTS
    )
    strict: bool = option(False, "Exit with 3 if any point failed, not only if all did", panel=RESULTS)
    dry_run: bool = option(False, "Print the grid without planning it", panel=RESULTS, in_files=False)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Which of these options hold from which file of options."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    def run(values: Mapping[str, Any]) -> int:
        return plan(*requested(values))

    command = command_of(run, PlanRequest, PlanCommand, name="plan", help=HELP)
    app.command(cls=GroupedCommand, short_help="Plan memory for a device that need not be there.")(command)


def requested(values: Mapping[str, Any]) -> tuple[PlanRequest, PlanCommand]:
    """What the command line asks for, over a preset and a file of options. None in `values` is not given."""
    from scaleprof.points.option_files import read_preset
    from scaleprof.points.options import make_request

    given = {name: value for name, value in values.items() if value is not None}
    kinds = (SweepRequest, SweepCommand, PlanRequest, PlanCommand)  # what only a sweep has, a plan leaves out
    sources = [read_preset(str(name), kinds) for name in (given.get("preset"), given.get("config")) if name is not None]
    chosen = {name: value for source in sources for name, value in source.options.items()} | given
    others = {name: chosen[name] for name in rows(PlanCommand) if name in chosen}
    command = PlanCommand(**others, sources=held(sources, set(others) - set(given)))
    own = {name: given[name] for name in rows(PlanRequest) if name in given}
    request = make_request(own, given.get("preset"), PlanRequest, sources)
    assert isinstance(request, PlanRequest)
    return request, command


def plan(request: PlanRequest, command: PlanCommand) -> int:
    """Plan the points that the user asked for; returns the exit code."""
    from scaleprof.cli import run_sweep
    from scaleprof.planning.planner import plan_points

    made: SweepPlan = plan_points(request, yes=command.yes)
    if command.dry_run:
        return run_sweep.show_grid(made, from_files(request, command.sources))
    return run_sweep.run(
        made, from_files(request, command.sources), out=command.out, csv=command.csv, strict=command.strict
    )
