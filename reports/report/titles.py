"""What a chart shows in a sentence: how memory grew, or which mode is fastest; with shorter ones for less room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reports.arrange.curves import AXES, Slice
from reports.arrange.pivot import make_pivot, memory_of, rate_of
from reports.growth.laws import ALONG, factor, laws, step
from reports.growth.lines import short_factor
from reports.records.columns import Column
from reports.records.record import Record, was_run
from reports.report.answer import about_best, equal_work, largest_measured, one_side, ordered, sized
from reports.text.units import format_bytes, format_rate


@dataclass(frozen=True, slots=True)
class Title:
    """The title of a chart; of both parts the longest version first."""

    names: tuple[str, ...]
    """What is measured: `Peak memory at 16 timesteps`, `Peak memory`."""
    answers: tuple[str, ...]
    """What came out: `8x the agents: sable factored 6.7x, mat dense 39x`; empty if there is nothing to say."""


def title_of(measure: Column, one: Slice, records: Sequence[Record], also: Sequence[str] = ()) -> Title:
    """The title of the chart of `measure` along a slice.

    Args:
        measure: what the chart shows.
        one: the slice.
        records: of all slices.
        also: fields that separate curves in addition to those of a point.
    """
    shown = [r for r in records if was_run(r) and getattr(r, AXES[one.axis]) == one.at]
    answers = _growth(measure, shown, one.axis, also) or _best(measure, shown, one.axis, also)
    return Title((f"{measure.title} at {one.title}", measure.title), answers)


def _growth(measure: Column, records: Sequence[Record], along: str, also: Sequence[str]) -> tuple[str, ...]:
    """`8x the agents (128 to 1024): ippo 3.6x, sable factored 6.7x, mat dense 39x`.

    It names the curves with the least and the most growth, and the first. Like the report's lines, factors are of each
    curve's last step; curves whose sizes differ by another factor than those of most are left out.
    """
    curves = {law.name: law for law in laws(records, along, also=also) if law.field == measure.name}
    steps = {name: sizes for name, law in curves.items() if (sizes := step([law])) is not None}
    if measure.unit != "bytes" or not steps:
        return ()
    ratios = Counter(large / small for small, large in steps.values())
    ratio = max(ratios, key=lambda one: (ratios[one], one))
    grown = {
        name: value
        for name, (small, large) in steps.items()
        if large / small == ratio and (value := factor(curves[name], (small, large))) is not None
    }
    if not grown:
        return ()
    by_growth = sorted(grown, key=lambda name: grown[name])
    ends = (by_growth[0], by_growth[-1])
    named = [name for name in by_growth if name in (*ends, next(iter(grown)))]
    several, few = (
        ", ".join(f"{name} {short_factor(grown[name])}" for name in dict.fromkeys(names)) for names in (named, ends)
    )
    more = f"{ratio:.3g}x the {ALONG[along][1]}"
    between = {steps[name] for name in named}
    whole = [f"{more} ({small} to {large}): {several}" for small, large in between] if len(between) == 1 else []
    return (*whole, f"{more}: {several}", f"{more}: {few}")


def _best(measure: Column, records: Sequence[Record], along: str, also: Sequence[str]) -> tuple[str, ...]:
    """`Fastest at 1024 agents: ippo 1.05M, then sable factored 34.5k`, among the rows that the report compares."""
    pivot = equal_work(make_pivot(one_side(records)[0], across=along, also=also))
    size = largest_measured(pivot)
    if size is None or measure.name not in ("memory_bytes", "agent_steps_per_second"):
        return ()
    is_memory = measure.name == "memory_bytes"
    rows = ordered(pivot, size, memory_of if is_memory else rate_of, lower_is_better=is_memory)
    show = format_bytes if is_memory else format_rate
    best, *others = [f"{one.name} {show(one.value)}" for one in rows[:2]] or [""]
    if not others:
        return (f"{best} at {sized(along, size)}",) if best else ()
    said = f"{'Least' if is_memory else 'Fastest'} at {sized(along, size)}: {best}"
    if len(about_best(rows)) > 1:
        said = f"{'Least' if is_memory else 'Fastest'} at {sized(along, size)}, about equal: {best}"
        return (f"{said}, {others[0]}",)
    return f"{said}, then {others[0]}", said
