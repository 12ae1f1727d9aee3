"""From a request to a frozen plan of points that are only compiled."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaleprof.errors import UserError
from scaleprof.planning.target import EXTRAS, Target, find_target
from scaleprof.points.axes import Axis, axes, rows
from scaleprof.points.grid import MAX_POINTS, Grid
from scaleprof.points.options import completed, grid_of
from scaleprof.points.plan import PLAN, SweepOptions, SweepPlan
from scaleprof.points.plan_request import DEFAULT_TIMEOUT_SECONDS, PlanRequest


def plan_points(request: PlanRequest, *, yes: bool = False) -> SweepPlan:
    """Check everything that can be checked before anything compiles; raises `UserError` for the first thing wrong.

    `yes` allows more than `MAX_POINTS` points.
    """
    request = completed(request)
    table = rows(type(request))
    parsed = {name: row.parse(getattr(request, name), row.flag) for name, row in table.items()}
    grid: Grid = grid_of(request, parsed)
    if grid.size > MAX_POINTS and not yes:
        raise UserError(f"the grid has {grid.size} points: give fewer values, or --yes to allow more than {MAX_POINTS}")
    target = find_target(request.target)
    if target is not None:
        check_compiler(target)
    options = SweepOptions(
        measure=(PLAN,),
        min_updates=0,
        min_seconds=0.0,
        warmup_updates=0,
        timeout_seconds=parsed["timeout"] or DEFAULT_TIMEOUT_SECONDS,
        memory_limit_bytes=memory_of(parsed, target),
        max_seconds=None if parsed["max_hours"] is None else parsed["max_hours"] * 3600,
        pin=parsed["pin"],
        keep_going=True,
    )
    values: dict[str, Any] = {name: getattr(request, name) for name in table}
    return SweepPlan(
        points=tuple(grid.points()),
        options=options,
        scenario=grid.scenario,
        device="cpu",
        manifest={
            "command": PLAN,
            "preset": request.preset and Path(request.preset).name,
            "sources": request.sources,
            "options": values | {"set": list(request.set), "against": ""},
            "points": grid.size,
        },
    )


def memory_of(parsed: Mapping[str, Any], target: Target | None) -> int:
    """The memory that points are to fit into: as given, else what jax may use of the target, or of this machine."""
    from scaleprof.probes import host

    if parsed["memory"] is not None:
        return int(parsed["memory"])
    return host.usable_memory_bytes() if target is None else target.usable_bytes


def one_point(plan: SweepPlan, command: str) -> None:
    """Raise `UserError` if the plan has several points, for a `command` that answers for one."""
    if len(plan.points) == 1:
        return
    several = [axis.flag for axis in axes(PlanRequest) if axis.multiplies and _varies(plan, axis)]
    several += ["--model"] if len({point.variant for point in plan.points}) > 1 else []
    named = " and of ".join(several)
    raise UserError(f"{command} answers for one point, and these options make {len(plan.points)}: give one of {named}")


def _varies(plan: SweepPlan, axis: Axis) -> bool:
    """Whether points have different values of an axis that they all have."""
    values = {dict(point.settings).get(axis.sets, getattr(point, axis.fills, None)) for point in plan.points}
    return axis.name not in ("model", "mode") and len(values - {None}) > 1


def check_compiler(target: Target) -> None:
    """Raise `UserError` where the compiler for a target is not installed, or is not the one that jax needs."""
    extra, package = EXTRAS[target.platform]
    jax = importlib.metadata.version("jax")
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"--target: planning for {target.name} needs {package}: pip install 'scaleprof[{extra}]'"
        ) from None
    wanted = pinned(package) or f"{jax}"
    if not _matches(found, wanted):
        raise UserError(
            f"--target: {package} is {found}, but jax {jax} needs {wanted}: pip install 'scaleprof[{extra}]'"
        )


def pinned(package: str) -> str:
    """The version of a package that jax itself requires in one of its extras, such as `0.0.42.*`; empty if none."""
    for requirement in importlib.metadata.requires("jax") or ():
        name, _, version = requirement.partition(";")[0].strip().partition("==")
        if name.strip().partition("[")[0] == package:
            return version.strip()
    return ""


def _matches(found: str, wanted: str) -> bool:
    return found.startswith(wanted[:-1]) if wanted.endswith("*") else found == wanted
