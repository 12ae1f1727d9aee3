"""Which points of two runs are the same point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.checks.findings import IMPROVED, REGRESSED, STATUS, UNCHANGED, Finding
from reports.records.record import POINT_FIELDS, Record
from reports.records.run import latest_of_each_run

_IDENTITY = tuple(name for name in POINT_FIELDS if name != "side")


_NOT_TRIED = ("planned", "interrupted")


@dataclass(frozen=True, slots=True)
class _Side:
    """The repeats of one point on one side."""

    records: tuple[Record, ...]

    @property
    def ok(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.status == "ok")

    @property
    def outcome(self) -> int:
        """2 if every repeat gave a result, 1 if some did, 0 if none."""
        return 2 if len(self.ok) == len(self.records) else int(bool(self.ok))

    def told(self) -> str:
        """How the repeats ended, in words, with a reason for the first that failed."""
        counts = Counter(record.status for record in self.records)
        if len(counts) == 1:
            text = self.records[0].status
        else:
            text = ", ".join(f"{count} of {len(self.records)} {status}" for status, count in counts.items())
        reason = next((r.reason or r.reason_code for r in self.records if r.status != "ok"), "")
        return f"{text} ({reason})" if reason else text


Key = tuple[object, ...]


def _key(record: Record) -> Key:
    return tuple(getattr(record, name) for name in _IDENTITY)


def _points(records: Iterable[Record]) -> dict[Key, _Side]:
    """The repeats of every point that was tried. Of two rows of the same repeat of one run the last one counts."""
    points: dict[Key, list[Record]] = {}
    for record in latest_of_each_run(records):
        if record.status not in _NOT_TRIED:
            points.setdefault(_key(record), []).append(record)
    return {key: _Side(tuple(repeats)) for key, repeats in points.items()}


def _no_common_point(base_name: str, new_name: str, base: Sequence[Record], new: Sequence[Record]) -> str:
    for name, records in ((base_name, base), (new_name, new)):
        if not _points(records):
            return f"{name} has no point that was measured, so there is nothing to compare"
    for name in _IDENTITY:
        ours, theirs = ({str(getattr(r, name)) for r in records} for records in (base, new))
        if not ours & theirs:
            return (
                f"{base_name} and {new_name} have no point in common: {name} is {', '.join(sorted(ours))} in the one "
                f"and {', '.join(sorted(theirs))} in the other; compare runs of the same grid"
            )
    return f"{base_name} and {new_name} have no point in common; compare runs of the same grid"


def _vanished(old: _Side, left: Sequence[Record]) -> Finding:
    how = f"now {left[-1].status}, not measured" if left else "no longer there"
    if not old.ok:
        return Finding(old.records[0], STATUS, UNCHANGED, f"was {old.told()}, {how}")
    return Finding(old.records[0], STATUS, REGRESSED, f"was {old.told()}, {how}")


def _status(old: _Side, now: _Side) -> Finding | None:
    """A point gets worse where results of all repeats become results of some, or results of some none."""
    if old.outcome == now.outcome == 2:
        return None
    verdict = UNCHANGED
    if now.outcome != old.outcome:
        verdict = REGRESSED if now.outcome < old.outcome else IMPROVED
    return Finding(now.records[0], STATUS, verdict, f"was {old.told()}, now {now.told()}")


def _other_devices(old: _Side, now: _Side) -> list[str]:
    """What the records themselves say of where they were measured."""
    lines = []
    for name, title in (("platform", "platform"), ("device", "device"), ("pinned_cpus", "cores pinned to")):
        ours, theirs = ({str(getattr(r, name)) for r in side.ok} for side in (old, now))
        if name == "pinned_cpus":  # how many, not which
            ours, theirs = ({str(len(text.split()) or "all") for text in side} for side in (ours, theirs))
        ours, theirs = ours - {""}, theirs - {""}
        if ours and theirs and ours != theirs:
            lines.append(f"{title}: {', '.join(sorted(ours))} in BASE, {', '.join(sorted(theirs))} in NEW")
    return lines
