"""Arranges records as curves along an axis, for figures and the page.

A *slice* holds the other axis fixed: along agents at one sequence length, or along sequence length at one number of
agents. Every model and mode is one curve of it. Other axes that vary (scenario, environments, width, …) give separate
curves, named in their labels.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.arrange.pivot import AxisValue, Repeats, curve_name, varying_axes
from reports.arrange.selection import run_names
from reports.records.columns import Column
from reports.records.record import Record, has_result, is_between, was_run
from reports.records.run import Run
from reports.text.units import counted

AXES = {"agents": "seq_len", "seq_len": "agents"}
"""The axes of curves, each with the one that a slice holds fixed."""

DRAWN = (1e-50, 1e50)
"""The range of values that a chart shows; their ratios do not overflow."""

AXIS_TITLES = {"agents": "Number of agents", "seq_len": "Sequence length (timesteps per rollout)"}


@dataclass(frozen=True, slots=True)
class Curve:
    """One model in one mode: its points by size along the slice's axis (agents or timesteps)."""

    label: str
    style: int
    """Index of the curve's look, the same in every chart of the run."""
    points: Mapping[int, Repeats]

    def values(self, measure: Column) -> dict[int, tuple[float, ...]]:
        """The known values of successful repeats by size, limited to what a logarithmic axis can show."""
        found: dict[int, tuple[float, ...]] = {}
        for size, point in sorted(self.points.items()):
            read = (getattr(record, measure.name) for record in point.measured)
            known = tuple(float(value) for value in read if value is not None and DRAWN[0] <= value <= DRAWN[1])
            if known and size > 0:
                found[size] = known
        return found

    def failures(self) -> dict[int, tuple[Record, ...]]:
        """The repeats without a result, by size."""
        return {size: point.failed for size, point in sorted(self.points.items()) if point.failed and size > 0}


@dataclass(frozen=True, slots=True)
class Slice:
    """All curves along `axis` at one value `at` of the other axis."""

    axis: str
    at: int
    curves: tuple[Curve, ...]

    @property
    def title(self) -> str:
        """The fixed value in words."""
        return counted(self.at, "timestep" if self.axis == "agents" else "agent")

    @property
    def sizes(self) -> tuple[int, ...]:
        """All sizes on the axis that were to be measured, ascending."""
        points = ((size, point) for curve in self.curves for size, point in curve.points.items())
        return tuple(sorted({size for size, point in points if size > 0 and any(map(was_run, point.records))}))


def slices(runs: Sequence[Run], axis: str) -> list[Slice]:
    """The slices along `axis`, ordered by the value that they hold fixed.

    Slices along sequence length need at least two lengths. Pending points are left out, and planned ones are no size of
    a slice. With several runs, each has its own curves, labelled with its name.
    """
    fixed = AXES[axis]
    tried = [[record for record in run.records if was_run(record)] for run in runs]
    planned = [[record for record in run.records if record.status == "planned" and is_between(record)] for run in runs]
    names = run_names(runs)
    beside = [name for name in varying_axes(record for records in tried for record in records) if name not in AXES]
    styles: dict[tuple[object, ...], int] = {}
    found: dict[int, dict[tuple[object, ...], dict[int, list[Record]]]] = {}
    labels: dict[tuple[object, ...], str] = {}
    for number, records in enumerate(tried):
        for record in records:
            values = tuple(getattr(record, name) for name in beside)
            key = (number, record.model, record.mode, values)
            styles.setdefault(key, len(styles))
            run: list[tuple[str, AxisValue]] = [("run", names[number])] if len(runs) > 1 else []
            labels[key] = curve_name(record.model, record.mode, [*run, *zip(beside, values, strict=True)])
            curve = found.setdefault(getattr(record, fixed), {}).setdefault(key, {})
            curve.setdefault(getattr(record, axis), []).append(record)
    for number, records in enumerate(planned):  # only along curves that were measured
        for record in records:
            key = (number, record.model, record.mode, tuple(getattr(record, name) for name in beside))
            if key in (curves := found.get(getattr(record, fixed), {})):
                curves[key].setdefault(getattr(record, axis), []).append(record)
    made = [
        Slice(axis, at, tuple(_curve(labels[key], styles[key], curves[key]) for key in sorted(curves, key=styles.get)))  # type: ignore[arg-type]
        for at, curves in sorted(found.items())
    ]
    return [one for one in made if axis == "agents" or len(one.sizes) > 1]


def _curve(label: str, style: int, points: Mapping[int, Sequence[Record]]) -> Curve:
    return Curve(label, style, {size: Repeats(tuple(records)) for size, records in sorted(points.items())})


def fullest_slice(found: Sequence[Slice]) -> Slice:
    """The slice with the most successful points; ties go to the larger one. Figures show only this one."""
    return max(found, key=lambda one: (sum(bool(p.measured) for c in one.curves for p in c.points.values()), one.at))


def known_measures(records: Iterable[Record], among: Sequence[Column]) -> list[Column]:
    """Those of `among` that any successful record has a value of, in order."""
    ok = [record for record in records if has_result(record)]
    return [measure for measure in among if any(getattr(record, measure.name) is not None for record in ok)]


def memory_limits(records: Iterable[Record], measure: Column) -> list[tuple[int, float]]:
    """The memory limits in bytes, each with the position of its line on the axis of `measure`.

    A limit applies to all resident memory. Measures that exclude the process itself (the rise, and XLA's plan on a CPU)
    reach it earlier, by the median of `host_base_bytes`. If that is unknown, there is no line.
    """
    found: dict[int, list[Record]] = {}
    for record in records:
        if record.memory_limit_bytes is not None:
            found.setdefault(record.memory_limit_bytes, []).append(record)
    lines = []
    for limit, under in sorted(found.items()):
        base = 0.0
        beside_process = measure.name in ("memory_bytes", "xla_peak_bytes") and not _on_device(under)
        if measure.name == "host_peak_rise_bytes" or beside_process:
            bases = [record.host_base_bytes for record in under if record.host_base_bytes is not None]
            if not bases:
                continue
            base = statistics.median(bases)
        if limit > base:
            lines.append((limit, limit - base))
    return lines


def _on_device(records: Iterable[Record]) -> bool:
    return any(record.platform not in ("", "cpu") for record in records)
