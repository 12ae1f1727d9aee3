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
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from reports.comparability import differences
from reports.live_pairs import pair_logs
from reports.permutation import (
    benjamini_hochberg,
    least_rank_sum_p,
    least_sign_flip_p,
    pair_interval,
    rank_sum_p,
    shift_interval,
    sign_flip_p,
)
from reports.policy import METRICS, Metric, Policy, Source
from reports.record import POINT_FIELDS, Record
from reports.run import Run, latest_of_each_run

REGRESSED, IMPROVED, UNCHANGED = "regressed", "improved", "unchanged"
INCONCLUSIVE, NOT_COMPARABLE, NEW = "inconclusive", "not comparable", "new"
VERDICTS = (REGRESSED, INCONCLUSIVE, NOT_COMPARABLE, IMPROVED, NEW, UNCHANGED)
STATUS = "status"
"""What stands in the place of a metric's name where the outcome of a point is judged."""
CONFIDENCE = 0.95
MARGIN = 1 / 3
"""The share of its threshold that a sampled change must significantly exceed."""
NOTHING_COMPARED = 4

_IDENTITY = tuple(name for name in POINT_FIELDS if name != "side")
_NOT_TRIED = ("planned", "interrupted")
_DECIDE_STATIC = ("platform: ", "jaxlib: ")
"""How the differences begin on which XLA's static figures depend."""
_LARGEST_LOG = math.log(sys.float_info.max)
_ALMOST = 1 + 1e-9
"""p-values are ratios of whole numbers: one that equals α may be a rounding error above it."""


class NothingToCompareError(ValueError):
    """Two runs without a point in common."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of one point, or its outcome: both sides, what came of comparing them, and why."""

    point: Record
    """Any record of the point: its `POINT_FIELDS` say which it is."""
    metric: str
    verdict: str
    reason: str
    base: tuple[float, ...] = ()
    """The figure of every repeat that has one."""
    new: tuple[float, ...] = ()
    source: str = ""
    """What the figures are."""
    ratio: float | None = None
    """New over base: of the medians, or the median of the ratios of pairs."""
    interval: tuple[float, float] | None = None
    """Of the ratio, at 95 %; exact. None where there are too few repeats."""
    units: str = ""
    """What the test and the interval count: `5 and 5 repeats`, `80 bursts of 5 pairs`."""
    threshold: float | None = None
    p_value: float | None = None
    """One-sided, in the direction of the change, of one that is no larger than `MARGIN` of the threshold."""
    p_adjusted: float | None = None
    """After Benjamini and Hochberg's correction; None where the test could not speak."""
    needed: int | None = None
    """Where inconclusive: repeats of each side that would be enough."""

    @property
    def past_threshold(self) -> bool:
        """Whether the change is larger than is let pass."""
        if not self.base or not self.new or self.threshold is None:
            return False
        # Of the figures as they are: 110 / 100 is a rounding error above 1.1.
        return self.ratio is None or abs(self.ratio - 1) > self.threshold * _ALMOST


@dataclass(frozen=True, slots=True)
class Comparison:
    """All findings of a check, and what is to be known about them."""

    base: str
    new: str
    policy: Policy
    findings: tuple[Finding, ...]
    matched: int
    """Points that both sides tried."""
    sampled: int
    """Comparisons of sampled metrics."""
    family: int
    """Those of them that have enough repeats to be tested at all: m in the correction."""
    differences: tuple[str, ...]
    """How the two were carried out differently, of what sampled figures depend on."""
    notes: tuple[str, ...]
    """What is to be known of the figures."""
    caveats: tuple[str, ...]
    """What is to be known of the verdicts."""

    def of(self, verdict: str) -> tuple[Finding, ...]:
        """The findings with this verdict."""
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    @property
    def exit_code(self) -> int:
        """1 if anything regressed; else 4 if nothing could be compared, or no sampled metric because the machines or
        versions differ; else 0."""
        if self.of(REGRESSED):
            return 1
        judged = [finding for finding in self.findings if finding.verdict not in (NOT_COMPARABLE, NEW)]
        compared = [finding for finding in judged if (finding.base and finding.new) or finding.verdict == IMPROVED]
        sampled = [finding for finding in compared if finding.metric in _SAMPLED]
        refused = [finding for finding in self.of(NOT_COMPARABLE) if finding.metric in _SAMPLED]
        if not compared or (self.differences and not self.policy.cross_machine and refused and not sampled):
            return NOTHING_COMPARED
        return 0


_SAMPLED = frozenset(metric.name for metric in METRICS if not metric.deterministic)


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


@dataclass(frozen=True, slots=True)
class _Test:
    """A sampled comparison before its verdict, which takes all others to know."""

    place: int
    worse: float
    better: float
    least: float
    """The p-value of the most extreme outcome."""
    paired: bool


Key = tuple[object, ...]
Pairing = Callable[[Metric, Source, Sequence[Record], Sequence[Record]], tuple[list[float], str]]
"""The logarithms of new over base of the figure that each pair or burst has, and what they are counted in."""


def compare_runs(base: Run, new: Run, policy: Policy) -> Comparison:
    """Compare two runs, or a saved baseline with a run: repeats of the one against repeats of the other.

    Of a run of live pairs the side `new` is taken. Raises `NothingToCompareError` where they have no point in common.
    """
    notes = [
        f"{name} is of live pairs: its side 'new' is compared"
        for name, run in (("BASE", base), ("NEW", new))
        if any(record.side == "base" for record in run.records)
    ]
    for name, run in (("BASE", base), ("NEW", new)):
        if not run.environments:
            notes.append(f"{name} is a table alone: of its machine only platform, device and cores pinned to are known")
    changed = differences(base.environments, new.environments)
    ours, theirs = ([record for record in run.records if record.side != "base"] for run in (base, new))
    names = (base.name, new.name) if base.name != new.name else (str(base.path), str(new.path))
    return _compare(*names, ours, theirs, policy, notes, changed, None)


