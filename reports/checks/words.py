"""The words and numbers of a check, the same in every output format."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from reports.arrange.pivot import varying_axes
from reports.checks.findings import (
    NOT_COMPARABLE,
    STATUS,
    VERDICTS,
    Comparison,
    Finding,
    percent_change,
)
from reports.checks.metrics import METRICS
from reports.records.record import POINT_FIELDS, Record
from reports.text.section import shown
from reports.text.units import UNKNOWN, counted

_SHOW: dict[str, Callable[[float | None], str]] = {metric.name: metric.show for metric in METRICS}


def label_point(comparison: Comparison) -> Callable[[Finding], str]:
    """Names points by model, mode, agents, and every other axis that varies among them."""
    name = name_points([finding.point for finding in comparison.findings])
    return lambda finding: name(finding.point)


def name_points(points: Sequence[Record]) -> Callable[[Record], str]:
    """Names points by model, mode, agents, and every other axis that varies among `points`."""
    axes = [axis for axis in varying_axes(points) if axis in POINT_FIELDS and axis != "side"]

    def name(point: Record) -> str:
        more = "".join(f", {axis}={shown(getattr(point, axis))}" for axis in axes)
        return f"{shown(f'{point.model} {point.mode}')}, {counted(point.agents, 'agent')}{more}"

    return name


def show_median(finding: Finding, values: Sequence[float]) -> str:
    """The median of BASE's or NEW's figures, with its unit."""
    return _SHOW[finding.metric](statistics.median(values)) if values else UNKNOWN


def show_interval(finding: Finding) -> str:
    """The interval of the change: `-8.1 % to +2.0 %`."""
    if finding.interval is None:
        return UNKNOWN
    return " to ".join(percent_change(end) for end in finding.interval)


def show_change(finding: Finding) -> str:
    """The relative change, if the runs are comparable."""
    known = finding.base and finding.new and finding.metric != STATUS and finding.verdict != NOT_COMPARABLE
    return percent_change(finding.ratio) if known else UNKNOWN


def show_ratio(finding: Finding) -> str:
    """New over base."""
    return UNKNOWN if finding.ratio is None or not (finding.base and finding.new) else f"{finding.ratio:.3f}"


def show_ratio_interval(finding: Finding) -> str:
    """The interval of the ratio: `0.919 to 1.020`."""
    return UNKNOWN if finding.interval is None else " to ".join(f"{end:.3f}" for end in finding.interval)


def order(findings: Sequence[Finding]) -> list[Finding]:
    """The worst verdicts first; equal ones in their original order."""
    return sorted(findings, key=lambda finding: VERDICTS.index(finding.verdict))


def footnotes(comparison: Comparison, *, judged: bool = True) -> list[str]:
    """Notes on the figures and, if they were `judged`, on the verdicts, a line each."""
    policy = comparison.policy
    lines = []
    if comparison.differences and policy.cross_machine:
        lines.append(f"compared despite differences: {'; '.join(comparison.differences)}")
    lines += comparison.notes
    if judged:
        lines += comparison.caveats
        if comparison.family and not policy.threshold_only:
            lines.append(
                "sampled metrics: one-sided exact rank tests of a change beyond a third of the threshold, "
                f"Benjamini-Hochberg at {policy.alpha:g} over {_family(comparison)}"
            )
    if any(finding.interval for finding in comparison.findings):
        lines.append("intervals are exact 95 % confidence intervals")
    return [shown(line[:1].upper() + line[1:]) for line in lines]


def _family(comparison: Comparison) -> str:
    untested = comparison.sampled - comparison.family
    return counted(comparison.family, "comparison") + (
        f" ({untested} more have too few repeats to be tested)" if untested else ""
    )
