"""An explanation of a peak as a document: one sentence, a tree of the model's parts, the largest buffers, advice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from reports.report.live_buffers import (
    INPUTS,
    PHASES,
    UNNAMED,
    Branch,
    Explanation,
    LiveBuffer,
    better,
    shape_text,
    tree_of,
)
from reports.text.plain import one_line
from reports.text.section import Cell, Document, Section, TableColumn
from reports.text.units import UNKNOWN, counted, format_bytes, format_seconds

SMALLEST_SHARE = 0.01
"""Parts with a smaller share of the peak are summed up."""
MOST_BUFFERS = 15
"""Rows of the table of buffers."""


def explanation_document(found: Explanation) -> Document:
    """What a terminal shows."""
    return Document(
        lines=(headline(found), coverage(found)),
        sections=(tree_section(found), buffer_section(found), *([advice(found)] if found.variants else [])),
    )


def headline(found: Explanation) -> str:
    """The peak, the device, and what takes most of it."""
    start = f"The learning step of {found.label} peaks at {format_bytes(found.peak_bytes)} on {found.device}."
    parts = tree_of(found.buffers).sorted
    if not parts:
        return start
    what = "in no named part" if parts[0].name == UNNAMED else parts[0].name
    kinds: dict[str, int] = defaultdict(int)
    for one in found.buffers:
        if one.part:
            kinds[one.part[-1]] += one.size
    kind = max(kinds, key=lambda name: kinds[name], default=parts[0].name)
    inside = f"; by kind, most is {kind} ({percent(kinds[kind], found)})" if kinds and kind != parts[0].name else ""
    return one_line(f"{start} Most of it is {what} ({percent(parts[0].size, found)}){inside}.")


def coverage(found: Explanation) -> str:
    """How much of the peak is explained, and what the figures are."""
    took = f", compiled in {format_seconds(found.compile_seconds)}" if found.compile_seconds is not None else ""
    return (
        f"Coverage: {percent(found.explained_bytes, found)} of the peak ({format_bytes(found.explained_bytes)}) is "
        f"explained. Estimate: nothing ran{took}."
    )


def percent(size: int, found: Explanation) -> str:
    """A share of the peak."""
    return f"{100 * size / found.peak_bytes:.1f} %" if found.peak_bytes else UNKNOWN


def tree_section(found: Explanation) -> Section:
    """The parts of the model with the bytes of each phase."""
    shown = list(_shown(tree_of(found.buffers), found, 0))
    rest = found.rest_bytes
    names = [*(f"{'  ' * depth}{one_line(branch.name)}" for depth, branch in shown), "gaps and alignment"]
    sizes = [*(branch.size for _, branch in shown), rest]
    columns = [
        TableColumn("bytes", tuple(Cell(format_bytes(size)) for size in sizes)),
        TableColumn("share", tuple(Cell(percent(size, found)) for size in sizes)),
    ]
    for phase in PHASES:
        known = [*(branch.sizes.get(phase, 0) for _, branch in shown), 0]
        if any(known):
            columns.append(TableColumn(phase, tuple(Cell(format_bytes(size) if size else UNKNOWN) for size in known)))
    return Section(
        "Parts of the model at the peak:",
        labels=(TableColumn("part", tuple(map(Cell, names)), right=False),),
        columns=tuple(columns),
        caption=f"Parts below {100 * SMALLEST_SHARE:g} % of the peak are summed up.",
    )


def _shown(branch: Branch, found: Explanation, depth: int) -> Iterator[tuple[int, Branch]]:
    """The parts of a part, each followed by its own; small ones as one."""
    small = Branch("smaller parts")
    for child in branch.sorted:
        if child.size >= SMALLEST_SHARE * found.peak_bytes or (depth == 0 and INPUTS in child.sizes):
            yield depth, child
            yield from _shown(child, found, depth + 1)
        elif depth == 0:
            for phase, size in child.sizes.items():
                small.sizes[phase] += size
    if small.size:
        yield depth, small


def buffer_section(found: Explanation) -> Section:
    """The largest live buffers, equal ones in a row."""
    rows = found.buffers[:MOST_BUFFERS]
    others = found.buffers[MOST_BUFFERS:]
    left_out = sum(one.size for one in others)
    more = f"{counted(sum(one.count for one in others), 'further buffer')}: {format_bytes(left_out)}."

    def column(header: str, texts: list[str], *, right: bool = False) -> TableColumn:
        return TableColumn(header, tuple(Cell(one_line(text) or UNKNOWN) for text in texts), right=right)

    return Section(
        "Largest live buffers:",
        labels=(column("part", [part_text(one) for one in rows]),),
        columns=(
            column("count", [str(one.count) for one in rows], right=True),
            column("shape", [shape_text(one) for one in rows]),
            column("type", [one.dtype for one in rows]),
            column("bytes", [format_bytes(one.size) for one in rows], right=True),
            column("phase", [one.phase for one in rows]),
            column("operation", [one.operation for one in rows]),
            column("source", [one.source for one in rows]),
        ),
        lines=(more,) if others else (),
    )


def part_text(one: LiveBuffer) -> str:
    """`encoder block 0, attention, scores`."""
    return ", ".join(one.part) or UNNAMED


def advice(found: Explanation) -> Section:
    """What needs less by the compiler's own plan, in one or two sentences."""
    good = better(found)
    if not good:
        names = ", ".join(one.option for one in found.variants)
        return Section("Advice:", lines=(f"No variant needs clearly less; tried {names}.",))
    best, *others = good
    lines = [f"{one_line(best.option)}: {format_bytes(found.peak_bytes)} to {format_bytes(best.peak_bytes)} (planned)."]
    if others:
        rest = ", ".join(f"{one.option} {format_bytes(one.peak_bytes)}" for one in others)
        lines.append(one_line(f"Also less: {rest}."))
    return Section("Advice:", lines=tuple(lines))
