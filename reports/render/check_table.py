"""A check, or a comparison without a gate, as tables in a terminal, a pipe or a log file.

Nothing needs colour to be understood. Figures are never cut: where the console is narrow, the names of points fold.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.checks.findings import IMPROVED, NEW, REGRESSED, UNCHANGED, VERDICTS, Comparison, Finding
from reports.checks.noise import Noise, as_toml
from reports.checks.words import (
    footnotes,
    headline,
    label_point,
    outcome,
    show_change,
    show_interval,
    show_ratio,
    show_ratio_interval,
    show_side,
)
from reports.text.section import shown

_GAP = 2
_NARROWEST = 14
_STYLES = {REGRESSED: "bold red", IMPROVED: "green"}
Field = tuple[str, Callable[[Finding], str]]


def render_check(comparison: Comparison, console: Console, *, everything: bool = False) -> None:
    """Prints what changed, the worst first, with the numbers that led there; what did not only with `everything`."""
    _lines(console, f"{outcome(comparison)}: {comparison.base} -> {comparison.new}", style="bold")
    _lines(console, headline(comparison))
    label = label_point(comparison)
    for verdict in VERDICTS:
        findings = comparison.of(verdict)
        if not findings or (verdict == UNCHANGED and not everything):
            continue
        console.print()
        _lines(console, verdict.capitalize(), style=_STYLES.get(verdict, "bold"))
        figures = [finding for finding in findings if finding.base or finding.new]
        if figures and verdict != NEW:
            console.print(_table(figures, label, console.width, [("interval", show_interval)]))
        for finding in findings:
            if verdict != UNCHANGED or not finding.base or finding.past_threshold:
                _lines(console, f"  {label(finding)}: {finding.metric}: {shown(finding.reason)}")
    if comparison.of(UNCHANGED) and not everything:
        console.print()
        _lines(console, f"{len(comparison.of(UNCHANGED))} unchanged: --all shows them")
    _footnotes(console, footnotes(comparison))


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Prints every matched point side by side, one table per metric, without saying what is good or bad."""
    _lines(console, f"Compared: {comparison.base} -> {comparison.new}", style="bold")
    _lines(console, f"{comparison.matched} matched points")
    label = label_point(comparison)
    for metric in dict.fromkeys(finding.metric for finding in comparison.findings if finding.base or finding.new):
        findings = [finding for finding in comparison.findings if finding.metric == metric]
        console.print()
        sources = dict.fromkeys(finding.source for finding in findings)
        _lines(console, f"{metric}: {', '.join(sources)}", style="bold")
        more: list[Field] = [
            ("ratio", show_ratio),
            ("interval", show_ratio_interval),
            ("counted", lambda f: f.units or "-"),
        ]
        console.print(_table(findings, label, console.width, more, metric=False, change=False))
    outcomes = [finding for finding in comparison.findings if not finding.base and not finding.new]
    if outcomes:
        console.print()
        _lines(console, "How points ended", style="bold")
        _lines(console, *(f"  {label(finding)}: {shown(finding.reason)}" for finding in outcomes))
    _footnotes(console, footnotes(comparison, judged=False))


def _table(
    findings: Sequence[Finding],
    label: Callable[[Finding], str],
    width: int,
    more: Sequence[Field],
    *,
    metric: bool = True,
    change: bool = True,
) -> Table:
    """Points on the left, folded if they have to be; figures on the right, in full."""
    columns: list[Field] = [("metric", lambda finding: finding.metric)] if metric else []
    columns += [("base", lambda f: show_side(f, f.base)), ("new", lambda f: show_side(f, f.new))]
    columns += [("change", show_change)] if change else []
    columns += more
    cells = [[show(finding) for finding in findings] for _, show in columns]
    widths = [max(cell_len(text) for text in (name, *some)) for (name, _), some in zip(columns, cells, strict=True)]
    names = [label(finding) for finding in findings]
    room = max(width - sum(widths) - _GAP * len(widths), _NARROWEST)
    # The gap of two is the column separator of the box and one space of padding.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="")
    table.add_column(Text("point"), width=min(room, max(cell_len(text) for text in ("point", *names))), overflow="fold")
    for (name, _), column_width in zip(columns, widths, strict=True):
        table.add_column(Text(name), width=column_width, justify="left" if name == "metric" else "right", no_wrap=True)
    for row in zip(names, *cells, strict=True):
        table.add_row(*(Text(text) for text in row))
    return table


def _footnotes(console: Console, notes: Sequence[str]) -> None:
    if notes:
        console.print()
        _lines(console, *(f"- {line}." for line in notes))


def _lines(console: Console, *lines: str, style: str = "") -> None:
    """Lines wrapped between words to the width of the console."""
    for line in lines:
        indent = "    " if line.startswith(" ") else "  "
        wrapped = textwrap.wrap(line, max(console.width, 20), subsequent_indent=indent, break_on_hyphens=False)
        console.print(Text("\n".join(wrapped), style=style), soft_wrap=True)


def render_noise(noise: Noise, console: Console) -> None:
    """Prints the noise of each metric, then the lines for a pyproject.toml."""
    _lines(console, f"Noise between {noise.source}", style="bold")
    console.print()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="")
    for place, name in enumerate(("metric", "points", "spread", "largest", "recommended", "default")):
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=True)
    for one in noise.metrics:
        cells = [one.metric.name, str(one.points), *map(_percent, (one.spread, one.largest, one.threshold))]
        table.add_row(*(Text(cell) for cell in [*cells, _percent(one.metric.threshold)]))
    console.print(table)
    console.print()
    if noise.changed:
        _lines(console, f"- {', '.join(noise.changed)} differ, which between runs of the same code they should not.")
    _lines(console, *(f"- {shown(note[:1].upper() + note[1:])}." for note in noise.notes))
    _lines(console, "Thresholds for this machine, to be pasted into pyproject.toml:")
    console.print()
    console.print(Text(as_toml(noise)), end="", soft_wrap=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"
