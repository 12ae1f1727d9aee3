"""`scaleprof sweep`: its options, and what they start."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.errors import UserError
from scaleprof.points.axes import COMMAND_LINE, LIMITS, RESULTS, WHAT, SweepRequest, option, option_name, rows
from scaleprof.points.completions import presets

if TYPE_CHECKING:
    from scaleprof.points.option_files import OptionFile
    from scaleprof.points.plan import SweepPlan

HELP = """Measure what it costs to train each model at each size.

Each point runs in a process of its own. Lists (16,128) and ranges (1:10:3, 16:4096:x2; the end included) multiply
into a grid.
"""


@dataclass(frozen=True, kw_only=True)
class GridCommand:
    """The options that say what to do with a grid: where its options come from, and where results go."""

    preset: str | None = option(
        None,
        "Start from a preset, such as quick, or from a .toml file",
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
    dry_run: bool = option(False, "Only print the grid", panel=RESULTS, in_files=False)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Which of these options hold from which file of options."""


@dataclass(frozen=True, kw_only=True)
class SweepCommand(GridCommand):
    """The options that say what to do with a sweep."""

    resume: Path | None = option(
        None, "Resume a run: measure the missing points", metavar="RUN", panel=RESULTS, in_files=False
    )
    retry: str | None = option(
        None, "With --resume, also rerun points with these statuses: oom,timeout", panel=RESULTS, in_files=False
    )
    trust: bool = option(
        False,
        "With --resume, allow code that only the run names",
        panel=RESULTS,
        in_files=False,
    )


def register(app: typer.Typer, kind: type[SweepRequest] = SweepRequest) -> None:
    """Add the command to the program, with the options of `kind`."""

    def run(values: Mapping[str, Any]) -> int:
        return sweep(*requested(values, kind))

    command = command_of(run, kind, SweepCommand, name="sweep", help=HELP)
    app.command(cls=GroupedCommand, short_help="Measure what each model costs at each size.")(command)


def requested(values: Mapping[str, Any], kind: type[SweepRequest] = SweepRequest) -> tuple[SweepRequest, SweepCommand]:
    """What the command line asks for, over its files of options. None in `values` is not given."""
    from scaleprof.points.option_files import read_preset, sources_of
    from scaleprof.points.options import make_request

    given = {name: value for name, value in values.items() if value is not None}
    preset, config, resume = given.get("preset"), given.get("config"), given.get("resume")
    if resume is None:
        sources = sources_of(preset, config, Path.cwd(), (kind, SweepCommand))
        chosen = {name: value for source in sources for name, value in source.options.items()} | given
    elif config is not None:
        raise UserError(f"--config: a resumed run keeps its own options, those of {resume}: omit --config")
    else:
        sources, chosen = [read_preset(preset, (kind, SweepCommand))] if preset is not None else [], given
    own = {name: chosen[name] for name in rows(SweepCommand) if name in chosen}
    command = SweepCommand(**own, sources=held(sources, set(own) - set(given)))
    return make_request({name: given[name] for name in rows(kind) if name in given}, preset, kind, sources), command


def sweep(request: SweepRequest, command: SweepCommand) -> int:
    """Plan the sweep that the user asked for and carry it out; returns the exit code."""
    from scaleprof.cli import run_sweep
    from scaleprof.launch.pairs import find_version
    from scaleprof.sweep.resuming import check_retry, plan_resume
    from scaleprof.sweep.trust import named_code

    retry = check_retry(command.retry)
    if command.resume is not None:
        if command.out is not None:
            raise UserError(f"--out: a resumed run stays in its folder, {command.resume}: omit --out")
        plan = plan_resume(command.resume, request)
        if command.dry_run:
            return run_sweep.show_missing(plan, command.resume, retry=retry)
        code = named_code(plan, request)
        return run_sweep.resume(
            plan, command.resume, retry=retry, csv=command.csv, strict=command.strict, code=code, trust=command.trust
        )
    if command.trust:
        raise UserError("--trust: only a run that is resumed names code of its own: add --resume RUN")
    if retry:
        raise UserError("--retry: only a run that is resumed can retry points: add --resume RUN")
    if request.against:
        find_version(request.against)
    plan = _plan(request, yes=command.yes)
    if command.dry_run:
        return run_sweep.show_grid(plan, from_files(request, command.sources))
    return run_sweep.run(
        plan, from_files(request, command.sources), out=command.out, csv=command.csv, strict=command.strict
    )


def _plan(request: SweepRequest, *, yes: bool) -> SweepPlan:
    """The plan of a request; an error about an option that stands in a file names the file."""
    from scaleprof.points.options import plan_sweep

    try:
        return plan_sweep(request, yes=yes)
    except UserError as error:
        flag = str(error).partition(":")[0]
        origins = {option_name(name): origin for name, origin in request.origins.items()}
        if origins.get(flag, COMMAND_LINE) == COMMAND_LINE:
            raise
        raise UserError(f"{origins[flag]}: {error}", error.exit_code) from None


def held(sources: Iterable[OptionFile], names: Collection[str]) -> dict[str, dict[str, Any]]:
    """The options among `names` by the file that they hold from: later files override earlier ones."""
    origins = {name: source for source in sources for name in source.options if name in names}
    found: dict[str, dict[str, Any]] = {}
    for name, source in origins.items():
        found.setdefault(source.name, {})[name] = source.options[name]
    return found


def from_files(request: SweepRequest, others: Mapping[str, Mapping[str, Any]]) -> str:
    """The options that hold from files, in one line: `from pyproject.toml: agents 16,64; from preset quick: …`.

    `others` are those that are no part of a plan, by file.
    """
    from scaleprof.points.option_files import listed

    planned = {source: {name: getattr(request, name) for name in names} for source, names in request.sources.items()}
    options = {source: {**planned.get(source, {}), **others.get(source, {})} for source in (*planned, *others)}
    return "; ".join(f"from {source}: {listed(options)}" for source, options in options.items() if options)
