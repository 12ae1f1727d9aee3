"""What changed between two runs, or between the two sides of live pairs, and whether that is a regression.

A change of a deterministic metric is judged by its threshold alone. One of a sampled metric is a regression if it is
past its threshold **and** significant: a one-sided exact rank test over repeats (processes), or over pairs where both
sides took turns, with Benjamini and Hochberg's correction over all points and sampled metrics of the check.
Improvements are judged in the same way, in a family of their own.

What is tested is that the change exceeds `MARGIN`, a third, of its threshold, not that there is any: runs of the same
code differ a little whatever the repeats say, because the machine is faster at one time than at another (a
minimum-effect test, Murphy & Myors, Journal of Applied Psychology 84 (1999) 234-248).

A test whose most extreme outcome has a p-value above α cannot speak whatever the others say. It is left out of the
family (Tarone, Biometrics 46 (1990) 515-522), which is allowed because that p-value depends on the numbers of repeats
alone. A change past its threshold is `inconclusive` where even the most extreme outcome would not have been
significant beside the other p-values as they are. The number of repeats that is then named is enough for a change that
stands alone, whatever the others are: the least n with 1 / C(2n, n) ≤ α / m (or 1 / 2^n, in pairs) for m sampled
comparisons.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from reports.checks.comparability import differences
from reports.checks.decide import _can_speak, _caveats, _change, _decide, _side, _Test
from reports.checks.exact_tests import (
    least_rank_sum_p,
    least_sign_flip_p,
    pair_interval,
    rank_sum_p,
    shift_interval,
    sign_flip_p,
)
from reports.checks.findings import NEW, NOT_COMPARABLE, STATUS, UNCHANGED, Comparison, Finding, NothingToCompareError
from reports.checks.live_pairs import pair_logs
from reports.checks.metrics import METRICS, Metric, Source
from reports.checks.pair_up import _key, _no_common_point, _other_devices, _points, _Side, _status, _vanished
from reports.checks.policy import CheckPolicy
from reports.records.record import Record
from reports.records.run import Run

CONFIDENCE = 0.95
MARGIN = 1 / 3
"""The share of its threshold that a sampled change must significantly exceed."""

_DECIDE_STATIC = ("platform: ", "jaxlib: ")
"""How the differences begin on which XLA's static figures depend."""
_LARGEST_LOG = math.log(sys.float_info.max)


Pairing = Callable[[Metric, Source, Sequence[Record], Sequence[Record]], tuple[list[float], str]]
"""The logarithms of new over base of the figure that each pair or burst has, and what they are counted in."""


def compare_runs(base: Run, new: Run, policy: CheckPolicy) -> Comparison:
    """Compare two runs, or a saved baseline with a run: repeats of the one against repeats of the other.

    Of a run of live pairs the side `new` is taken. Raises `NothingToCompareError` where they have no point in common.
    """
    notes = [
        f"{name} is of live pairs: its side 'new' is compared"
        for name, run in (("BASE", base), ("NEW", new))
        if any(record.side == "base" for record in run.records)
    ]
    for name, run in (("BASE", base), ("NEW", new)):
        if not run.hosts:
            notes.append(f"{name} is a table alone: of its machine only platform, device and cores pinned to are known")
    changed = differences(base.hosts, new.hosts)
    ours, theirs = ([record for record in run.records if record.side != "base"] for run in (base, new))
    names = (base.name, new.name) if base.name != new.name else (str(base.path), str(new.path))
    return _compare(*names, ours, theirs, policy, notes, changed, None)


def compare_sides(run: Run, policy: CheckPolicy) -> Comparison:
    """Compare the two sides of a run of live pairs: each pair, or each burst of it, with itself.

    Raises ValueError where the run has no pairs.
    """
    base, new = ([record for record in run.records if record.side == side] for side in ("base", "new"))
    if not base or not new:
        raise ValueError(
            f"{run.path}: no live pairs in it, so there is nothing to compare it with: name a second run or a baseline"
        )
    return _compare(f"{run.name} (base)", f"{run.name} (new)", base, new, policy, [], [], partial(pair_logs, run))


