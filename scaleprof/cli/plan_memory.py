"""`scaleprof plan`: what points need on a device, by compiling for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.cli.sweep import GridCommand, SweepCommand, from_files, held
from scaleprof.points.axes import SweepRequest, rows
from scaleprof.points.plan_request import PlanRequest

if TYPE_CHECKING:
    from scaleprof.points.plan import SweepPlan

HELP = """Plan what each model needs at each size on a device that need not be there.

XLA compiles act, rollout and learn of every point for the target, and nothing runs. An estimate: no autotuning, no
workspace of cuDNN.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    def run(values: Mapping[str, Any]) -> int:
        return plan(*requested(values))

    command = command_of(run, PlanRequest, GridCommand, name="plan", help=HELP)
    app.command(cls=GroupedCommand, short_help="Plan memory for a device that need not be there.")(command)


def requested(values: Mapping[str, Any]) -> tuple[PlanRequest, GridCommand]:
    """What the command line asks for, over a preset and a file of options. None in `values` is not given."""
    from scaleprof.points.option_files import read_config, read_preset
    from scaleprof.points.options import make_request

    given = {name: value for name, value in values.items() if value is not None}
    kinds = (SweepRequest, SweepCommand, PlanRequest, GridCommand)  # what only a sweep has, a plan leaves out
    sources = [read_preset(given["preset"], kinds)] if "preset" in given else []
    sources += [read_config(given["config"], kinds)] if "config" in given else []
    chosen = {name: value for source in sources for name, value in source.options.items()} | given
    others = {name: chosen[name] for name in rows(GridCommand) if name in chosen}
    command = GridCommand(**others, sources=held(sources, set(others) - set(given)))
    own = {name: given[name] for name in rows(PlanRequest) if name in given}
    request = make_request(own, given.get("preset"), PlanRequest, sources)
    assert isinstance(request, PlanRequest)
    return request, command


def plan(request: PlanRequest, command: GridCommand) -> int:
    """Plan the points that the user asked for; returns the exit code."""
    from scaleprof.cli import run_sweep
    from scaleprof.planning.planner import plan_points

    made: SweepPlan = plan_points(request, yes=command.yes)
    if command.dry_run:
        return run_sweep.show_grid(made, from_files(request, command.sources))
    return run_sweep.run(
        made, from_files(request, command.sources), out=command.out, csv=command.csv, strict=command.strict
    )
