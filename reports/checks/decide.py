"""From the values of two sides to a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reports.checks.exact_tests import (
    benjamini_hochberg,
    least_rank_sum_p,
    least_sign_flip_p,
)
from reports.checks.findings import _ALMOST, IMPROVED, INCONCLUSIVE, REGRESSED, UNCHANGED, Finding, percent_change
from reports.checks.metrics import METRICS, Metric
from reports.checks.policy import CheckPolicy


@dataclass(frozen=True, slots=True)
class _Test:
    """A sampled comparison before its verdict, which takes all others to know."""

    place: int
    worse: float
    better: float
    least: float
    """The p-value of the most extreme outcome."""
    paired: bool


def _side(metric: Metric, finding: Finding) -> str:
    """On which side of its thresholds a change lies: `regressed`, `improved` or `unchanged`."""
    if not finding.past_threshold:
        return UNCHANGED
    larger = finding.ratio is None or finding.ratio > 1
    return IMPROVED if larger is metric.higher_is_better else REGRESSED


def _decide(findings: list[Finding], tests: Sequence[_Test], policy: CheckPolicy) -> None:
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


def _can_speak(test: _Test, policy: CheckPolicy) -> bool:
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


def _caveats(tests: Sequence[_Test], policy: CheckPolicy) -> list[str]:
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


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
