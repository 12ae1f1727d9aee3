"""What a reader asks first: which mode is leanest and which fastest, what did not fit, how cost grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from reports.arrange.pivot import (
    SIZE_NAMES,
    Pivot,
    Reading,
    Repeats,
    make_pivot,
    rate_of,
    row_name,
    same_work,
)
from reports.growth.laws import ALONG, Law, curves_of, fullest_curves, law_of_curve
from reports.growth.lines import about, growth, in_words
from reports.records.record import XLA_PLAN, Record, was_run
from reports.report.reach import Reach, reaches
from reports.text.section import Section
from reports.text.units import counted, format_bytes, format_rate

ALL_CURVES = ", report --full shows all"
"""How to see every curve, for a reader at a terminal."""
_MOST_NAMED = 3
"""How many modes a sentence names before it counts the others."""
_MOST_LAWS = 6
MEMORY_SHARE, MEMORY_BYTES = 0.01, 3 * 2**20
"""How far measured memory repeats: the larger of both (docs/measuring.md)."""
SPEED_SHARE = 0.05
"""Speeds that differ by no more are about equal."""
_FAILED = {"oom": "did not fit", "timeout": "timed out", "skipped": "was skipped", "interrupted": "was interrupted"}
"""Statuses in words; any other one failed."""

Read = Callable[[Repeats], Reading | None]


def answer_section(records: Sequence[Record], memory: Read, also: Sequence[str] = ()) -> Section | None:
    """At most three sentences: the best modes at the largest size, what did not fit, how much further each would go.

    Args:
        records: of points that were tried, and of those that were only planned.
        memory: reads the memory of a point, as the tables below show it.
        also: fields that separate rows in addition to those of a point.
    """
    tried = [record for record in records if was_run(record)]
    if not tried:
        return None
    tried, side = one_side(tried)
    pivots = [make_pivot(tried, across=across, also=also) for across in SIZE_NAMES]
    pivot = next((pivot for pivot in pivots if len(pivot.sizes) > 1), pivots[0])
    pivot = equal_work(pivot)
    sentences = [_best(pivot, memory, side), _stopped(reaches(pivot)), _further(records, also)]
    lines = tuple(sentence for sentence in sentences if sentence)
    return Section(lines=lines) if lines else None


def growth_sections(
    records: Sequence[Record], also: Sequence[str] = (), *, full: bool = False, hint: str = ALL_CURVES
) -> list[Section]:
    """One line per curve along every axis with several sizes; with `full`, also the formulas behind them.

    `hint` says how to see more, where not every curve has a line.
    """
    sections = []
    for found in growth(records, also, full=full):
        name = SIZE_NAMES[found.along]
        if found.lines:
            sections.append(Section(found.heading(hint), found.lines))
        if full:
            details = tuple(f"{law.name}: {in_words(law)}" for law in found.laws)
            sections.append(Section(f"Laws (N = {name}):", details))
    return sections


def equal_work(pivot: Pivot) -> Pivot:
    """Those rows of `pivot` that did equal work and have the most measured points; ties go to the last."""
    axes = same_work(pivot)
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(pivot.rows):
        key = tuple(value for axis, value in zip(pivot.axes, row.values, strict=True) if axis in axes)
        groups.setdefault(key, []).append(place)

    def measured(places: Iterable[int]) -> int:
        return sum(bool(point.measured) for place in places for point in pivot.rows[place].points.values())

    fullest = max(reversed(groups.values()), key=measured)
    return Pivot(pivot.sizes, pivot.axes, tuple(pivot.rows[place] for place in fullest), pivot.across)


def one_side(records: Sequence[Record]) -> tuple[list[Record], str]:
    """The records whose modes are compared, and whose they are: of live pairs only those of the new code."""
    new = [record for record in records if record.side == "new"]
    return (new, "new") if new else (list(records), "")


def _best(pivot: Pivot, memory: Read, side: str) -> str:
    """`At 1024 agents, sable factored needs the least memory (687 MiB, then …) and sable chunkwise is fastest (…).`"""
    size = largest_measured(pivot)
    if size is None:
        return "Nothing was measured."
    at = f"At {sized(pivot.across, size)}" + (f" (side {side})" if side else "")
    leanest = ordered(pivot, size, memory, lower_is_better=True)
    fastest = ordered(pivot, size, rate_of, lower_is_better=False)
    if max(len(leanest), len(fastest)) < 2:
        return _only(at, leanest, fastest)
    parts = []
    if leanest:
        parts.append(_ranked(leanest, ("needs", "need"), "the least memory", format_bytes))
    if fastest:
        unit = " agent-steps/s" + (", contended" if any(one.contended for one in about_best(fastest)) else "")
        said = _ranked(fastest, ("is", "are"), "fastest", format_rate, unit)
        alike = [[one.name for one in about_best(some)] for some in (leanest, fastest)]
        parts.append(said.removeprefix(f"{fastest[0].name} ") if len(alike[0]) == 1 and alike[0] == alike[1] else said)
    return f"{at}, {' and '.join(parts)}."


def _only(at: str, leanest: Sequence[Placed], fastest: Sequence[Placed]) -> str:
    """`At 16 agents, mat dense needs 49.1 MiB and does 232k agent-steps/s.`"""
    figures = [f"needs {format_bytes(one.value)}" for one in leanest]
    figures += [
        f"does {format_rate(one.value)} agent-steps/s{' (contended)' if one.contended else ''}" for one in fastest
    ]
    names = dict.fromkeys(one.name for one in (*leanest, *fastest))
    return f"{at}, {' and '.join(names)} {' and '.join(figures)}." if figures else ""


def largest_measured(pivot: Pivot) -> int | None:
    """The largest size at which any row has a result."""
    ran = [size for size in pivot.sizes if any(row.points[size].measured for row in pivot.rows if size in row.points)]
    return max(ran, default=None)


class Placed(NamedTuple):
    """A row of a pivot with its figure at one size."""

    name: str
    value: float
    accuracy: float
    """What is nearer than this is about equal."""
    contended: bool


def ordered(pivot: Pivot, size: int, read: Read, *, lower_is_better: bool) -> list[Placed]:
    """The rows with a reading at `size`, the best first; only readings of the first row's source."""
    there = {row_name(pivot, row): row.points[size] for row in pivot.rows if size in row.points}
    known = [(name, point, reading) for name, point in there.items() if (reading := read(point)) is not None]
    kept = [
        Placed(name, reading.value, _accuracy(reading), point.contended)
        for name, point, reading in known
        if reading.source == known[0][2].source
    ]
    return sorted(kept, key=lambda one: one.value if lower_is_better else -one.value)


