"""How much figures vary between runs of the same code, and the thresholds that follow for a host.

Each point that two runs of the same code have in common gives one ratio per sampled metric. The logarithms have an
expected mean of 0, so their root mean square s estimates the noise, with as many degrees of freedom as there are points
(k). The recommended threshold is the one that normally distributed noise exceeds at no point in 99 of 100 checks:
z·s·√(k/c), where z is the normal quantile at 1 − 0.01/k and c the 10 % quantile of χ² with k degrees of freedom, which
allows for s being underestimated (c by the approximation of Wilson and Hilferty, 1931). It is at least the largest
difference observed, rounded up to half a percent.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from reports.checks.compare import compare_runs, compare_sides
from reports.checks.findings import NOT_COMPARABLE, Comparison, Finding
from reports.checks.metrics import METRICS, Metric
from reports.checks.policy import LARGEST_THRESHOLD, TABLE, CheckPolicy
from reports.records.run import Run
from reports.text.section import shown
from reports.text.units import counted

FALSE_ALARMS = 0.01
"""Share of checks in which noise alone may exceed the threshold of a metric."""
LEAST_POINTS = 3
"""Ratios needed for a recommendation."""
_LOW = 0.10
_LEAST = 0.01
_STEP = 0.005


@dataclass(frozen=True, slots=True)
class MetricNoise:
    """The noise of one metric."""

    metric: Metric
    points: int
    """Number of points with a ratio."""
    spread: float | None
    """Root mean square of the log ratios, roughly the expected relative difference."""
    largest: float | None
    """The largest difference, as a fraction of the smaller figure."""
    threshold: float | None
    """The recommendation; None if there are too few points or too much noise."""
    why: str = ""
    """Why no point has a ratio, if none has."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of every measured sampled metric."""

    source: str
    host: str
    """The CPU and the platform it was measured on; empty if not known."""
    metrics: tuple[MetricNoise, ...]
    changed: tuple[str, ...]
    """Deterministic metrics that differ, which they should not between runs of the same code."""
    notes: tuple[str, ...]


def measure_noise(run: Run, again: Run | None = None) -> Noise:
    """The noise between two runs of the same code, the sides of live pairs, or the two halves of one run's repeats.

    Raises ValueError if they have nothing to compare, or ran under different conditions.
    """
    notes: list[str] = []
    policy = CheckPolicy(threshold_only=True, allow_incomplete=True)
    notes += [
        f"{one.name} is incomplete: {one.incomplete}; what it lacks is left out"
        for one in (run, again)
        if one is not None and one.incomplete
    ]
    if again is not None:
        found = compare_runs(run, again, policy)
        source = f"{run.name} and {again.name}"
    elif {"base", "new"} <= {record.side for record in run.records}:
        found = compare_sides(run, policy)
        source = f"the two sides of {run.name}"
        notes.append("this is noise only if both sides ran the same code")
    else:
        found = compare_runs(*_halves(run), policy)
        source = f"the odd and even repeats of {run.name}"
        notes.append(
            "two halves of one run miss the drift between runs and have half the repeats of a check; "
            "two runs of the same code, some time apart, are more reliable"
        )
    if found.differences:
        raise ValueError(
            f"{source} ran under different conditions, so this is not noise: {'; '.join(found.differences)}"
        )
    metrics = tuple(one for metric in METRICS if not metric.deterministic and (one := _noise_of(metric, found)))
    if not any(one.points for one in metrics):
        raise ValueError(f"{source}: no point was measured in both, so there is nothing to compare")
    deterministic = {metric.name for metric in METRICS if metric.deterministic}
    changed = {f.metric for f in found.findings if f.metric in deterministic and f.base and f.new and f.ratio != 1}
    notes += [note for note in found.notes if "contended" in note]
    described = next(iter(run.hosts), {})
    host = ", ".join(str(described[name]) for name in ("cpu", "platform") if described.get(name))
    return Noise(source, host, metrics, tuple(sorted(changed)), tuple(notes))


