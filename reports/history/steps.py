"""The history of several runs: where figures step to another level, and whether that is more than noise.

`reports.history.levels` proposes where levels begin. Each proposal is then judged as a check judges two runs, over the
repeats nearest to it on both sides: past the threshold and, if sampled, significant. A step may begin at any run, so
its p-value is multiplied by the number of places where it could (Bonferroni), and the family of Benjamini and
Hochberg's correction counts every stretch of comparable runs, also those in which nothing was proposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reports.checks.decide import PendingTest, decide, describe_change
from reports.checks.findings import (
    IMPROVED,
    INCONCLUSIVE,
    REGRESSED,
    ROUNDING,
    UNCHANGED,
    Finding,
    NothingToCompareError,
)
from reports.checks.judge import judge_metric
from reports.checks.pair_up import PointRepeats
from reports.checks.policy import CheckPolicy
from reports.history.levels import find_levels
from reports.history.series import Moment, Series, find_series, in_order, moments, stretches_to_compare
from reports.records.record import Record
from reports.records.run import Run

MOST_REPEATS = 24
"""Repeats on each side of a proposal that are judged: more add nothing, and the exact test is cubic in them."""

Kind = Literal["step", "drift", "spike"]


@dataclass(frozen=True, slots=True)
class Change:
    """A series that moves: at once and for good (`step`), little by little (`drift`), or for one run (`spike`)."""

    kind: Kind
    series: Series
    finding: Finding
    """The figures before and after, their ratio and the verdict."""
    before: tuple[int, ...]
    """The places of the runs of the earlier level; of a drift, of those that it begins with."""
    after: tuple[int, ...]
    """Those of the later one, or that a drift ends with; of a spike the run itself."""

    @property
    def start(self) -> int:
        """The place of the first run that is on another level; of a drift, the first run of all."""
        return self.before[0] if self.kind == "drift" else self.after[0]

    @property
    def is_certain(self) -> bool:
        """Whether it is more than noise."""
        return self.finding.verdict in (REGRESSED, IMPROVED)


@dataclass(frozen=True, slots=True)
class History:
    """Several runs in order, with the series of their figures and how these change."""

    policy: CheckPolicy
    moments: tuple[Moment, ...]
    series: tuple[Series, ...]
    changes: tuple[Change, ...]
    """Those that are more than noise, and those that too few repeats leave open."""
    by_time: bool
    """Whether the runs are in the order in which they were made, not as given."""
    left_out: tuple[str, ...] = ()
    """The runs that were left out, and why."""

    def of(self, kind: Kind) -> list[Change]:
        """The changes of a kind that are more than noise, the worse ones first."""
        found = [change for change in self.changes if change.kind == kind and change.is_certain]
        return sorted(found, key=lambda change: (change.finding.verdict != REGRESSED, change.start))

    @property
    def open(self) -> list[Change]:
        """The changes that cannot be told from noise, for lack of repeats or because of CPU contention."""
        return [change for change in self.changes if not change.is_certain]


def history_of(runs: Sequence[tuple[str, Run]], policy: CheckPolicy, *, as_given: bool = False) -> History:
    """The history of several runs, each with its name: by when they were made, unless they are to stay `as_given`.

    Raises `NothingToCompareError` if no figure of two runs is comparable.
    """
    kept, left_out = _complete(runs, policy)
    found = moments(kept)
    ordered = None if as_given else in_order(found)
    found = found if ordered is None else ordered
    series = find_series(found, policy)
    if not any(True for _ in stretches_to_compare(series)):
        raise NothingToCompareError(_why_nothing(found, series, left_out))
    changes = tuple(_decided(series, policy))
    return History(policy, tuple(found), tuple(series), changes, ordered is not None, tuple(left_out))


def _complete(runs: Sequence[tuple[str, Run]], policy: CheckPolicy) -> tuple[list[tuple[str, Run]], list[str]]:
    """The runs that lack none of their records, unless the policy allows that, and what the others lack."""
    lacking = [] if policy.allow_incomplete else [name for name, run in runs if run.incomplete]
    kept = [(name, run) for name, run in runs if name not in lacking]
    return kept, [f"{name} is incomplete: {run.incomplete}" for name, run in runs if name in lacking]


def _why_nothing(found: Sequence[Moment], series: Sequence[Series], left_out: Sequence[str]) -> str:
    because = f" ({'; '.join(left_out)}; --allow-incomplete takes such runs)" if left_out else ""
    if len(found) < 2:
        return f"nothing to compare: fewer than two runs are left{because}"
    reasons = dict.fromkeys(why for one in series for why in one.breaks.values())
    if reasons:
        some = list(reasons)[:3]
        more = f"; and {len(reasons) - len(some)} more reasons" if len(reasons) > len(some) else ""
        return f"nothing to compare: {'; '.join(some)}{more} (--cross-machine compares anyway){because}"
    return f"nothing to compare: no point has figures in two of the runs; compare runs of the same grid{because}"


def _decided(series: Sequence[Series], policy: CheckPolicy) -> Iterator[Change]:
    """The proposals with their verdicts; those within the noise are left out."""
    proposals: list[Change] = []
    findings: list[Finding] = []
    tests: list[PendingTest] = []
    for one, stretch in stretches_to_compare(series):
        proposed = list(_proposals(one, stretch, policy))
        for change, test in proposed:
            proposals.append(change)
            if test is not None:
                tests.append(_over_places(replace(test, place=len(findings)), len(stretch) - 1))
            findings.append(change.finding)
        if not one.metric.deterministic and not any(test for _, test in proposed):
            tests.append(PendingTest(len(findings), worse=1.0, better=1.0, least=0.0, paired=False))
            findings.append(Finding(one.point, one.metric.name, UNCHANGED, ""))
            proposals.append(Change("step", one, findings[-1], stretch[:1], stretch[1:]))
    decide(findings, tests, policy)
    for change, finding in zip(proposals, findings, strict=True):
        if finding.verdict in (REGRESSED, IMPROVED, INCONCLUSIVE):
            yield replace(change, finding=_explained(finding))


def _over_places(test: PendingTest, places: int) -> PendingTest:
    """A test of the best of several places."""
    worse, better, least = (min(1.0, p * places) for p in (test.worse, test.better, test.least))
    return replace(test, worse=worse, better=better, least=least)


def _explained(finding: Finding) -> Finding:
    """Of a change that too few repeats leave open, without a number that would be enough: it depends on the place."""
    if finding.verdict != INCONCLUSIVE or finding.doubt != "noise":
        return finding
    text = describe_change(finding.ratio, finding.threshold)
    return replace(finding, reason=f"{text}, but {finding.units} cannot tell it from noise", needed=None)


def _proposals(
    series: Series, stretch: tuple[int, ...], policy: CheckPolicy
) -> Iterator[tuple[Change, PendingTest | None]]:
    """Every proposed change in a stretch, with its test if it is of a sampled metric."""
    allowed = policy.threshold(series.metric, series.point)
    shape = find_levels(
        [series.figure(place) for place in stretch], allowed, lambda ratio: abs(ratio - 1) > allowed * ROUNDING
    )
    levels = [tuple(stretch[place] for place in level) for level in shape.levels]
    for number in shape.steps:
        yield from _judged("step", series, levels[number - 1], levels[number], policy)
    for drift in shape.drifts:
        end = max(1, len(drift) // 4)
        first, last = (tuple(stretch[place] for place in some) for some in (drift[:end], drift[-end:]))
        yield from _judged("drift", series, first, last, policy)
    for spike in shape.spikes:
        at = stretch[spike]
        around = min(levels, key=lambda level: min(abs(place - at) for place in level))
        yield from _judged("spike", series, tuple(place for place in around if place < at) or around, (at,), policy)


def _judged(
    kind: Kind, series: Series, before: tuple[int, ...], after: tuple[int, ...], policy: CheckPolicy
) -> Iterator[tuple[Change, PendingTest | None]]:
    """The change as a check judges it: two sets of repeats, those nearest to each other (of a drift, farthest)."""
    early = before if kind == "drift" else before[::-1]
    late = after[::-1] if kind == "drift" else after
    sides = (_pooled(series, early), _pooled(series, late))
    judged = judge_metric(series.metric, *sides, policy, "", None)
    if judged is not None:
        finding, test = judged
        yield Change(kind, series, finding, before, after), test


def _pooled(series: Series, places: Sequence[int]) -> PointRepeats:
    """The repeats of some runs, whole runs until there are enough."""
    found: list[Record] = []
    for place in places:
        if len(found) >= MOST_REPEATS:
            break
        found += series.repeats[place].ok
    return PointRepeats(tuple(found))