def compare_sides(run: Run, policy: Policy) -> Comparison:
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
    policy: Policy,
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


def _measure(
    metric: Metric, old: _Side, now: _Side, policy: Policy, blocked: str, pairing: Pairing | None
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


def _side(metric: Metric, finding: Finding) -> str:
    """On which side of its thresholds a change lies: `regressed`, `improved` or `unchanged`."""
    if not finding.past_threshold:
        return UNCHANGED
    larger = finding.ratio is None or finding.ratio > 1
    return IMPROVED if larger is metric.higher_is_better else REGRESSED


def _decide(findings: list[Finding], tests: Sequence[_Test], policy: Policy) -> None:
    """Give every tested finding its verdict, in place."""
    able = [test for test in tests if _can_speak(test, policy)]
    places = {test.place: index for index, test in enumerate(able)}
    worse, better = [test.worse for test in able], [test.better for test in able]
    adjusted_worse, adjusted_better = benjamini_hochberg(worse), benjamini_hochberg(better)
    by_name = {metric.name: metric for metric in METRICS}
    for test in tests:
        finding = findings[test.place]
        side = _side(by_name[finding.metric], finding)
        index = places.get(test.place)
        # Within its threshold, what is shown is the test of the direction in which it lies.
        bad = side == REGRESSED or (side == UNCHANGED and test.worse <= test.better)
        p_values, adjusted = (worse, adjusted_worse) if bad else (better, adjusted_better)
        p_value, p_adjusted = test.worse if bad else test.better, None if index is None else adjusted[index]
        significant = p_adjusted is not None and p_adjusted <= policy.alpha * _ALMOST
        change = _change(finding.ratio, finding.threshold)
        needed = None
        if side == UNCHANGED or policy.threshold_only:
            verdict, reason = side, change + ("" if side == UNCHANGED else ", not tested")
        elif significant:
            verdict, reason = side, f"{change}, p {_p(p_value)}, corrected {_p(p_adjusted)}"
        elif index is not None and _could_be(p_values, index, test.least, policy.alpha):
            verdict = UNCHANGED
            reason = f"{change}, but within the noise: p {_p(p_value)}, corrected {_p(p_adjusted)}"
        else:
            verdict, needed = INCONCLUSIVE, needed_repeats(policy.alpha, len(tests), paired=test.paired)
            counted = "pairs" if test.paired else "repeats"
            if "burst" in finding.units:
                counted = "bursts"
            reason = f"{change}, p {_p(p_value)}: needs {needed} {counted}, has {finding.units}"
        findings[test.place] = replace(
            finding, verdict=verdict, reason=reason, p_value=p_value, p_adjusted=p_adjusted, needed=needed
        )


def _can_speak(test: _Test, policy: Policy) -> bool:
    """Whether the most extreme outcome of a test would be significant if it were the only one."""
    return test.least <= policy.alpha * _ALMOST


def _could_be(p_values: Sequence[float], index: int, least: float, alpha: float) -> bool:
    """Whether the most extreme outcome of one test would be significant beside the others as they are."""
    return benjamini_hochberg([*p_values[:index], least, *p_values[index + 1 :]])[index] <= alpha * _ALMOST


def needed_repeats(alpha: float, family: int, *, paired: bool = False) -> int:
    """Repeats of each side (or pairs) from which a change that stands alone in its family can be significant."""
    level = alpha / max(family, 1) * _ALMOST
    count = 1
    while (least_sign_flip_p(count) if paired else least_rank_sum_p(count, count)) > level:
        count += 1
    return count


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


def _caveats(tests: Sequence[_Test], policy: Policy) -> list[str]:
    if not tests:
        return []
    if policy.threshold_only:
        return ["thresholds alone were applied: sampled changes were not tested"]
    caveats = []
    alone = [test for test in tests if test.least > policy.alpha / len(tests) * _ALMOST]
    counts: Mapping[bool, int] = Counter(test.paired for test in alone)
    for of_pairs, count in counts.items():
        needed = needed_repeats(policy.alpha, len(tests), paired=of_pairs)
        caveats.append(
            f"{count} of {len(tests)} sampled comparisons have too few repeats to show a change that stands alone: "
            f"{needed} {'pairs' if of_pairs else 'repeats on each side'} would do"
        )
    return caveats


def _change(ratio: float | None, threshold: float | None) -> str:
    beyond = "" if threshold is None else f" (threshold {threshold * 100:g} %)"
    return f"{percent_change(ratio)}{beyond}"


def percent_change(ratio: float | None) -> str:
    """A ratio as a signed change: 1.1 is `+10.0 %`, 25 is `x25`; None, something after nothing, is `from 0`."""
    if ratio is None:
        return "from 0"
    if ratio >= 10:
        return f"x{ratio:.3g}"
    change = (ratio - 1) * 100
    size = abs(change)
    digits = 0 if size >= 100 else 1 if size >= 0.05 else 3
    return f"{change:+.{digits}f} %" if size >= 0.0005 else "0 %"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


def _exp(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    low, high = (math.exp(min(end, _LARGEST_LOG)) for end in interval or (0.0, 0.0))
    return None if interval is None else (low, high)
