"""`scaleprof frontier`: the largest team, or sequence, batch or width, that fits a memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from reports.records.record import Record
from reports.text.section import Cell, Document, Section, TableColumn, label
from reports.text.units import UNKNOWN, format_bytes, format_seconds
from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.cli.output import tell
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.points.axes import LIMITS, RESULTS, WHAT, option, rows
from scaleprof.points.plan_request import PlanRequest

if TYPE_CHECKING:
    from scaleprof.planning.largest_size import Frontier
    from scaleprof.planning.point_plans import PointPlans
    from scaleprof.points.plan import SweepPlan
    from scaleprof.points.point import Point

HELP = """Find the largest size at which each model fits into a device's memory, by compiling a few sizes for it.

Small sizes are compiled and fitted, then both neighbours of the answer are compiled: at most 6 sizes a model. Nothing
runs; the answer is an estimate. Exit code 3 if no size fits.
"""
AXES = {"agents": "agents", "seq-len": "seq_len", "envs": "envs", "embed-dim": "embed_dim"}
"""The axes whose largest value can be found, with the fields of a point that they set."""
MOST = 2**20
"""The largest size that is tried where nothing else bounds it."""
NOTHING_FITS = 3


@dataclass(frozen=True, kw_only=True)
class FrontierCommand:
    """The options besides those of a plan."""

    axis: str = option("agents", f"What to enlarge: {', '.join(AXES)}", metavar="AXIS", panel=WHAT, in_files=False)
    max: int | None = option(
        None, "Largest size to try", metavar="N", shown="the scenario's largest, else 1048576", panel=LIMITS
    )
    out: Path | None = option(None, "Keep the plans in this run directory", metavar="DIR", shown="no", panel=RESULTS)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    def run(values: Mapping[str, Any]) -> int:
        from scaleprof.points.options import make_request

        given = {name: value for name, value in values.items() if value is not None}
        command = FrontierCommand(**{name: given[name] for name in rows(FrontierCommand) if name in given})
        field = _field(command)
        if field in given:
            flag = rows(PlanRequest)[field].flag
            raise UserError(f"{flag}: frontier finds the largest value itself: omit it, or give another --axis")
        own = {name: given[name] for name in rows(PlanRequest) if name in given}
        smallest = {"agents": "2"} if field != "agents" and "agents" not in own else {}
        request = make_request({**smallest, **own}, None, PlanRequest, [])
        assert isinstance(request, PlanRequest)
        return frontier(request, command)

    command = command_of(run, PlanRequest, FrontierCommand, name="frontier", help=HELP)
    app.command(cls=GroupedCommand, short_help="Find the largest size that fits into a device's memory.")(command)


def _field(command: FrontierCommand) -> str:
    from reports.text.hints import nearest

    if command.axis not in AXES:
        raise UserError(f"--axis: unknown axis '{command.axis}': {nearest(command.axis, AXES)}")
    return AXES[command.axis]


def frontier(request: PlanRequest, command: FrontierCommand) -> int:
    """Find the largest size of every curve of a request and print them; returns the exit code."""
    from reports.render.console import open_console
    from reports.render.terminal import print_document
    from scaleprof.planning.planner import plan_points
    from scaleprof.planning.point_plans import point_plans
    from scaleprof.runs.store import check_free
    from scaleprof.sweep.loop import SweepInterruptedError

    field = _field(command)
    plan = plan_points(request)
    if command.out is not None:
        check_free(command.out)
    curves = list(dict.fromkeys(_at(point, field, 0) for point in plan.points))
    ranges = [sizes_of(plan, curve, field, command.max) for curve in curves]
    found: list[tuple[Point, Frontier]] = []
    devices: set[str] = set()

    def say(point: Point, record: Record) -> None:
        devices.add(record.device)
        how = format_bytes(record.xla_peak_bytes) if record.xla_peak_bytes is not None else record.reason
        seconds = format_seconds(record.point_seconds)
        tell(f"{point.variant}, {command.axis} {getattr(point, field)}: {how} ({seconds})", stderr=True)

    try:
        with point_plans(plan, say, command.out) as plans:
            for curve, allowed in zip(curves, ranges, strict=True):
                found.append((curve, searched(plans, plan, curve, field, allowed)))
    except SweepInterruptedError:
        return INTERRUPTED
    document = frontier_document(found, command.axis, plan.options.memory_limit_bytes, ", ".join(sorted(devices)))
    print_document(open_console(), document)
    return 0 if any(one.fits is not None for _, one in found) else NOTHING_FITS


def searched(plans: PointPlans, plan: SweepPlan, curve: Point, field: str, allowed: tuple[int, int, int]) -> Frontier:
    """The frontier of one curve."""
    from scaleprof.planning.largest_size import Frontier, search
    from scaleprof.planning.point_plans import needed_bytes

    least, most, step = allowed

    def need(size: int, fitting: bool) -> int | None:
        record = plans.record_of(_at(curve, field, size), untrimmed=fitting)
        needed = needed_bytes(record)
        return record.xla_wanted_bytes if fitting and needed and record.xla_wanted_bytes else needed

    return search(Frontier(plan.options.memory_limit_bytes, least, most, step), need)


def sizes_of(plan: SweepPlan, curve: Point, field: str, most: int | None) -> tuple[int, int, int]:
    """The smallest and the largest size to try, and the step between them; raises `UserError` if there is none.

    Environments are split into minibatches, a width among heads and sines, a sequence into chunks.
    """
    import scenarios
    from scaleprof.points.point import check

    steps = {"agents": 1, "seq_len": curve.chunk or 1, "envs": curve.minibatches, "embed_dim": math.lcm(2, curve.heads)}
    step, limit = steps[field], MOST
    least = step
    if field == "agents":
        entry = scenarios.find(curve.scenario)
        least, limit = entry.min_agents, entry.max_agents
    limit = min(limit, most) if most is not None else limit
    limit -= limit % step
    if limit < least:
        raise UserError(f"--max: {most} is below the smallest size, {least}: give more")
    check(_at(curve, field, least))
    return least, limit, step


def _at(point: Point, field: str, size: int) -> Point:
    changed: dict[str, Any] = {field: size}
    return dataclasses.replace(point, **changed)


def _share(need: int, budget: int) -> str:
    """`59.1 GiB (99.7 %)`: near the limit the bytes alone look equal."""
    return f"{format_bytes(need)} ({100 * need / budget:.4g} %)"


def frontier_document(found: Sequence[tuple[Point, Frontier]], axis: str, budget: int, device: str) -> Document:
    """One row per curve: the largest size that fits, what it needs, and what the next one needs."""
    several = len({(point.model, point.mode) for point, _ in found}) < len(found)
    labels = [label("model", [point.model for point, _ in found]), label("mode", [point.mode for point, _ in found])]
    if several:
        labels.append(label("point", [point.slug for point, _ in found]))
    cells: dict[str, list[str]] = {
        f"largest {axis}": [],
        "needs": [],
        "first too large": [],
        "it needs": [],
        "compiled": [],
    }
    for _, one in found:
        exact = "" if one.is_exact or one.fits is None else "at least "
        cells[f"largest {axis}"].append("none" if one.fits is None else f"{exact}{one.fits}")
        cells["needs"].append(UNKNOWN if one.fits is None else _share(one.known[one.fits], budget))
        next_one = one.too_large
        cells["first too large"].append("not tried" if next_one is None else str(next_one))
        cells["it needs"].append(UNKNOWN if next_one is None else _share(one.known[next_one], budget))
        cells["compiled"].append(f"{len(one.known)} sizes")
    columns = tuple(TableColumn(name, tuple(map(Cell, texts))) for name, texts in cells.items())
    return Document(
        f"Largest {axis} in {format_bytes(budget)} on {device or UNKNOWN}",
        sections=(
            Section(labels=tuple(labels), columns=columns),
            Section(lines=("An estimate: compiled for the device and not run. See scaleprof plan --help.",)),
        ),
    )
