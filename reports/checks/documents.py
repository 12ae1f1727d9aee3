"""What `check`, `compare` and `noise` say, as documents for any renderer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from reports.checks.findings import IMPROVED, NEW, NOT_COMPARABLE, REGRESSED, UNCHANGED, VERDICTS, Comparison, Finding
from reports.checks.headline import heading, headline, is_minor, uncounted, why_unlike
from reports.checks.metrics import METRICS
from reports.checks.noise import Noise, as_toml
from reports.checks.words import (
    footnotes,
    label_point,
    show_change,
    show_interval,
    show_median,
    show_ratio,
    show_ratio_interval,
)
from reports.text.section import Cell, Document, Section, TableColumn, Tone, label, shown
from reports.text.units import UNKNOWN, counted

_TONES: dict[str, Tone] = {REGRESSED: "bad", IMPROVED: "good"}
_FIGURES: tuple[tuple[str, Callable[[Finding], str]], ...] = (
    ("base", lambda finding: show_median(finding, finding.base)),
    ("new", lambda finding: show_median(finding, finding.new)),
)


def check_document(comparison: Comparison, *, everything: bool) -> Document:
    """The findings of a check by verdict, the worst first, each with its figures and its reason.

    Unless `everything` is listed, the findings of minor interest are only counted.
    """
    sections = []
    for verdict in VERDICTS:
        findings = comparison.of(verdict)
        if findings and is_minor(comparison, verdict) and not everything:
            sections.append(_folded(comparison, verdict, findings))
        elif findings:
            sections.append(_verdict_section(comparison, verdict, findings))
    return Document(headline(comparison), tuple(heading(comparison)), (*sections, *_notes(footnotes(comparison))))


def comparison_document(comparison: Comparison) -> Document:
    """The figures of every matched point, a table per metric, without a verdict."""
    name = label_point(comparison)
    sections = []
    for metric in dict.fromkeys(finding.metric for finding in comparison.findings if finding.base or finding.new):
        findings = [finding for finding in comparison.findings if finding.metric == metric]
        sources = ", ".join(dict.fromkeys(finding.source for finding in findings))
        figures = (
            *_FIGURES,
            ("ratio", show_ratio),
            ("interval", show_ratio_interval),
            ("sample", lambda finding: finding.units or UNKNOWN),
        )
        sections.append(
            Section(
                f"{metric}: {sources}",
                labels=(label("point", [name(finding) for finding in findings]),),
                columns=tuple(_column(title, findings, show) for title, show in figures),
            )
        )
    ends = [finding for finding in comparison.findings if not finding.base and not finding.new]
    if ends:
        lines = tuple(f"{name(finding)}: {shown(finding.reason)}" for finding in ends)
        sections.append(Section("Changed outcomes:", lines))
    return Document(
        f"Compared: {comparison.base} -> {comparison.new}",
        (
            counted(comparison.matched, "matched point"),
            *map(shown, (*why_unlike(comparison), *comparison.incomplete, *uncounted(comparison.uncounted))),
        ),
        (*sections, *_notes(footnotes(comparison, judged=False))),
    )


def noise_document(noise: Noise) -> Document:
    """The noise of each metric, and the recommended thresholds as lines for a pyproject.toml."""
    columns: tuple[tuple[str, list[str]], ...] = (
        ("points", [str(one.points) for one in noise.metrics]),
        ("spread", [_percent(one.spread) for one in noise.metrics]),
        ("largest", [_percent(one.largest) for one in noise.metrics]),
        ("recommended", [_percent(one.threshold) for one in noise.metrics]),
        ("default", [_percent(one.metric.threshold) for one in noise.metrics]),
    )
    table = Section(
        labels=(label("metric", [one.metric.name for one in noise.metrics]),),
        columns=tuple(TableColumn(header, tuple(map(Cell, texts))) for header, texts in columns),
    )
    notes = list(noise.notes)
    if noise.changed:
        notes.insert(
            0, f"runs of the same code should agree exactly, but these metrics differ: {', '.join(noise.changed)}"
        )
    return Document(
        f"Noise between {noise.source}",
        sections=(
            table,
            *_notes([shown(note[:1].upper() + note[1:]) for note in notes]),
            Section("Thresholds for this host, to paste into pyproject.toml:", code=as_toml(noise)),
        ),
    )


def _folded(comparison: Comparison, verdict: str, findings: Sequence[Finding]) -> Section:
    """How many findings have a verdict, and why they are not comparable unless the heading says so."""
    reasons = Counter(finding.reason for finding in findings if verdict == NOT_COMPARABLE)
    said = "; ".join(comparison.differences)
    lines = [f"{number}: {shown(reason)}" for reason, number in reasons.items() if reason not in said]
    return Section(lines=(f"{len(findings)} {verdict}; --all shows them", *lines))


def _verdict_section(comparison: Comparison, verdict: str, findings: Sequence[Finding]) -> Section:
    name = label_point(comparison)

    def why(finding: Finding) -> str:
        """Empty for an unchanged figure within its threshold, which needs no reason."""
        within = verdict == UNCHANGED and finding.base and not finding.past_threshold
        return "" if within else shown(finding.reason)

    figures = () if verdict == NEW else (*_FIGURES, ("change", show_change), ("interval", show_interval))
    reasons = TableColumn("why", tuple(Cell(why(finding)) for finding in findings), right=False, below=True)
    return Section(
        f"{len(findings)} {verdict}",
        _thresholds(comparison, findings) if verdict == UNCHANGED else (),
        labels=(
            label("point", [name(finding) for finding in findings]),
            label("metric", [finding.metric for finding in findings]),
        ),
        columns=(
            *(_column(title, findings, show) for title, show in figures),
            *((reasons,) if any(cell.text for cell in reasons.cells) else ()),
        ),
        tone=_TONES.get(verdict, ""),
        collapsed=is_minor(comparison, verdict),
    )


def _thresholds(comparison: Comparison, findings: Sequence[Finding]) -> tuple[str, ...]:
    """The thresholds that hold at these points; a group's one with its conditions."""
    known: dict[str, dict[str, None]] = {}
    for finding in findings:
        if finding.threshold is not None:
            metric = next(metric for metric in METRICS if metric.name == finding.metric)
            group = comparison.policy.group_of(metric, finding.point)
            there = f" where {' '.join(group.conditions)}" if group is not None else ""
            known.setdefault(metric.name, {})[f"{finding.threshold * 100:g} %{there}"] = None
    said = (f"{metric} {' and '.join(limits)}" for metric, limits in known.items())
    return (shown(f"Thresholds: {', '.join(said)}"),) if known else ()


def _column(header: str, findings: Sequence[Finding], show: Callable[[Finding], str]) -> TableColumn:
    return TableColumn(header, tuple(Cell(show(finding)) for finding in findings))


def _notes(lines: Sequence[str]) -> tuple[Section, ...]:
    return (Section("Notes:", tuple(f"{line}." for line in lines)),) if lines else ()


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value * 100:.1f} %"
