"""How long a planned sweep takes, judging by an earlier run on this machine; nothing is said without one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reports.records.record import POINT_FIELDS, Record
from reports.records.run import host_files
from scaleprof.errors import UserError
from scaleprof.points.plan import SweepPlan
from scaleprof.points.point import Point
from scaleprof.runs.store import load_records, read_manifest
from scaleprof.sweep.time_left import Estimate

RUNS_TRIED = 20
"""At most so many of the newest runs are looked at."""
FURTHEST = 4
"""How many times more or fewer agents than measured a point may have to be foreseen."""
MEASURING = ("measure", "min_updates", "min_seconds", "warmup_updates", "fresh_compile", "pin", "device")
"""Options of how to measure, which must be those of the earlier run."""
_MAY_DIFFER = ("agents", "seed", "side")


class Foreseen(NamedTuple):
    """The seconds that all points take together, and the run that they are judged by."""

    seconds: float
    run: Path


def foresee(
    plan: SweepPlan, points: Sequence[Point], folders: Iterable[Path], here: Mapping[str, Any]
) -> Foreseen | None:
    """What `points` of the plan take, by the first of `folders` that has measured points like all of them.

    `here` holds what the description of this host must say. None if there is none. Folders that hold no readable run,
    or one of another machine, are passed over.
    """
    for folder in folders:
        records = _records_like(plan, folder, here)
        seconds = _seconds(plan, points, records) if records and points else None
        if seconds is not None:
            return Foreseen(seconds, folder)
    return None


def newest_runs(folder: Path) -> list[Path]:
    """The newest runs in a folder of runs, newest first."""
    found = [path for path in folder.glob("*/records.jsonl") if path.is_file()]
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:RUNS_TRIED]]


def _records_like(plan: SweepPlan, folder: Path, here: Mapping[str, Any]) -> list[Record]:
    """The records of a run that was measured here and in the same way; none of any other."""
    try:
        options = read_manifest(folder, "--dry-run").get("options")
        host = json.loads(host_files(folder)[-1].read_bytes())
        if not _alike(plan, options) or not _describes(host, here):
            return []
        return [record for record in load_records(folder) if not record.side]
    except (UserError, OSError, ValueError, IndexError):  # it says nothing about this sweep
        return []


def _alike(plan: SweepPlan, options: Any) -> bool:
    own = plan.manifest["options"]
    return isinstance(options, dict) and all(options.get(name) == own[name] for name in MEASURING)


def _describes(host: Any, here: Mapping[str, Any]) -> bool:
    return isinstance(host, dict) and all(host.get(name) == value for name, value in here.items())


def _seconds(plan: SweepPlan, points: Sequence[Point], records: Sequence[Record]) -> float | None:
    """The seconds of all points; None if one of them is unlike all that was measured."""
    planned = {_key(point.record()): point for point in points}
    estimate, near = Estimate(points, plan.options, plan.between), []
    for record in records:
        like = planned.get(_key(record))
        if like is not None and record.update_seconds is not None and record.point_seconds is not None:
            near.append(record)
            estimate.add(
                dataclasses.replace(like, agents=record.agents, repeat=record.repeat), record, record.point_seconds
            )
    return estimate.total_seconds() if all(_within_reach(point, near) for point in points) else None


def _within_reach(point: Point, records: Sequence[Record]) -> bool:
    key = _key(point.record())
    agents = [record.agents for record in records if _key(record) == key]
    return bool(agents) and min(agents) <= point.agents * FURTHEST and point.agents <= max(agents) * FURTHEST


def _key(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in POINT_FIELDS if name not in _MAY_DIFFER)
