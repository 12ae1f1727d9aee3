"""From the p-values of all sampled comparisons to their verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reports.checks.exact_tests import (
    Discoveries,
    benjamini_hochberg,
    least_rank_sum_p,
    least_sign_flip_p,
)
from reports.checks.findings import (
    IMPROVED,
    INCONCLUSIVE,
    REGRESSED,
    ROUNDING,
    UNCHANGED,
    Doubt,
    Finding,
    percent_change,
)
from reports.checks.metrics import METRICS, Metric
from reports.checks.policy import CheckPolicy


@dataclass(frozen=True, slots=True)
class PendingTest:
    """The p-values of one sampled comparison; its verdict depends on all others."""

    place: int
    """The index of its finding."""
    worse: float
    better: float
    least: float
    """The p-value of the most extreme outcome."""
    paired: bool


def verdict_by_threshold(metric: Metric, finding: Finding) -> str:
    """`regressed`, `improved` or `unchanged`, by the threshold alone."""
    if not finding.past_threshold:
        return UNCHANGED
    larger = finding.ratio is None or finding.ratio > 1
    return IMPROVED if larger is metric.higher_is_better else REGRESSED


def decide(findings: list[Finding], tests: Sequence[PendingTest], policy: CheckPolicy) -> None:
    """Give every tested finding its verdict, in place."""
    able = [test for test in tests if can_be_significant(test, policy)]
    places = {test.place: index for index, test in enumerate(able)}
    worse, better = [test.worse for test in able], [test.better for test in able]
    adjusted_worse, adjusted_better = benjamini_hochberg(worse), benjamini_hochberg(better)
    of_worse, of_better = (Discoveries(p_values, policy.alpha * ROUNDING) for p_values in (worse, better))
    needed_by = {paired: needed_repeats(policy.alpha, len(tests), paired=paired) for paired in (False, True)}
    by_name = {metric.name: metric for metric in METRICS}
    for test in tests:
        finding = findings[test.place]
        change = verdict_by_threshold(by_name[finding.metric], finding)
        index = places.get(test.place)
        # Within the threshold, the test of the direction of the change is shown.
        bad = change == REGRESSED or (change == UNCHANGED and test.worse <= test.better)
        adjusted, discoveries = (adjusted_worse, of_worse) if bad else (adjusted_better, of_better)
        p_value, p_adjusted = test.worse if bad else test.better, None if index is None else adjusted[index]
        significant = p_adjusted is not None and p_adjusted <= policy.alpha * ROUNDING
        text = describe_change(finding.ratio, finding.threshold)
        needed = None
        doubt: Doubt = finding.doubt
        if change == UNCHANGED and doubt:
            verdict, reason = INCONCLUSIVE, finding.reason
        elif change == UNCHANGED or policy.threshold_only:
            verdict, reason = change, text + ("" if change == UNCHANGED else ", not tested")
        elif significant:
            verdict, reason = change, f"{text}, p {_p(p_value)}, corrected {_p(p_adjusted)}"
        elif index is not None and discoveries.would_include(p_value, test.least):
            verdict = UNCHANGED
            reason = f"{text}, but within the noise: p {_p(p_value)}, corrected {_p(p_adjusted)}"
        else:
            verdict, doubt = INCONCLUSIVE, "noise"
            needed = needed_by[test.paired]
            reason = f"{text}, p {_p(p_value)}: needs {needed} {finding.counted}s, has {finding.units}"
        findings[test.place] = replace(
            finding, verdict=verdict, reason=reason, p_value=p_value, p_adjusted=p_adjusted, needed=needed, doubt=doubt
        )


def can_be_significant(test: PendingTest, policy: CheckPolicy) -> bool:
    """Whether the most extreme outcome would be significant if this were the only test."""
    return test.least <= policy.alpha * ROUNDING


def needed_repeats(alpha: float, family: int, *, paired: bool = False) -> int:
    """The repeats per run (or pairs) from which a single change among `family` comparisons can be significant."""
    level = alpha / max(family, 1) * ROUNDING
    count = 1
    while (least_sign_flip_p(count) if paired else least_rank_sum_p(count, count)) > level:
        count += 1
    return count


def caveats_of(tests: Sequence[PendingTest], policy: CheckPolicy) -> list[str]:
    """What limits the verdicts of sampled metrics."""
    if not tests:
        return []
    if policy.threshold_only:
        return ["only thresholds were applied; sampled changes were not tested for significance"]
    caveats = []
    weak = [test for test in tests if test.least > policy.alpha / len(tests) * ROUNDING]
    counts: Mapping[bool, int] = Counter(test.paired for test in weak)
    for paired, count in counts.items():
        needed = needed_repeats(policy.alpha, len(tests), paired=paired)
        caveats.append(
            f"{count} of {len(tests)} sampled comparisons have too few repeats to detect a change at a single point; "
            f"{needed} {'pairs' if paired else 'repeats per run'} are enough"
        )
    return caveats


def describe_change(ratio: float | None, threshold: float | None) -> str:
    """A change and its threshold: `+12.0 % (threshold 10 %)`."""
    beyond = "" if threshold is None else f" (threshold {threshold * 100:g} %)"
    return f"{percent_change(ratio)}{beyond}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
