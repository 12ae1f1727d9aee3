"""One metric of one point in both runs: which figures are compared, their ratio, and the test of a sampled one."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from reports.checks.decide import PendingTest, describe_change, verdict_by_threshold
from reports.checks.exact_tests import (
    least_rank_sum_p,
    least_sign_flip_p,
    pair_interval,
    rank_sum_p,
    shift_interval,
    sign_flip_p,
)
from reports.checks.findings import INCONCLUSIVE, NOT_COMPARABLE, REGRESSED, UNCHANGED, Doubt, Finding, percent_change
from reports.checks.metrics import Metric, Source
from reports.checks.pair_up import PointRepeats
from reports.checks.policy import CheckPolicy
from reports.records.record import Record
from reports.text.units import counted

CONFIDENCE = 0.95
MARGIN = 1 / 3
"""The share of its threshold that a sampled change must significantly exceed."""
COMPILED_OTHERWISE = "programs compiled {} in BASE, {} in NEW (sweep --measure compile)"
ALLOCATED_OTHERWISE = "allocator: {} in BASE, {} in NEW (see host_memory_quality)"
"""Why figures of different kinds are not compared."""
NOT_IN_BASE, NOT_IN_NEW = "not measured in BASE", "not measured in NEW"
TOO_OLD = "not known to the version that measured {}"
_LARGEST_LOG = math.log(sys.float_info.max)

Pairing = Callable[[Metric, Source, Sequence[Record], Sequence[Record]], tuple[list[float], str]]
"""Gives the logarithms of new over base of each pair or burst, and what they are counted in."""


def judge_metric(
    metric: Metric,
    base: PointRepeats,
    new: PointRepeats,
    policy: CheckPolicy,
    blocked: str,
    pairing: Pairing | None,
    unknown: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Finding, PendingTest | None] | None:
    """Compare one metric of one point.

    Args:
        metric: what to compare.
        base: the repeats of the point in BASE.
        new: the same in NEW.
        policy: thresholds and options.
        blocked: why the runs cannot be compared; empty if they can.
        pairing: for live pairs, how to match them.
        unknown: columns that the version did not know that measured a run, each with the name of that run.

    Returns:
        The finding, with its verdict unless a test follows, and that test. None if neither run has a figure.
    """
    source, before, after, why = _figures(metric, base.ok, new.ok, unknown)
    if not before and not after and not why:
        return None
    finding = Finding(
        new.records[0],
        metric.name,
        UNCHANGED,
        "",
        base=tuple(source.value(record) for record in before),
        new=tuple(source.value(record) for record in after),
        source=source.title,
        threshold=policy.threshold(metric, new.records[0]),
    )
    if not blocked and why == NOT_IN_NEW and not finding.new and _is_lost(metric, base.ok, new.ok):
        return replace(finding, verdict=REGRESSED, reason="measured in BASE, missing in NEW"), None
    if blocked or why:
        too_old = any(why == TOO_OLD.format(side) for side in unknown.values())
        doubt: Doubt = "" if too_old else _doubt_if_not_comparable(metric, finding, base.ok, new.ok)
        return replace(finding, verdict=NOT_COMPARABLE, reason=why or blocked, doubt=doubt), None
    finding = _with_ratio(finding)
    if source.least is not None and pairing is None:
        finding = _without_contention(finding, source.least, before, after)
    lacking = _lacking(metric, source, base.ok, new.ok)
    if lacking:
        finding = replace(finding, doubt="partial", reason=lacking)
    if metric.deterministic:
        verdict = verdict_by_threshold(metric, finding)
        if lacking and verdict == UNCHANGED:
            return replace(finding, verdict=INCONCLUSIVE), None
        return replace(finding, verdict=verdict, reason=describe_change(finding.ratio, finding.threshold)), None
    margin = 1 + MARGIN * policy.threshold(metric, new.records[0])
    if pairing is not None:
        logs, units = pairing(metric, source, before, after)
        if logs:
            return _test_pairs(metric, replace(finding, units=units, sample=len(logs)), logs, margin)
    return _test_repeats(metric, finding, margin)


def _test_pairs(
    metric: Metric, finding: Finding, logs: Sequence[float], margin: float
) -> tuple[Finding, PendingTest | None]:
    finding = replace(finding, ratio=math.exp(statistics.median(logs)), interval=_exp(pair_interval(logs, CONFIDENCE)))
    sign = -1.0 if metric.higher_is_better else 1.0
    worse, better = (sign_flip_p([way * sign * value - math.log(margin) for value in logs]) for way in (1.0, -1.0))
    return finding, PendingTest(0, worse, better, least_sign_flip_p(len(logs)), paired=True)


def _test_repeats(metric: Metric, finding: Finding, margin: float) -> tuple[Finding, PendingTest | None]:
    base, new = finding.base, finding.new
    interval = None
    if min(*base, *new) > 0:
        interval = _exp(shift_interval(_logs(base), _logs(new), CONFIDENCE))
    sample = min(len(base), len(new))
    finding = replace(finding, interval=interval, units=f"{len(base)} and {len(new)} repeats", sample=sample)
    larger, smaller = (rank_sum_p([margin * value for value in low], high) for low, high in ((base, new), (new, base)))
    worse, better = (smaller, larger) if metric.higher_is_better else (larger, smaller)
    return finding, PendingTest(0, worse, better, least_rank_sum_p(len(base), len(new)), paired=False)


def _figures(
    metric: Metric, base: Sequence[Record], new: Sequence[Record], unknown: Mapping[str, str]
) -> tuple[Source, list[Record], list[Record], str]:
    """The first source known in either run, the records that have it, and why they cannot be compared, if so.

    A source that only one run has is a lost figure: another source would hide that. One whose columns the version did
    not know that measured a run stands back.
    """
    on_cpu = {record.platform for record in (*base, *new)} - {""} == {"cpu"}
    sources = [source for source in metric.sources if on_cpu or not source.cpu_only]
    too_old = {source: side for source in sources for side in map(unknown.get, source.columns) if side}
    for source in sorted(sources, key=lambda one: one in too_old):
        before, after = ([record for record in records if source.is_known(record)] for records in (base, new))
        if before and after:
            why = ""
            if metric.of_compiling:
                before, after, why = _of_one_kind(before, after, _way_to_compile, COMPILED_OTHERWISE)
            if metric.by_memory_quality and on_cpu and not why:
                before, after, why = _of_one_kind(before, after, _quality, ALLOCATED_OTHERWISE)
            return source, before, after, why
        if source in too_old and (before or after):
            return source, before, after, TOO_OLD.format(too_old[source])
        if before or after:
            why = _of_one_kind(base, new, _way_to_compile, COMPILED_OTHERWISE)[2] if metric.of_compiling else ""
            return source, before, after, why or (NOT_IN_BASE if after else NOT_IN_NEW)
    return metric.sources[0], [], [], ""


def _of_one_kind(
    base: Sequence[Record], new: Sequence[Record], kind: Callable[[Record], str], why: str
) -> tuple[list[Record], list[Record], str]:
    """The records of the same kind in both runs; all of them, and why they cannot be compared, if no kind is in both.

    The last kind in alphabetical order where several are: `repeatable` before `noisy`.
    """
    before, after = ({kind(record) for record in records} for records in (base, new))
    common = before & after
    if not common:
        named = (", ".join(sorted(one or "unknown" for one in kinds)) for kinds in (before, after))
        return list(base), list(new), why.format(*named)
    kept = [[record for record in records if kind(record) == max(common)] for records in (base, new)]
    return kept[0], kept[1], ""


def _way_to_compile(record: Record) -> str:
    """Earlier versions compiled one by one and did not say so."""
    return record.compiling or "one by one"


def _quality(record: Record) -> str:
    return record.host_memory_quality


def _without_contention(
    finding: Finding, least: Callable[[Record], float | None], base: Sequence[Record], new: Sequence[Record]
) -> Finding:
    """The finding with its figures moved towards each other, as far as CPU contention may have raised them.

    A figure above the other run's median is lowered to it, but not below its own contention-free minimum. A change past
    its threshold that contention can explain is left in doubt.
    """

    def lowered(values: Sequence[float], records: Sequence[Record], other: float) -> tuple[float, ...]:
        lowest = [value if (low := least(one)) is None else low for value, one in zip(values, records, strict=True)]
        return tuple(min(value, max(low, other)) for value, low in zip(values, lowest, strict=True))

    base_median, new_median = statistics.median(finding.base), statistics.median(finding.new)
    before, after = lowered(finding.base, base, new_median), lowered(finding.new, new, base_median)
    if (before, after) == (finding.base, finding.new):
        return finding
    source = f"{finding.source}, adjusted for CPU contention"
    adjusted = _with_ratio(replace(finding, base=before, new=after, source=source))
    if not finding.past_threshold or adjusted.past_threshold:
        return adjusted
    measured = describe_change(finding.ratio, finding.threshold)
    reason = (
        f"{measured} as measured, but other processes competed for the CPU and may have caused it; corrected for that, "
        f"as shown: {percent_change(adjusted.ratio)}"
    )
    return replace(adjusted, doubt="contention", reason=reason)


def _is_lost(metric: Metric, base: Sequence[Record], new: Sequence[Record]) -> bool:
    """Whether NEW should have the figure: it was asked for, and read programs from the cache only if BASE did.

    A repeat that reads compiled programs compiles nothing.
    """
    if {record.measure for record in base} != {record.measure for record in new}:
        return False
    return not metric.of_compiling or any(record.compile_cache != "read" for record in new)


def _doubt_if_not_comparable(metric: Metric, finding: Finding, base: Sequence[Record], new: Sequence[Record]) -> Doubt:
    """Whether a figure that cannot be compared may hide a regression: one run lacks it, or it differs too much."""
    if not finding.base:
        return "absent" if _should_have(metric, base) else ""
    if not finding.new:
        return "missing" if _should_have(metric, new) else ""
    return "unlike" if _with_ratio(finding).past_threshold else ""


def _should_have(metric: Metric, records: Iterable[Record]) -> list[Record]:
    """The records that can have a figure: one that reads compiled programs from the cache compiles nothing."""
    return [one for one in records if not (metric.of_compiling and one.compile_cache in ("read", "mixed"))]


def _lacking(metric: Metric, source: Source, base: Sequence[Record], new: Sequence[Record]) -> str:
    """In how many repeats of a run a figure is missing that others, which measured the same, have; empty if in none."""
    said = []
    for name, records in (("BASE", base), ("NEW", new)):
        asked = {record.measure for record in records if source.is_known(record)}
        able = [record for record in _should_have(metric, records) if record.measure in asked]
        lost = sum(not source.is_known(record) for record in able)
        if lost:
            said.append(f"{lost} of {counted(len(able), 'repeat')} of {name}")
    return f"missing in {' and '.join(said)}" if said else ""


def _with_ratio(finding: Finding) -> Finding:
    return replace(finding, ratio=_ratio(statistics.median(finding.new), statistics.median(finding.base)))


def _ratio(new: float, base: float) -> float | None:
    """New over base; 1 if both are 0, None if only the base is."""
    if base == 0:
        return 1.0 if new == 0 else None
    return new / base


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


def _exp(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    low, high = (math.exp(min(end, _LARGEST_LOG)) for end in interval or (0.0, 0.0))
    return None if interval is None else (low, high)
