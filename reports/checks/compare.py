"""What changed between two runs, or within live pairs, and whether that is a regression.

A change of a deterministic metric is judged by its threshold alone. A sampled metric regresses if its change exceeds
the threshold **and** is significant: a one-sided exact rank test over repeats (processes), or over live pairs, with
Benjamini and Hochberg's correction over all points and sampled metrics of the check. Improvements are judged in the
same way, as a family of their own.

The null hypothesis is not "no change" but a change of up to `MARGIN`, a third, of the threshold: a machine is faster at
one time than at another, so runs of the same code differ a little however consistent their repeats are (a
minimum-effect test, Murphy & Myors, Journal of Applied Psychology 84 (1999) 234-248).

A test whose most extreme outcome has a p-value above α can never be significant. It is left out of the family (Tarone,
Biometrics 46 (1990) 515-522), which is valid because that p-value depends on the numbers of repeats alone. A change
past its threshold is `inconclusive` if even the most extreme outcome would not have been significant, given the other
p-values. The number of repeats then named suffices for a single change whatever the other p-values are: the least n
with 1 / C(2n, n) ≤ α / m (or 1 / 2^n, for pairs) for m sampled comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from reports.checks.comparability import differences, soft_differences
from reports.checks.decide import PendingTest, can_be_significant, caveats_of, decide
from reports.checks.findings import NEW, STATUS, Comparison, Finding, IncompleteError, NothingToCompareError
from reports.checks.judge import Pairing, judge_metric
from reports.checks.live_pairs import pair_logs
from reports.checks.metrics import METRICS, Metric
from reports.checks.pair_up import (
    Key,
    but_for_split,
    columns_before_their_time,
    device_differences,
    explain_no_common_point,
    point_identity,
    status_change,
    tried_points,
    vanished_point,
)
from reports.checks.policy import CheckPolicy
from reports.records.record import Record, has_result, is_between
from reports.records.run import Run

_AFFECT_STATIC = ("platform: ", "jax: ", "jaxlib: ", "JAX_", "XLA_")
"""How the differences begin that affect XLA's static figures: versions, and variables that change programs."""


def compare_runs(base: Run, new: Run, policy: CheckPolicy) -> Comparison:
    """Compare two runs, or a saved baseline with a run: repeats of one against repeats of the other.

    Of a run of live pairs the side `new` is taken. Raises `NothingToCompareError` if they have no point in common,
    `IncompleteError` if BASE lacks some of its records and the policy does not allow that.
    """
    sides = (("BASE", base), ("NEW", new))
    notes = [
        f"{name} holds live pairs; its side 'new' is compared"
        for name, run in sides
        if any(record.side == "base" for record in run.records)
    ]
    for name, run in sides:
        if not run.hosts:
            notes.append(f"{name} is a bare results file: only platform, device and pinned cores of its host are known")
    incomplete = tuple(f"{name} is incomplete: {run.incomplete}" for name, run in sides if run.incomplete)
    uncounted = tuple(name for name, run in sides if not run.is_counted)
    if base.incomplete and not policy.allow_incomplete:
        raise IncompleteError(f"{incomplete[0]}: complete it (sweep --resume), or compare with --allow-incomplete")
    changed = differences(base.hosts, new.hosts)
    notes += soft_differences(base.hosts, new.hosts)
    before, after = ([record for record in run.records if record.side != "base"] for run in (base, new))
    names = (base.name, new.name) if base.name != new.name else (str(base.path), str(new.path))
    found = _compare(*names, before, after, policy, notes, changed, None)
    return replace(found, incomplete=incomplete, uncounted=uncounted)


def compare_sides(run: Run, policy: CheckPolicy) -> Comparison:
    """Compare the two sides of live pairs: within each pair, or within each of its bursts.

    Raises ValueError if the run has no pairs.
    """
    base, new = ([record for record in run.records if record.side == side] for side in ("base", "new"))
    if not base or not new:
        raise ValueError(f"{run.path}: this run has no live pairs; name a second run or a baseline to compare it with")
    names = f"{run.name} (base)", f"{run.name} (new)"
    return replace(
        _compare(*names, base, new, policy, [], [], partial(pair_logs, run)),
        incomplete=(f"{run.name} is incomplete: {run.incomplete}",) if run.incomplete else (),
        uncounted=() if run.is_counted else (run.name,),
    )


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
    base_points, new_points = tried_points(base), tried_points(new)
    matched = [key for key in base_points if key in new_points]
    if not matched and not any(point_identity(record) in base_points for record in new if not is_between(record)):
        raise NothingToCompareError(explain_no_common_point(base_name, new_name, base, new))
    findings: list[Finding] = []
    tests: list[PendingTest] = []
    unlike: dict[str, None] = {}
    untried: dict[Key, list[Record]] = {}
    for record in new:
        untried.setdefault(point_identity(record), []).append(record)
    split_points = {but_for_split(key): key for key in reversed(new_points)}
    unknown = columns_before_their_time(base, new)
    for key, before in base_points.items():
        if key not in new_points:
            split = split_points.get(but_for_split(key))
            findings.append(vanished_point(before, untried.get(key, ()), split, allowed=policy.allow_missing))
            continue
        after = new_points[key]
        status = status_change(before, after)
        if status is not None:
            findings.append(status)
        if not before.ok or not after.ok:
            continue
        other = list(dict.fromkeys([*changed, *device_differences(before, after)]))
        unlike |= dict.fromkeys(other)
        for metric in METRICS:
            if metric.name not in policy.metrics:
                continue
            blocked = why_blocked(metric, other, policy)
            found = judge_metric(metric, before, after, policy, blocked, pairing, unknown)
            if found is not None:
                finding, test = found
                if test is not None:
                    tests.append(replace(test, place=len(findings)))
                findings.append(finding)
    findings += [
        Finding(after.records[0], STATUS, NEW, f"not in BASE; {after.describe()}")
        for key, after in new_points.items()
        if key not in base_points
    ]
    decide(findings, tests, policy)
    return Comparison(
        base_name,
        new_name,
        policy,
        tuple(findings),
        matched=len(matched),
        sampled=len(tests),
        family=sum(can_be_significant(test, policy) for test in tests),
        differences=tuple(unlike),
        notes=(*notes, *_notes(base, new, findings)),
        caveats=tuple(caveats_of(tests, policy)),
    )


def why_blocked(metric: Metric, unlike: Sequence[str], policy: CheckPolicy) -> str:
    """Which of the differences between two runs forbid to compare a metric, in one line; empty if none does."""
    reasons = [line for line in unlike if not metric.deterministic or line.startswith(_AFFECT_STATIC)]
    return "" if policy.cross_machine else "; ".join(reasons)


def _notes(base: Sequence[Record], new: Sequence[Record], findings: Sequence[Finding]) -> list[str]:
    notes = []
    sources = {finding.source for finding in findings if finding.metric == "throughput" and finding.source}
    if sources:
        notes.append(f"throughput is {' or '.join(sorted(sources))}")
    for name, records in (("BASE", base), ("NEW", new)):
        measured = [record for record in records if has_result(record)]
        contended = sum(bool(record.contended) for record in measured)
        if contended:
            what = "other processes competed for the CPU"
            notes.append(f"{name}: {contended} of {len(measured)} repeats contended: {what}")
        throttled = sum(bool(record.throttled) for record in measured)
        if throttled:
            notes.append(f"{name}: {throttled} of {len(measured)} repeats throttled: heat slowed the processor down")
    return notes
