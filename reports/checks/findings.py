"""The findings of a check: one verdict per metric and point, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.checks.metrics import METRICS
from reports.checks.policy import CheckPolicy
from reports.records.record import Record

REGRESSED, IMPROVED, UNCHANGED = "regressed", "improved", "unchanged"
INCONCLUSIVE, NOT_COMPARABLE, NEW = "inconclusive", "not comparable", "new"
VERDICTS = (REGRESSED, INCONCLUSIVE, NOT_COMPARABLE, IMPROVED, NEW, UNCHANGED)
"""The worst first."""

STATUS = "status"
"""The name in place of a metric's where the outcome of a point is judged."""

TRAINING = "training"
"""The name in place of a metric's where it is judged whether training diverged."""
OUTCOMES = (STATUS, TRAINING)
"""Findings with these names are of how a point ended; all others are of a figure."""

NOTHING_COMPARED = 4
"""The exit code of a check that could compare nothing."""

NOT_JUDGED = 5
"""The exit code of an inconclusive check, if the policy asks for one."""

Outcome = Literal["Regressed", "Not comparable", "Inconclusive", "No regression"]
"""What a whole check found: the first that applies."""

Doubt = Literal["", "noise", "contention", "unlike", "missing", "absent", "partial", "unmatched"]
"""Why a change that is, or may be, past its threshold could not be judged.

`noise`: too few repeats; `contention`: other processes may have caused it; `unlike`: the runs were not measured alike;
`missing`: NEW lacks a figure that BASE has; `absent`: BASE lacks one that NEW has; `partial`: some repeats lack it;
`unmatched`: NEW measured the point in another way only.
Empty: it was judged, or there was none.
"""

ROUNDING = 1 + 1e-9
"""Tolerance of comparisons: a p-value equal to α may lie a rounding error above it."""


class NothingToCompareError(ValueError):
    """Two runs without a point in common."""

    exit_code = NOTHING_COMPARED


class IncompleteError(ValueError):
    """A run that lacks some of its records is not fit to be compared with."""

    exit_code = NOTHING_COMPARED


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of one point, or its outcome: the figures of both runs, the verdict and the reason."""

    point: Record
    """Any record of the point; its `POINT_FIELDS` identify it."""
    metric: str
    verdict: str
    reason: str
    base: tuple[float, ...] = ()
    """The figure of every repeat that has one."""
    new: tuple[float, ...] = ()
    source: str = ""
    """What was measured."""
    ratio: float | None = None
    """New over base: of the medians, or the median of the ratios of pairs."""
    interval: tuple[float, float] | None = None
    """Exact 95 % interval of the ratio; None with too few repeats."""
    units: str = ""
    """The sample of the test and the interval: `5 and 5 repeats`, `80 bursts of 5 pairs`."""
    sample: int = 0
    """How many those are, in the run that has fewer."""
    threshold: float | None = None
    p_value: float | None = None
    """One-sided, in the direction of the change; the null hypothesis is a change of up to `MARGIN` of the threshold."""
    p_adjusted: float | None = None
    """After Benjamini and Hochberg's correction; None if the test could never be significant."""
    needed: int | None = None
    """With too few repeats: how many per run (or pairs) are enough."""
    doubt: Doubt = ""
    without_base: bool = False
    """Whether BASE tried the point in vain, so that there is nothing to compare its figures with."""

    @property
    def counted(self) -> str:
        """What the sample consists of: `repeat`, `pair` or `burst`."""
        return next((noun for noun in ("burst", "pair") if noun in self.units), "repeat")

    @property
    def past_threshold(self) -> bool:
        """Whether the change exceeds the allowed one."""
        if not self.base or not self.new or self.threshold is None:
            return False
        # 110 / 100 is a rounding error above 1.1.
        return self.ratio is None or abs(self.ratio - 1) > self.threshold * ROUNDING


@dataclass(frozen=True, slots=True)
class Comparison:
    """All findings of a check, with notes."""

    base: str
    new: str
    policy: CheckPolicy
    findings: tuple[Finding, ...]
    matched: int
    """Points that both runs tried."""
    sampled: int
    """Comparisons of sampled metrics."""
    family: int
    """Those with enough repeats to be tested: m in the correction."""
    differences: tuple[str, ...]
    """How hosts, versions and variables differ, as far as sampled figures depend on them."""
    notes: tuple[str, ...]
    """About the figures."""
    caveats: tuple[str, ...]
    """About the verdicts."""
    incomplete: tuple[str, ...] = ()
    """What is missing in BASE and NEW: `BASE is incomplete: 11 of 12 records`."""
    uncounted: tuple[str, ...] = ()
    """Of which of BASE and NEW it is not known whether records are missing."""

    def of(self, verdict: str) -> tuple[Finding, ...]:
        """The findings with this verdict."""
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    @property
    def doubts(self) -> tuple[Finding, ...]:
        """The changes that could not be judged."""
        return tuple(finding for finding in self.findings if finding.doubt)

    @property
    def outcome(self) -> Outcome:
        """`No regression` is said only if whatever changed could be judged."""
        if self.of(REGRESSED):
            return "Regressed"
        if self._nothing_compared:
            return "Not comparable"
        doubtful = self.doubts or self.incomplete or self.uncounted or not self.compared
        return "Inconclusive" if doubtful else "No regression"

    @property
    def compared(self) -> tuple[Finding, ...]:
        """The findings whose figures could be compared."""
        known = (finding for finding in self.findings if finding.verdict not in (NOT_COMPARABLE, NEW))
        return tuple(finding for finding in known if finding.base and finding.new)

    @property
    def exit_code(self) -> int:
        """That of the outcome; an inconclusive check fails only if the policy asks for it."""
        inconclusive = NOT_JUDGED if self.policy.fail_inconclusive else 0
        codes = {"Regressed": 1, "Not comparable": NOTHING_COMPARED, "Inconclusive": inconclusive, "No regression": 0}
        return codes[self.outcome]

    @property
    def _nothing_compared(self) -> bool:
        """Whether no figure could be compared, or no sampled one because hosts or versions differ."""
        judged = [finding for finding in self.findings if finding.verdict not in (NOT_COMPARABLE, NEW)]
        compared = [finding for finding in judged if (finding.base and finding.new) or finding.verdict == IMPROVED]
        sampled = [finding for finding in compared if finding.metric in _SAMPLED]
        refused = [finding for finding in self.of(NOT_COMPARABLE) if finding.metric in _SAMPLED]
        return not compared or bool(self.differences and not self.policy.cross_machine and refused and not sampled)


_SAMPLED = frozenset(metric.name for metric in METRICS if not metric.deterministic)


def percent_change(ratio: float | None) -> str:
    """A ratio as a signed change: 1.1 is `+10.0 %`, 25 is `x25`; None, a change from zero, is `from 0`."""
    if ratio is None:
        return "from 0"
    if ratio >= 10:
        return f"x{ratio:.3g}"
    change = (ratio - 1) * 100
    size = abs(change)
    digits = 0 if size >= 100 else 1 if size >= 0.05 else 3
    return f"{change:+.{digits}f} %" if size >= 0.0005 else "0 %"
