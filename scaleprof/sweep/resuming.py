"""A run's plan, made again from its manifest: to resume the run, or to measure all of it once more."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from reports.records.record import PLAN, Record, is_between
from reports.records.run import record_key
from reports.text.hints import nearest
from scaleprof.errors import UserError
from scaleprof.points.axes import SweepRequest, defaults, option_name, rows
from scaleprof.points.choices import memory_limit, on_gpu
from scaleprof.points.option_files import is_file
from scaleprof.points.options import make_request, plan_sweep
from scaleprof.points.parsing import parse_names
from scaleprof.points.plan import SweepPlan, keys_of, remaining
from scaleprof.points.point import Point
from scaleprof.runs.store import read_manifest

RETRYABLE = ("oom", "timeout", "error", "crashed", "skipped")
"""The statuses that `--retry` can name. An interrupted point is always measured again."""
MAY_DIFFER = ("timeout", "memory_limit", "max_hours", "keep_going", "plan_between", "retry_contended")
"""Options that a resumed run may change: when to give up and what to plan, not what is measured or how."""


def check_retry(text: str | None) -> tuple[str, ...]:
    """The statuses in `--retry`."""
    statuses = () if text is None else parse_names(text, "--retry")
    for status in statuses:
        if status not in RETRYABLE:
            raise UserError(f"--retry: '{status}' cannot be retried: {nearest(status, RETRYABLE)}")
    return statuses


def plan_resume(folder: Path, request: SweepRequest) -> SweepPlan:
    """The plan that the run in `folder` began with, except for options in `MAY_DIFFER`.

    All other options that the user gives must lead to the same plan, however a list is written. Raises `UserError`
    where they do not, where the folder holds no run, and where its options mean something else in this version.
    """
    manifest, kind = read_manifest(folder, "--resume"), type(request)
    kept = _kept_options(folder, manifest, "--resume", kind)
    given = _given(request, manifest)
    may_differ = {name: given.pop(name) for name in MAY_DIFFER if name in given}
    for name, value in may_differ.items():
        rows(kind)[name].parse(value, option_name(name))
    if "memory_limit" in may_differ:
        memory_limit(may_differ["memory_limit"], on_gpu=on_gpu(kept["device"]))
    plan = _same_plan(folder, manifest, kept | may_differ, "--resume", kind)
    differing = [name for name, value in given.items() if value != kept[name]]
    only_text = all(isinstance(given[name], (str, list)) for name in differing)  # there are many ways to write a list
    if differing and not (only_text and _same(plan, _plan(kept | may_differ | given, kind))):
        lines = [
            f"{option_name(name)}: the run has {_shown(kept[name])}, given {_shown(given[name])}" for name in differing
        ]
        raise UserError(f"{'; '.join(lines)}: omit {'it' if len(lines) == 1 else 'them'} to resume {folder}")
    return plan


def plan_again(folder: Path, option: str) -> SweepPlan:
    """The plan that the run in `folder` began with, to measure all of it again, however long that takes.

    Raises `UserError`, naming `option`, where the folder holds no run or its options mean something else in this
    version.
    """
    manifest = read_manifest(folder, option)
    return _same_plan(folder, manifest, _kept_options(folder, manifest, option) | {"max_hours": None}, option)


def points_to_measure(
    plan: SweepPlan, folder: Path, records: Sequence[Record], retry: Collection[str]
) -> list[tuple[int, Point]]:
    """The points of a run that are still to be measured, each with its number in the grid.

    Raises `UserError` where the run has records of points that are not in the plan.
    """
    unknown = {record_key(record) for record in records if not is_between(record)} - {
        key for point in plan.points for key in keys_of(point, plan.options.sides)
    }
    if unknown:
        raise UserError(
            f"--resume: {folder} cannot be resumed here: {len(unknown)} of its records belong to points that its "
            "options do not make: use the scaleprof version that began it"
        )
    return remaining(plan.all_points, records, retry, plan.options.sides)


def check_platform(folder: Path, records: Sequence[Record], platform: str) -> None:
    """Raise `UserError` where a run would continue on another kind of device than it was measured on."""
    before = {record.platform for record in records if record.platform} - {platform}
    if before:
        raise UserError(
            f"--resume: {folder} was measured on {', '.join(sorted(before))}, but jax finds {platform} here: resume "
            "it where it began, or start a new run"
        )


def _given(request: SweepRequest, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the user gives for a resumed run: the options, over the preset unless it is the run's own."""
    given = {}
    if request.preset and (is_file(request.preset) or request.preset != manifest.get("preset")):
        given = {name: getattr(request, name) for name in request.origins}
    given |= {name: getattr(request, name) for name in defaults(type(request)) if name in request.given}
    return given | ({"set": list(given["set"])} if "set" in given else {})


def _same_plan(
    folder: Path,
    manifest: dict[str, Any],
    options: dict[str, Any],
    option: str,
    kind: type[SweepRequest] = SweepRequest,
) -> SweepPlan:
    """The plan of a manifest's options, which must have as many points as it had."""
    try:
        plan = _plan(options, kind)
    except UserError as error:
        raise UserError(f"{option}: {folder} cannot be measured here: {error}") from None
    except (AttributeError, TypeError, ValueError):  # an option of a type that no sweep writes
        raise _damaged(folder, option) from None
    if len(plan.points) != manifest["points"]:
        raise UserError(
            f"{option}: {folder} cannot be measured here: its options made {manifest['points']} points and now make "
            f"{len(plan.points)}: use the scaleprof version that began it"
        )
    return plan


def _kept_options(
    folder: Path, manifest: dict[str, Any], option: str, kind: type[SweepRequest] = SweepRequest
) -> dict[str, Any]:
    """The options in a manifest, all of which this version must know; newer ones have their defaults.

    Earlier versions wrote `null` where they chose gradient groups or segments by size, and a number otherwise.
    """
    options = manifest.get("options")
    if manifest.get("command") == PLAN:
        raise UserError(f"{option}: {folder} is a plan and holds no measurements: run scaleprof plan again")
    if not isinstance(options, dict) or "points" not in manifest:
        raise _damaged(folder, option)
    known = defaults(kind) | {"set": []}
    unknown = [option_name(name) for name in options if name not in known]
    if unknown:
        raise UserError(
            f"{option}: {folder} uses {', '.join(unknown)}, which this version does not know: update scaleprof"
        )
    by_size = {name: "auto" if options.get(name) is None else str(options[name]) for name in ("accumulate", "segment")}
    return known | options | by_size


def _damaged(folder: Path, option: str) -> UserError:
    return UserError(f"{option}: {folder / 'manifest.json'} lacks the options of a sweep: it was edited or damaged")


def _plan(options: dict[str, Any], kind: type[SweepRequest]) -> SweepPlan:
    """The plan of a manifest's options, given as the command line would give them."""
    given = options | {"set": tuple(options["set"])}
    if isinstance(given["memory_limit"], int):
        given["memory_limit"] = f"{given['memory_limit']}B"
    return plan_sweep(make_request(given, kind=kind), yes=True)


def _same(plan: SweepPlan, other: SweepPlan) -> bool:
    versions = [one.manifest["options"]["against"] for one in (plan, other)]
    return (plan.points, plan.options, plan.device) == (other.points, other.options, other.device) and (
        os.path.normpath(versions[0]) == os.path.normpath(versions[1])
    )


def _shown(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, list) else str(value)