def _compare(
    base_name: str,
    new_name: str,
    base: Sequence[Record],
    new: Sequence[Record],
    policy: CheckPolicy,
    notes: list[str],
    changed: list[str],
    pairing: Pairing | None,
) -> Comparison:
    before, after = _points(base), _points(new)
    matched = [key for key in before if key in after]
    if not matched:
        raise NothingToCompareError(_no_common_point(base_name, new_name, base, new))
    findings: list[Finding] = []
    tests: list[_Test] = []
    unlike: dict[str, None] = {}
    for key, old in before.items():
        if key not in after:
            findings.append(_vanished(old, [record for record in new if _key(record) == key]))
            continue
        now = after[key]
        status = _status(old, now)
        if status is not None:
            findings.append(status)
        if not old.ok or not now.ok:
            continue
        other = list(dict.fromkeys([*changed, *_other_devices(old, now)]))
        unlike |= dict.fromkeys(other)
        for metric in METRICS:
            if metric.name not in policy.metrics:
                continue
            blocked = [line for line in other if not metric.deterministic or line.startswith(_DECIDE_STATIC)]
            found = _measure(metric, old, now, policy, "" if policy.cross_machine else "; ".join(blocked), pairing)
            if found is not None:
                finding, test = found
                if test is not None:
                    tests.append(replace(test, place=len(findings)))
                findings.append(finding)
    findings += [
        Finding(now.records[0], STATUS, NEW, f"not in BASE; {now.told()}")
        for key, now in after.items()
        if key not in before
    ]
    _decide(findings, tests, policy)
    return Comparison(
        base_name,
        new_name,
        policy,
        tuple(findings),
        matched=len(matched),
        sampled=len(tests),
        family=sum(_can_speak(test, policy) for test in tests),
        differences=tuple(unlike),
        notes=(*notes, *_notes(base, new, findings)),
        caveats=tuple(_caveats(tests, policy)),
    )


def _measure(
    metric: Metric, old: _Side, now: _Side, policy: CheckPolicy, blocked: str, pairing: Pairing | None
) -> tuple[Finding, _Test | None] | None:
    """One metric of one point, with the verdict of a deterministic one; None where neither side knows it."""
    source, base, new, why = _figures(metric, old.ok, now.ok)
    if not base and not new and not why:
        return None
    finding = Finding(
        now.records[0],
        metric.name,
        UNCHANGED,
        "",
        base=tuple(source.value(record) for record in base),
        new=tuple(source.value(record) for record in new),
        source=source.title,
        threshold=policy.threshold(metric),
    )
    if blocked or why:
        return replace(finding, verdict=NOT_COMPARABLE, reason=why or blocked), None
    if source.least is not None and pairing is None:
        finding = _without_others(finding, source.least, base, new)
    ratio = _over(statistics.median(finding.new), statistics.median(finding.base))
    if metric.deterministic:
        finding = replace(finding, ratio=ratio, reason=_change(ratio, finding.threshold))
        return replace(finding, verdict=_side(metric, finding)), None
    margin = 1 + MARGIN * policy.threshold(metric)
    if pairing is not None:
        logs, units = pairing(metric, source, base, new)
        if logs:
            finding = replace(
                finding,
                ratio=math.exp(statistics.median(logs)),
                interval=_exp(pair_interval(logs, CONFIDENCE)),
                units=units,
            )
            sign = -1.0 if metric.higher_is_better else 1.0
            worse, better = (
                sign_flip_p([way * sign * value - math.log(margin) for value in logs]) for way in (1.0, -1.0)
            )
            return finding, _Test(0, worse, better, least_sign_flip_p(len(logs)), paired=True)
    interval = None
    if min(*finding.base, *finding.new) > 0:
        interval = _exp(shift_interval(_logs(finding.base), _logs(finding.new), CONFIDENCE))
    units = f"{len(base)} and {len(new)} repeats"
    finding = replace(finding, ratio=ratio, interval=interval, units=units)
    larger, smaller = (
        rank_sum_p([margin * value for value in low], high)
        for low, high in ((finding.base, finding.new), (finding.new, finding.base))
    )
    worse, better = (smaller, larger) if metric.higher_is_better else (larger, smaller)
    return finding, _Test(0, worse, better, least_rank_sum_p(len(base), len(new)), paired=False)