def _accuracy(reading: Reading) -> float:
    if reading.source == XLA_PLAN:
        return 0.0
    return max(MEMORY_SHARE * reading.value, MEMORY_BYTES) if reading.source else SPEED_SHARE * reading.value


def about_best(rows: Sequence[Placed]) -> list[Placed]:
    """The best of `rows` from `ordered`, and those that differ from it by no more than the accuracy of the figures."""
    return [one for one in rows if one is rows[0] or abs(one.value - rows[0].value) <= rows[0].accuracy]


def _ranked(
    rows: Sequence[Placed], verbs: tuple[str, str], what: str, show: Callable[[float | None], str], unit: str = ""
) -> str:
    """`sable factored needs the least memory (687 MiB; next is mat dense with 720 MiB)`, or which are about equal."""
    best, others = about_best(rows), rows[1:]
    if len(best) == 1:
        following = f"; next is {others[0].name} with {show(others[0].value)}" if others else ""
        return f"{best[0].name} {verbs[0]} {what} ({show(best[0].value)}{unit}{following})"
    named = [one.name for one in best[:_MOST_NAMED]]
    named += [f"{len(best) - _MOST_NAMED} more"] if len(best) > _MOST_NAMED else []
    figures = f"{show(best[0].value)} to {show(best[-1].value)}{unit}"
    return f"{', '.join(named[:-1])} and {named[-1]} {verbs[1]} {what}, about equal ({figures})"


def _stopped(found: Sequence[Reach]) -> str:
    """`sable parallel did not fit at 1024 agents (needs 4.17 GiB); mat dense timed out at 512 agents.`"""
    stops = [stop for stop in found if stop.record is not None]
    stops.sort(key=lambda stop: stop.record is not None and stop.record.status != "oom")
    parts = []
    for stop in stops[:_MOST_NAMED]:
        if stop.record is not None:
            how = _FAILED.get(stop.record.status, "failed")
            need = f" (needs {format_bytes(stop.need)})" if stop.need is not None else ""
            parts.append(f"{stop.name} {how} at {sized(stop.across, getattr(stop.record, stop.across))}{need}")
    if len(stops) > _MOST_NAMED:
        parts.append(f"{len(stops) - _MOST_NAMED} more failed")
    return f"{'; '.join(parts)}." if parts else ""


def _further(records: Sequence[Record], also: Sequence[str]) -> str:
    """`By its law, mat dense passes 8.00 GiB near 1100 agents; sable factored near 11000.`"""
    for along in ALONG:
        fullest = map(law_of_curve, fullest_curves(curves_of(records, along, also=also)))
        found = [law for law in fullest if law.reaches_limit is not None]
        if found:
            return _passes(sorted(found, key=lambda law: law.reaches_limit or 0))
    return ""


def _passes(found: Sequence[Law]) -> str:
    parts: list[str] = []
    for law in found[:_MOST_LAWS]:
        if law.limit is not None and law.reaches_limit is not None:
            passes = f"passes {format_bytes(law.limit[0])} " if not parts else ""
            unit = f" {ALONG[law.along][1]}" if not parts else ""
            parts.append(f"{law.name} {passes}near {about(law.reaches_limit)}{unit}")
    return f"By {'its law' if len(parts) == 1 else 'their laws'}, {'; '.join(parts)}."


def sized(across: str, size: int) -> str:
    """A size in words: `1024 agents`, `1 timestep`."""
    return counted(size, ALONG[across][0])
