"""A run's plan, planned again from its manifest: to go on with what is left of it, or to measure it all once more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from reports.records.record import Record
from reports.records.run import record_key
from scaleprof.errors import UserError
from scaleprof.points.choices import memory_limit, on_gpu, timeout_seconds
from scaleprof.points.options import DEFAULTS, load_preset, option_name, plan_sweep
from scaleprof.points.parsing import nearest, parse_names
from scaleprof.points.plan import SweepPlan, keys_of, remaining
from scaleprof.points.point import Point
from scaleprof.runs.store import read_manifest

RETRYABLE = ("oom", "timeout", "error", "crashed", "skipped")
"""The endings that `--retry` can name. What was interrupted is always done again."""
MAY_DIFFER = ("timeout", "memory_limit", "keep_going")
"""Options that are taken as given, because they say when to give up and not what is measured, or how."""


def check_retry(text: str | None) -> tuple[str, ...]:
    """The statuses in `--retry`."""
    statuses = () if text is None else parse_names(text, "--retry")
    for status in statuses:
        if status not in RETRYABLE:
            raise UserError(f"--retry: no point ends as '{status}': {nearest(status, RETRYABLE)}")
    return statuses


def plan_resume(
    folder: Path, explicit: dict[str, Any], settings: list[str], preset: str | None, *, device: str | None
) -> SweepPlan:
    """The plan that the run in `folder` was begun with, but for what may differ.

    What the user gives must make the same plan, lists in whatever words; the run's own preset does. Raises `UserError`
    where it does not, where the folder holds no run, and where its options have another meaning by now.
    """
    manifest = read_manifest(folder, "--resume")
    kept = _kept_options(folder, manifest, "--resume")
    given = _without_may_differ(load_preset(preset)) if preset and preset != manifest.get("preset") else {}
    given |= {name: value for name, value in explicit.items() if value is not None}
    given |= {"set": settings} if settings else {}
    given |= {"device": device} if device is not None else {}
    may_differ = {name: given.pop(name) for name in MAY_DIFFER if name in given}
    timeout_seconds(may_differ.get("timeout", DEFAULTS["timeout"]))
    memory_limit(may_differ.get("memory_limit"), on_gpu=on_gpu(kept["device"]))
    plan = _same_plan(folder, manifest, kept | may_differ, "--resume")
    differing = [name for name, value in given.items() if value != kept[name]]
    only_text = all(isinstance(given[name], (str, list)) for name in differing)  # there are many ways to write a list
    if differing and not (only_text and _same(plan, _plan(kept | may_differ | given))):
        lines = [
            f"{option_name(name)}: the run has {_shown(kept[name])}, given {_shown(given[name])}" for name in differing
        ]
        raise UserError(f"{'; '.join(lines)}: leave {'it' if len(lines) == 1 else 'them'} out to resume {folder}")
    return plan


def plan_again(folder: Path, option: str) -> SweepPlan:
    """The plan that the run in `folder` was begun with, to measure all of it once more.

    Raises `UserError`, under the name of `option`, where the folder holds no run or its options have another meaning by
    now.
    """
    manifest = read_manifest(folder, option)
    return _same_plan(folder, manifest, _kept_options(folder, manifest, option), option)


def _same_plan(folder: Path, manifest: dict[str, Any], options: dict[str, Any], option: str) -> SweepPlan:
    """The plan that a manifest's options make, which must be of as many points as it was."""
    try:
        plan = _plan(options)
    except UserError as error:
        raise UserError(f"{option}: {folder} cannot be measured here: {error}") from None
    except (AttributeError, TypeError, ValueError):  # an option of another type than a sweep writes
        raise _damaged(folder, option) from None
    if len(plan.points) != manifest["points"]:
        raise UserError(
            f"{option}: {folder} cannot be measured here: its options made {manifest['points']} points and now make "
            f"{len(plan.points)}: use the scaleprof that began it"
        )
    return plan


def left_of(
    plan: SweepPlan, folder: Path, records: Sequence[Record], retry: Collection[str]
) -> list[tuple[int, Point]]:
    """The points of a run that are to be measured, each with its number in the grid.

    Raises `UserError` where the run has records of another grid than the plan's.
    """
    strange = {record_key(record) for record in records} - {
        key for point in plan.points for key in keys_of(point, plan.options.sides)
    }
    if strange:
        raise UserError(
            f"--resume: {folder} cannot go on here: {len(strange)} of its records are of points that its options do "
            "not make: use the scaleprof that began it"
        )
    return remaining(plan.points, records, retry, plan.options.sides)


def check_platform(folder: Path, records: Sequence[Record], platform: str) -> None:
    """Raise `UserError` where a run would go on with another kind of device than it has measured on."""
    before = {record.platform for record in records if record.platform} - {platform}
    if before:
        raise UserError(
            f"--resume: {folder} was measured on {', '.join(sorted(before))} and jax finds {platform} here: go on "
            "where it began, or start a new run"
        )


def _kept_options(folder: Path, manifest: dict[str, Any], option: str) -> dict[str, Any]:
    """The options in a manifest, each of which this version must know; defaults for those that came later."""
    options = manifest.get("options")
    if not isinstance(options, dict) or "points" not in manifest:
        raise _damaged(folder, option)
    known = DEFAULTS | {"set": [], "device": None}
    unknown = [option_name(name) for name in options if name not in known]
    if unknown:
        raise UserError(
            f"{option}: {folder} was begun with {', '.join(unknown)}, which this scaleprof does not know: update it"
        )
    return known | options


def _without_may_differ(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in MAY_DIFFER}


def _damaged(folder: Path, option: str) -> UserError:
    return UserError(f"{option}: {folder / 'manifest.json'} lacks the options of a sweep: it was edited or damaged")


def _plan(options: dict[str, Any]) -> SweepPlan:
    """The plan that these options of a manifest make, from text as the command line has it."""
    named = {name: options[name] for name in DEFAULTS}
    if isinstance(named["memory_limit"], int):
        named["memory_limit"] = f"{named['memory_limit']}B"
    return plan_sweep(named, options["set"], None, yes=True, device=options["device"])


def _same(plan: SweepPlan, other: SweepPlan) -> bool:
    return (plan.points, plan.options, plan.device) == (other.points, other.options, other.device)


def _shown(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, list) else str(value)
