"""`scaleprof fits`: whether one point fits a memory, yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from reports.records.record import Record
from reports.text.units import format_bytes, format_seconds
from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.cli.output import tell
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.points.plan_request import PlanRequest

if TYPE_CHECKING:
    from scaleprof.points.point import Point

HELP = """Say whether one point fits into a device's memory, by compiling it for the device.

Exit code 0 if it fits, 3 if it does not. Nothing runs; the answer is an estimate.
"""
DOES_NOT_FIT = 3


@dataclass(frozen=True, kw_only=True)
class FitsCommand:
    """`fits` has no options but those of a plan."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    def run(values: Mapping[str, Any]) -> int:
        from scaleprof.points.options import make_request

        given = {name: value for name, value in values.items() if value is not None}
        request = make_request(given, None, PlanRequest, [])
        assert isinstance(request, PlanRequest)
        return fits(request)

    command = command_of(run, PlanRequest, FitsCommand, name="fits", help=HELP)
    app.command(cls=GroupedCommand, short_help="Say whether a point fits into a device's memory.")(command)


def fits(request: PlanRequest) -> int:
    """Answer for the point of a request; returns the exit code."""
    from scaleprof.planning.planner import one_point, plan_points
    from scaleprof.planning.point_plans import needed_bytes, point_plans
    from scaleprof.sweep.loop import SweepInterruptedError

    plan = plan_points(request)
    one_point(plan, "fits")
    point, limit = plan.points[0], plan.options.memory_limit_bytes
    try:
        with point_plans(plan, lambda point, record: None) as plans:
            record = plans.record_of(point)
    except SweepInterruptedError:
        return INTERRUPTED
    need = needed_bytes(record)
    if need is None:
        raise UserError(f"{point.label} could not be planned: {record.status}: {record.reason}", DOES_NOT_FIT)
    tell(answer(point, record, need, limit))
    return 0 if need <= limit else DOES_NOT_FIT


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{100 * share:.3g} %"


def answer(point: Point, record: Record, need: int, limit: int) -> str:
    """`yes: sable:factored · 512 agents · T 64 needs 12.0 GiB of 59.3 GiB (20 %) on NVIDIA …; 47.3 GiB to spare.`"""
    spare = limit - need
    verdict = "yes" if spare >= 0 else "no"
    rest = f"{format_bytes(spare)} to spare" if spare >= 0 else f"{format_bytes(-spare)} too much"
    took = f", compiled in {format_seconds(record.compile_seconds)}" if record.compile_seconds is not None else ""
    trimmed = ""
    if record.xla_wanted_bytes is not None and record.xla_wanted_bytes > need:
        trimmed = f" (XLA recomputes to save memory; without that {format_bytes(record.xla_wanted_bytes)})"
    return (
        f"{verdict}: {point.label} needs {format_bytes(need)} of {format_bytes(limit)} ({_percent(need / limit)}) on "
        f"{record.device}, {rest}{trimmed}{took}. Estimate: nothing ran."
    )
