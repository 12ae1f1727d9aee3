"""The figures of a run for services that follow them over commits: Bencher and github-action-benchmark.

Both get the figures that a check compares, by the lasting names of their points. JSON is strict: a figure that is not
finite is none.

Sources: "Bencher Metric Format (BMF)" (bencher.dev/docs/reference/bencher-metric-format), and "Custom benchmarks" in
the README of github.com/benchmark-action/github-action-benchmark.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reports.arrange.point_names import lasting_name
from reports.checks.metrics import IN_MEMORY, METRICS, Metric, Source
from reports.checks.pair_up import PointRepeats, tried_points
from reports.records.record import Record
from reports.text.units import counted


@dataclass(frozen=True, slots=True)
class Tracked:
    """One metric of one point, with the figure of every repeat that has one."""

    point: str
    metric: Metric
    source: Source
    record: Record
    """Any of the repeats."""
    values: tuple[float, ...]


def as_bencher(records: Sequence[Record]) -> str:
    """The Bencher Metric Format: by point and measure the median, and the lowest and the highest repeat.

    Raises:
        ValueError: no point has a figure.
    """
    content: dict[str, dict[str, dict[str, float]]] = {}
    for one in _tracked(records):
        found = {"value": statistics.median(one.values)}
        if len(one.values) > 1:
            found |= {"lower_value": min(one.values), "upper_value": max(one.values)}
        content.setdefault(one.point, {})[one.metric.name.replace("_", "-")] = found
    return _json(content)


def as_github_action_benchmark(records: Sequence[Record]) -> str:
    """The list that its tool `customSmallerIsBetter` reads: bytes and seconds.

    Throughput, of which more is better, stands in it as the time of an update that it was computed from.

    Raises:
        ValueError: no point has a figure.
    """
    return _json([entry for one in _tracked(records) for entry in _smaller_is_better(one)])


def left_out(records: Sequence[Record]) -> str:
    """Which points have no figures, in one line: `2 points without figures: 1 oom, 1 timeout`; empty if all have."""
    failed = [point for point in _points(records) if not any(True for _ in _figures(point))]
    statuses = Counter(point.records[0].status for point in failed)
    named = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return f"left out {counted(len(failed), 'point')} without figures: {named}" if failed else ""


def _smaller_is_better(one: Tracked) -> Iterator[dict[str, Any]]:
    name, values = one.metric.name, one.values
    if one.metric.higher_is_better:
        name = "update_cpu_time" if one.source.cpu_only else "update_time"
        steps = one.record.agents * one.record.envs * one.record.seq_len
        values = tuple(time for value in values if value > 0 and math.isfinite(time := steps / value))
    if values:
        middle = statistics.median(values)
        spread = {"range": f"± {max(abs(value - middle) for value in values):.6g}"} if len(values) > 1 else {}
        entry = {"name": f"{one.point} {name}", "unit": "bytes" if one.metric.unit == "bytes" else "s", "value": middle}
        yield entry | spread | {"extra": f"median of {counted(len(values), 'repeat')}"}


def _tracked(records: Sequence[Record]) -> list[Tracked]:
    found = [one for point in _points(records) for one in _figures(point)]
    if not found:
        raise ValueError("no point has figures, so there is nothing to export")
    return found


def _points(records: Sequence[Record]) -> list[PointRepeats]:
    """The points that were tried; of live pairs the side `new`."""
    return list(tried_points(record for record in records if record.side != "base").values())


def _figures(point: PointRepeats) -> Iterator[Tracked]:
    """Every metric of a point that any of its repeats has, each read from the first source known."""
    on_cpu = all(record.platform == "cpu" for record in point.ok)
    for metric in METRICS:
        if metric.name in IN_MEMORY:
            continue
        for source in metric.sources:
            known = [record for record in point.ok if (on_cpu or not source.cpu_only) and source.is_known(record)]
            if known:
                values = tuple(map(source.value, known))
                yield Tracked(lasting_name(known[0]), metric, source, known[0], values)
                break


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
