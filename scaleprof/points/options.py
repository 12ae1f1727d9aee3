"""From a request to a frozen, checked plan: explicit options over files of options over the defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import scenarios
from scaleprof.errors import UserError
from scaleprof.points.axes import COMMAND_LINE, SweepRequest, axes, config_options, rows
from scaleprof.points.between import points_between
from scaleprof.points.choices import (
    COMPILE,
    DEFAULT_TIMEOUT_SECONDS,
    ROOM_TO_COMPILE,
    TOGETHER,
    check_setting,
    choose_scenario,
    choose_settings,
    choose_variants,
    may_be_gpu,
    memory_limit,
)
from scaleprof.points.grid import MAX_POINTS, Grid
from scaleprof.points.option_files import OptionFile, read_preset
from scaleprof.points.plan import SIDES, SweepOptions, SweepPlan

Request = TypeVar("Request", bound=SweepRequest)


def make_request(
    given: Mapping[str, Any],
    preset: str | None = None,
    kind: type[SweepRequest] = SweepRequest,
    sources: Sequence[OptionFile] | None = None,
) -> SweepRequest:
    """What the user asked for: `given` (None is not given) over the files in `sources` over the defaults.

    Later files override earlier ones. Without `sources` there is only the preset.
    """
    files = sources if sources is not None else [read_preset(preset, (kind,))] if preset else []
    explicit = {name: value for name, value in given.items() if value is not None}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, options in (*files, (COMMAND_LINE, explicit)):
        known = {key: value for key, value in options.items() if key in rows(kind)}
        values |= known
        origins |= dict.fromkeys(known, name)
    order = ("", *(name for name, _ in files), COMMAND_LINE)
    return kind(**values, preset=preset, given=frozenset(explicit), origins=origins, order=order)


def plan_sweep(request: SweepRequest, *, yes: bool = False) -> SweepPlan:
    """Check everything that can be checked before anything runs; raises `UserError` for the first thing wrong.

    The manifest keeps all options with the values that hold, so that `scaleprof.sweep.resuming` can plan the same
    sweep again. `yes` allows more than `MAX_POINTS` points.
    """
    request = completed(request)
    table = rows(type(request))
    parsed = {name: row.parse(getattr(request, name), row.flag) for name, row in table.items()}
    grid = grid_of(request, parsed)
    if grid.size > MAX_POINTS and not yes:
        raise UserError(f"the grid has {grid.size} points: give fewer values, or --yes to allow more than {MAX_POINTS}")
    limit = memory_limit(request.memory_limit, on_gpu=may_be_gpu(request.device))
    processes = tuple(kind for kind in parsed["measure"] if kind != COMPILE) or (TOGETHER,)
    times_compiling = COMPILE in parsed["measure"] or request.fresh_compile or bool(request.against)
    options = SweepOptions(
        measure=processes,
        compile_together=processes == (TOGETHER,) and not times_compiling and limit >= ROOM_TO_COMPILE,
        min_updates=parsed["min_updates"],
        min_seconds=parsed["min_seconds"],
        warmup_updates=parsed["warmup_updates"],
        timeout_seconds=parsed["timeout"] or DEFAULT_TIMEOUT_SECONDS,
        timeout_grows=parsed["timeout"] is None,
        memory_limit_bytes=limit,
        pin=parsed["pin"],
        retry_contended=parsed["retry_contended"],
        reuse_compiled=request.repeats > 1 and not request.fresh_compile,
        max_seconds=None if parsed["max_hours"] is None else parsed["max_hours"] * 3600,
        keep_going=request.keep_going,
        sides=SIDES if request.against else ("",),
    )
    if request.against and options.measure != (TOGETHER,):
        raise UserError("--against: each version is measured in one process: omit --measure")
    if request.against and request.plan_between:
        raise UserError("--plan-between: only one version of the code can be planned: omit --against")
    values = {name: getattr(request, name) for name in table}
    points = tuple(grid.points())
    manifest = {
        "preset": request.preset and Path(request.preset).name,
        "sources": request.sources,
        "options": values | {"memory_limit": options.memory_limit_bytes, "set": list(request.set)},
        "points": grid.size,
        "grid": {
            "modes": [list(variant) for variant in grid.variants],
            "agents": sorted({point.agents for point in points}),
            "seq_len": sorted({point.seq_len for point in points}),
        },
    }
    return SweepPlan(
        points=points,
        between=points_between(grid) if request.plan_between else (),
        options=options,
        scenario=grid.scenario,
        device=request.device,
        manifest=manifest,
    )


def completed(request: Request) -> Request:
    """The request with what its other options imply: a task's fixed agent count, published epochs, absolute paths."""
    changes: dict[str, Any] = {}
    if request.follows("agents", "scenario"):
        changes["agents"] = _fixed_agents(request.scenario) or request.agents
    if request.published:
        changes |= {name: None for name in ("epochs", "minibatches") if request.follows(name, "published")}
    if request.tuned:
        changes |= {name: "auto" for name in ("accumulate", "segment") if request.follows(name, "tuned")}
    if request.against:
        changes["against"] = str(Path(request.against).absolute())
    return dataclasses.replace(request, **changes)


def _fixed_agents(scenario: str) -> str:
    """The agent count of a task of fixed size; empty for all others."""
    entry, task = scenarios.find(choose_scenario(scenario)), scenario.partition(":")[2]
    return str(dict(entry.fixed_agents).get(task, ""))


def grid_of(request: SweepRequest, parsed: Mapping[str, Any]) -> Grid:
    """The grid of a request's parsed values."""
    kind = type(request)
    others = [axis for axis in axes(kind) if axis.name not in ("scenario", "model", "mode")]
    for axis in others:
        if axis.sets and parsed[axis.name] not in (None, ()):
            check_setting(axis.sets, parsed["scenario"], axis.flag)
    return Grid(
        scenario=parsed["scenario"],
        variants=choose_variants(parsed["model"], parsed["mode"]),
        values=tuple((axis, parsed[axis.name] if axis.multiplies else (parsed[axis.name],)) for axis in others),
        published=request.published,
        settings=choose_settings(request.set, parsed["scenario"], config_options(kind)),
    )