def recommended_threshold(logs: list[float], metric: Metric) -> float | None:
    """The threshold for the log ratios of one metric; None if there are too few or it would be useless."""
    count = len(logs)
    if count < LEAST_POINTS:
        return None
    normal = NormalDist()
    spread = math.sqrt(math.fsum(value * value for value in logs) / count)
    part = 2 / (9 * count)
    low = count * (1 - part + normal.inv_cdf(_LOW) * math.sqrt(part)) ** 3
    limit = normal.inv_cdf(1 - FALSE_ALARMS / count) * spread * math.sqrt(count / low)
    limit = max(limit, *map(abs, logs))
    # The threshold of a rate is how far it may fall.
    fraction = -math.expm1(-limit) if metric.higher_is_better else math.expm1(limit)
    threshold = max(math.ceil(round(fraction / _STEP, 6)) * _STEP, _LEAST)
    return None if threshold >= (1 if metric.higher_is_better else LARGEST_THRESHOLD) else round(threshold, 4)


def as_toml(noise: Noise) -> str:
    """The recommendation as lines for a pyproject.toml."""
    lines = [f"[{'.'.join(TABLE)}]"]
    made_on = f" on {noise.host}" if noise.host else ""
    lines.append(f"# {shown(f'scaleprof noise: {noise.source}{made_on}')}")
    for one in noise.metrics:
        if one.threshold is None:
            if not one.points:
                why = one.why
            elif one.points < LEAST_POINTS:
                why = f"{counted(one.points, 'undisturbed point')}, needs {LEAST_POINTS}"
            else:
                why = "too noisy to judge"
            lines.append(f"# {one.metric.name}: {why}")
        else:
            lines.append(f'{one.metric.name} = "{one.threshold * 100:g}%"')
    return "\n".join(lines) + "\n"


def _noise_of(metric: Metric, found: Comparison) -> MetricNoise | None:
    findings = [finding for finding in found.findings if finding.metric == metric.name]
    as_measured = {source.title for source in metric.sources}  # not adjusted for contention
    ratios = [
        f.ratio for f in findings if f.verdict != NOT_COMPARABLE and f.source in as_measured and f.ratio is not None
    ]
    logs = [math.log(ratio) for ratio in ratios if ratio > 0 and math.isfinite(ratio)]
    if not findings:
        return None
    if not logs:
        return MetricNoise(metric, 0, None, None, None, _why_none(metric, findings, found))
    spread = math.sqrt(math.fsum(value * value for value in logs) / len(logs))
    largest = math.expm1(max(map(abs, logs)))
    return MetricNoise(metric, len(logs), spread, largest, recommended_threshold(logs, metric))


def _why_none(metric: Metric, findings: Sequence[Finding], found: Comparison) -> str:
    """Why no finding of a metric tells of noise, the most frequent reason."""
    if metric.of_compiling and all(not (one.base and one.new) for one in findings):
        return "not measured in all repeats: one that reads compiled programs has no figure"
    refused = Counter(one.reason for one in findings if one.verdict == NOT_COMPARABLE)
    if len(findings) == sum(refused.values()):
        (reason, _), *_ = refused.most_common(1)
        return reason.replace(" in BASE", f" in {found.base}").replace(" in NEW", f" in {found.new}")
    return "other processes competed for the CPU at every point"


def _halves(run: Run) -> tuple[Run, Run]:
    """The even and the odd repeats of a run, interleaved so that drift affects both."""
    repeats = sorted({record.repeat for record in run.records if record.status == "ok"})
    if len(repeats) < 2:
        raise ValueError(f"{run.path} has only one repeat per point; sweep with --repeats, or name a second run")
    even = set(repeats[::2])
    first, second = (
        tuple(record for record in run.records if (record.repeat in even) is chosen) for chosen in (True, False)
    )
    names = f"the odd repeats of {run.name}", f"the even repeats of {run.name}"
    return (
        dataclasses.replace(run, name=names[0], records=first),
        dataclasses.replace(run, name=names[1], records=second),
    )