def _figures(
    metric: Metric, old: Sequence[Record], now: Sequence[Record]
) -> tuple[Source, list[Record], list[Record], str]:
    """The first source that both sides have, the records that have it, and why they cannot be compared, if so."""
    on_cpu = all(record.platform == "cpu" for record in (*old, *now))
    sources = [source for source in metric.sources if on_cpu or not source.cpu_only]
    one_sided: tuple[Source, list[Record], list[Record], str] | None = None
    for source in sources:
        base, new = ([record for record in side if source.is_known(record)] for side in (old, now))
        if base and new:
            if metric.by_memory_quality:
                return (source, *_of_one_quality(base, new))
            return source, base, new, ""
        if (base or new) and one_sided is None:
            one_sided = source, base, new, f"{'BASE' if new else 'NEW'} has no figure"
    return one_sided or (metric.sources[0], [], [], "")


def _of_one_quality(base: list[Record], new: list[Record]) -> tuple[list[Record], list[Record], str]:
    """The records measured with the allocator in the same way; the repeatable one where both sides have both."""
    ours, theirs = ({record.host_memory_quality for record in side} for side in (base, new))
    common = ours & theirs
    if not common:
        named = (", ".join(sorted(quality or "unknown" for quality in side)) for side in (ours, theirs))
        why = "allocator: {} in BASE, {} in NEW (see host_memory_quality)".format(*named)
        return base, new, why
    chosen = "repeatable" if "repeatable" in common else max(common)
    kept = [[record for record in side if record.host_memory_quality == chosen] for side in (base, new)]
    return kept[0], kept[1], ""


def _without_others(
    finding: Finding, least: Callable[[Record], float | None], base: Sequence[Record], new: Sequence[Record]
) -> Finding:
    """The figures moved towards those of the other side, as far as others' use of the cores may have made them larger.

    A figure above the other side's median comes down to it, but not below what it would have been at least. So nothing
    is taken for a change that others may have made.
    """

    def moved(values: Sequence[float], records: Sequence[Record], other: float) -> tuple[float, ...]:
        lowest = [value if (low := least(one)) is None else low for value, one in zip(values, records, strict=True)]
        return tuple(min(value, max(low, other)) for value, low in zip(values, lowest, strict=True))

    ours, theirs = statistics.median(finding.base), statistics.median(finding.new)
    then, now = moved(finding.base, base, theirs), moved(finding.new, new, ours)
    if (then, now) == (finding.base, finding.new):
        return finding
    return replace(finding, base=then, new=now, source=f"{finding.source}, less what others' use of the cores explains")


def _over(new: float, base: float) -> float | None:
    """The ratio; 1 for nothing on both sides, None for something over nothing."""
    if base == 0:
        return 1.0 if new == 0 else None
    return new / base


def _notes(base: Sequence[Record], new: Sequence[Record], findings: Sequence[Finding]) -> list[str]:
    notes = []
    sources = {finding.source for finding in findings if finding.metric == "throughput" and finding.source}
    if sources:
        notes.append(f"throughput is {' or '.join(sorted(sources))}")
    for name, records in (("BASE", base), ("NEW", new)):
        measured = [record for record in records if record.status == "ok"]
        contended = sum(bool(record.contended) for record in measured)
        if contended:
            what = "others used the cores meanwhile"
            notes.append(f"{name}: {contended} of {len(measured)} repeats contended: {what}")
    return notes


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


def _exp(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    low, high = (math.exp(min(end, _LARGEST_LOG)) for end in interval or (0.0, 0.0))
    return None if interval is None else (low, high)
