"""Which points two runs have in common, and how the outcome of each changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from reports.checks.findings import IMPROVED, NOT_COMPARABLE, REGRESSED, STATUS, TRAINING, UNCHANGED, Finding
from reports.checks.metrics import METRICS
from reports.records.record import LOSSES, POINT_FIELDS, Record, diverged, has_result, was_run
from reports.records.run import latest_of_each_run
from reports.text.units import counted

_IDENTITY = tuple(name for name in POINT_FIELDS if name != "side")
_identity_of = attrgetter(*_IDENTITY)
_SPLIT = {"accumulate", "segment"}
_FIGURES = frozenset(column for metric in METRICS for column in metric.columns)

Key = tuple[object, ...]
"""What identifies a point in both runs."""


@dataclass(frozen=True, slots=True)
class PointRepeats:
    """The repeats of one point in one of the two runs."""

    records: tuple[Record, ...]

    @property
    def ok(self) -> tuple[Record, ...]:
        """The repeats that gave a result."""
        return tuple(record for record in self.records if has_result(record))

    @property
    def outcome(self) -> int:
        """2 if every repeat gave a result, 1 if some did, 0 if none."""
        return 2 if len(self.ok) == len(self.records) else int(bool(self.ok))

    def describe(self) -> str:
        """How the repeats ended, with the reason of the first that failed."""
        counts = Counter(record.status for record in self.records)
        if len(counts) == 1:
            text = self.records[0].status
        else:
            text = ", ".join(f"{count} of {len(self.records)} {status}" for status, count in counts.items())
        reason = next((r.reason or r.reason_code for r in self.records if not has_result(r)), "")
        return f"{text} ({reason})" if reason else text


def point_identity(record: Record) -> Key:
    """The key of the point that `record` belongs to."""
    key: Key = _identity_of(record)
    return key


def tried_points(records: Iterable[Record]) -> dict[Key, PointRepeats]:
    """The repeats of every point that was tried. Duplicate rows of one run: the last one wins."""
    points: dict[Key, list[Record]] = {}
    for record in latest_of_each_run(records):
        if was_run(record) and record.status != "interrupted":
            points.setdefault(point_identity(record), []).append(record)
    return {key: PointRepeats(tuple(repeats)) for key, repeats in points.items()}


def explain_no_common_point(base_name: str, new_name: str, base: Sequence[Record], new: Sequence[Record]) -> str:
    """Why two runs have no point in common, in one line."""
    for name, records in ((base_name, base), (new_name, new)):
        if not tried_points(records):
            return f"{name} has no measured point, so there is nothing to compare"
    for name in _IDENTITY:
        before, after = ({str(getattr(record, name)) for record in records} for records in (base, new))
        if not before & after:
            return (
                f"{base_name} and {new_name} have no point in common: {name} is {_named(before)} in the "
                f"first and {_named(after)} in the second; compare runs of the same grid"
            )
    return f"{base_name} and {new_name} have no point in common; compare runs of the same grid"


def _named(values: Iterable[str]) -> str:
    return ", ".join(sorted(value or "empty" for value in values))


def vanished_point(
    base: PointRepeats, untried: Sequence[Record], split: Key | None = None, *, allowed: bool = False
) -> Finding:
    """The finding for a point that only BASE tried.

    `untried` are NEW's pending or interrupted records of it. `split` is the key of the point that NEW tried instead,
    with learning split in another way, such as after a change of the defaults: the two are not comparable. `allowed`
    says that NEW may lack points.
    """
    key = point_identity(base.records[0])
    if split is not None and not untried:
        pairs = zip(_IDENTITY, key, split, strict=True)
        changes = ", ".join(f"{name} {before} → {after}" for name, before, after in pairs if before != after)
        reason = f"{changes}: learned from in another way"
        return Finding(base.records[0], STATUS, NOT_COMPARABLE, reason, doubt="unmatched" if base.ok else "")
    now = f"now {untried[-1].status}, not measured" if untried else "no longer measured"
    verdict = UNCHANGED if not base.ok else NOT_COMPARABLE if allowed else REGRESSED
    reason = f"was {base.describe()}, {now}"
    return Finding(base.records[0], STATUS, verdict, reason, without_base=not base.ok)


def columns_before_their_time(base: Sequence[Record], new: Sequence[Record]) -> dict[str, str]:
    """The figures that a run cannot have because an earlier version made it, by column, with the name of that run.

    They are those that none of its records has, if all are of an earlier schema than the other run's.
    """
    schemas = [max((one.schema_version for one in run), default=0) for run in (base, new)]
    if schemas[0] == schemas[1]:
        return {}
    older, records = ("BASE", base) if schemas[0] < schemas[1] else ("NEW", new)
    return {name: older for name in _FIGURES if all(getattr(record, name) is None for record in records)}


def but_for_split(key: Key) -> Key:
    """What `key` says besides how learning was split."""
    return tuple(value for name, value in zip(_IDENTITY, key, strict=True) if name not in _SPLIT)


def status_change(base: PointRepeats, new: PointRepeats) -> Finding | None:
    """The finding on how a point ended; None if every repeat gave a result in both runs.

    A point regresses from results of all repeats to results of some, or from some to none; and from training whose
    losses are finite to training that diverged.
    """
    if base.outcome == new.outcome == 2:
        return _divergence(base, new)
    verdict = UNCHANGED
    if new.outcome != base.outcome:
        verdict = REGRESSED if new.outcome < base.outcome else IMPROVED
    reason = f"was {base.describe()}, now {new.describe()}"
    return Finding(new.records[0], STATUS, verdict, reason, without_base=not base.ok)


def _divergence(base: PointRepeats, new: PointRepeats) -> Finding | None:
    before, after = (sum(map(diverged, point.ok)) for point in (base, new))
    lost = [name for name in LOSSES if _all_have(base, name) and not _all_have(new, name)]
    if lost and not after:
        reason = f"whether training diverged is not known: {', '.join(lost)} missing in NEW"
        return Finding(new.records[0], TRAINING, NOT_COMPARABLE, reason, doubt="missing")
    if not before and not after:
        return None
    verdict = UNCHANGED if before and after else IMPROVED if before else REGRESSED
    was, now = (f"{count} of {counted(len(point.ok), 'repeat')}" for count, point in ((before, base), (after, new)))
    return Finding(new.records[0], TRAINING, verdict, f"losses or gradients were not finite in {was}, now in {now}")


def _all_have(point: PointRepeats, name: str) -> bool:
    return all(getattr(record, name) is not None for record in point.ok)


def device_differences(base: PointRepeats, new: PointRepeats) -> list[str]:
    """How platform, device and the number of pinned cores differ, according to the records themselves."""
    lines = []
    for name, title in (("platform", "platform"), ("device", "device"), ("pinned_cpus", "pinned cores")):
        before, after = ({str(getattr(record, name)) for record in point.ok} for point in (base, new))
        if name == "pinned_cpus":  # how many, not which
            before, after = ({str(len(text.split()) or "all") for text in texts} for texts in (before, after))
        before, after = before - {""}, after - {""}
        if before and after and before != after:
            lines.append(f"{title}: {', '.join(sorted(before))} in BASE, {', '.join(sorted(after))} in NEW")
    return lines
