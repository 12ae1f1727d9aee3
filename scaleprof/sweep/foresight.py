"""How long a planned sweep takes, judging by an earlier run on this machine; nothing is said without one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reports.records.record import Record, has_plan, point_key
from reports.records.run import host_files
from reports.records.within import read_within
from scaleprof.errors import UserError
from scaleprof.points.plan import SweepPlan
from scaleprof.points.point import Point
from scaleprof.runs.store import load_records, read_manifest
from scaleprof.sweep.time_left import Estimate, like

RUNS_TRIED = 20
"""At most so many of the newest runs are looked at."""
FURTHEST = 4
"""How many times more or fewer agents than measured a point may have to be foreseen."""
MEASURING = ("measure", "min_updates", "min_seconds", "warmup_updates", "fresh_compile", "pin", "device")
"""Options of how to measure, which must be those of the earlier run."""


class Foreseen(NamedTuple):
    """The seconds that all points take together, the run that they are judged by, and what it knows of memory."""

    seconds: float
    run: Path
    plans: Mapping[tuple[object, ...], int]
    """The peak memory in bytes that XLA planned there, by `point_key`."""


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
            plans = {point_key(r): r.xla_peak_bytes for r in records if r.xla_peak_bytes is not None and has_plan(r)}
            return Foreseen(seconds, folder, plans)
    return None


def newest_runs(folder: Path) -> list[Path]:
    """The newest runs in a folder of runs, newest first."""
    found = [path for path in folder.glob("*/records.jsonl") if path.is_file()]
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:RUNS_TRIED]]


def _records_like(plan: SweepPlan, folder: Path, here: Mapping[str, Any]) -> list[Record]:
    """The records of a run that was measured here and in the same way; none of any other."""
    try:
        options = read_manifest(folder, "--dry-run").get("options")
        host = json.loads(read_within(folder, host_files(folder)[-1]))
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
    estimate = Estimate(points, plan.options, plan.between)
    near = estimate.learn(records)
    return estimate.total_seconds() if all(_within_reach(point, near) for point in points) else None


def _within_reach(point: Point, records: Sequence[Record]) -> bool:
    """Whether a mode was measured at a size near this point's, or ran out of memory at this one."""
    alike = [record for record in records if like(record) == like(point.record())]
    agents = [record.agents for record in alike if record.update_seconds is not None]
    if agents and any(record.agents == point.agents and record.status == "oom" for record in alike):
        return True
    return bool(agents) and min(agents) <= point.agents * FURTHEST and point.agents <= max(agents) * FURTHEST
