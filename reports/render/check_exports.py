"""A check as text for people and machines: Markdown, JSON, GitHub annotations, JUnit. `verdict_table` has the terminal.

What came from data is escaped for the format that it goes into.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

from reports.checks.findings import (
    IMPROVED,
    INCONCLUSIVE,
    NEW,
    NOT_COMPARABLE,
    REGRESSED,
    UNCHANGED,
    VERDICTS,
    Comparison,
    Finding,
)
from reports.checks.metrics import METRICS
from reports.checks.words import (
    footnotes,
    headline,
    label_point,
    order,
    outcome,
    show_change,
    show_interval,
    show_ratio,
    show_ratio_interval,
    show_side,
)
from reports.records.record import POINT_FIELDS
from reports.text.section import shown
from reports.text.units import UNKNOWN

JSON_SCHEMA = 1
_MARKDOWN = re.compile(r"([\\`*_\[\]#|~$])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_markdown(comparison: Comparison) -> str:
    """For a comment on a pull request: what regressed first, what did not change folded away."""
    label = label_point(comparison)
    lines = [f"### {outcome(comparison)}: {_markdown(comparison.base)} -> {_markdown(comparison.new)}", ""]
    lines += [headline(comparison), ""]
    for verdict in VERDICTS:
        findings = comparison.of(verdict)
        if not findings:
            continue
        title = f"{len(findings)} {verdict}"
        folded = verdict in (UNCHANGED, NOT_COMPARABLE)
        lines += [f"<details><summary>{title}</summary>", ""] if folded else [f"**{title}**", ""]
        lines += _markdown_table(findings, label)
        lines += ["", "</details>", ""] if folded else [""]
    lines += [f"- {_markdown(line)}" for line in footnotes(comparison)]
    return "\n".join(lines).rstrip() + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """All points side by side, one table, without a verdict."""
    label = label_point(comparison)
    lines = [f"### {_markdown(comparison.base)} -> {_markdown(comparison.new)}", ""]
    lines += ["| point | metric | base | new | ratio | interval |", "|---|---|--:|--:|--:|--:|"]
    for finding in comparison.findings:
        if finding.base or finding.new:
            sides = [show_side(finding, values) for values in (finding.base, finding.new)]
            cells = [label(finding), finding.metric, *sides, show_ratio(finding), show_ratio_interval(finding)]
            lines.append(f"| {' | '.join(_markdown(cell) for cell in cells)} |")
    ended = [finding for finding in comparison.findings if not finding.base and not finding.new]
    lines += ["", *(f"- {_markdown(f'{label(finding)}: {finding.reason}')}" for finding in ended)]
    lines += [f"- {_markdown(line)}" for line in footnotes(comparison, judged=False)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(findings: Sequence[Finding], label: Callable[[Finding], str]) -> list[str]:
    lines = ["| point | metric | base | new | change | interval | why |", "|---|---|--:|--:|--:|--:|---|"]
    for finding in findings:
        cells = [label(finding), finding.metric, show_side(finding, finding.base), show_side(finding, finding.new)]
        cells += [show_change(finding), show_interval(finding), finding.reason]
        lines.append(f"| {' | '.join(_markdown(cell) for cell in cells)} |")
    return lines


def _markdown(text: str) -> str:
    """`text` as it reads, on one line: no markup, no HTML, no mention of anybody, no link."""
    escaped = _MARKDOWN.sub(r"\\\1", shown(text).replace("&", "&amp;"))
    for character, entity in {"<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//", "www.": "www&#46;"}.items():
        escaped = escaped.replace(character, entity)
    return escaped


def as_json(comparison: Comparison) -> str:
    """Everything, for programs: one object; what is not known is null."""
    policy = comparison.policy
    content = {
        "schema": JSON_SCHEMA,
        "exit_code": comparison.exit_code,
        "base": comparison.base,
        "new": comparison.new,
        "matched_points": comparison.matched,
        "counts": {verdict: len(comparison.of(verdict)) for verdict in VERDICTS},
        "policy": {
            "alpha": policy.alpha,
            "threshold_only": policy.threshold_only,
            "cross_machine": policy.cross_machine,
            "thresholds": {
                metric.name: policy.threshold(metric) for metric in METRICS if metric.name in policy.metrics
            },
        },
        "sampled_comparisons": comparison.sampled,
        "tested_comparisons": comparison.family,
        "differences": comparison.differences,
        "notes": [*comparison.notes, *comparison.caveats],
        "findings": [_finding_json(finding) for finding in order(comparison.findings)],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "point": {name: getattr(finding.point, name) for name in POINT_FIELDS if name != "side"},
        "metric": finding.metric,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "source": finding.source or None,
        "base": _values_json(finding.base),
        "new": _values_json(finding.new),
        "ratio": _finite(finding.ratio),
        "interval": None if finding.interval is None else [_finite(end) for end in finding.interval],
        "units": finding.units or None,
        "threshold": finding.threshold,
        "p_value": finding.p_value,
        "p_adjusted": finding.p_adjusted,
        "needed_repeats": finding.needed,
    }


def _values_json(values: Sequence[float]) -> dict[str, Any]:
    return {"repeats": len(values), "median": statistics.median(values) if values else None, "values": list(values)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def as_github(comparison: Comparison) -> str:
    """Workflow commands of GitHub Actions: an error for a regression, a warning for what could not be judged, a notice
    for an improvement, and a notice with the counts."""
    label = label_point(comparison)
    levels = {REGRESSED: "error", INCONCLUSIVE: "warning", NOT_COMPARABLE: "warning", IMPROVED: "notice"}
    lines = [
        _command(
            levels[finding.verdict], f"{finding.metric} {finding.verdict}", f"{label(finding)}: {shown(finding.reason)}"
        )
        for finding in order(comparison.findings)
        if finding.verdict in levels
    ]
    text = f"{outcome(comparison)}: {comparison.base} -> {comparison.new}: {headline(comparison)}"
    lines.append(_command("notice", "scaleprof check", "\n".join([text, *footnotes(comparison)])))
    return "\n".join(lines) + "\n"


def _command(level: str, title: str, message: str) -> str:
    """One workflow command; the message and, more strictly, the property are escaped as the runner unescapes them."""
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{data}"


def as_junit(comparison: Comparison) -> str:
    """JUnit's XML: one test case per point and metric; regressions fail, what could not be judged is skipped."""
    label = label_point(comparison)
    skipped = (INCONCLUSIVE, NOT_COMPARABLE)
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(f"scaleprof check: {comparison.base} -> {comparison.new}"),
        tests=str(len(comparison.findings)),
        failures=str(len(comparison.of(REGRESSED))),
        errors="0",
        skipped=str(sum(len(comparison.of(verdict)) for verdict in skipped)),
    )
    for finding in comparison.findings:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(label(finding)), name=finding.metric)
        text = _xml(f"{finding.verdict}: {shown(finding.reason)}")
        if finding.verdict == REGRESSED:
            ElementTree.SubElement(case, "failure", message=text, type=REGRESSED).text = _xml(_numbers(finding))
        elif finding.verdict in skipped:
            ElementTree.SubElement(case, "skipped", message=text)
        elif finding.verdict in (IMPROVED, NEW, UNCHANGED):
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(footnotes(comparison)))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _numbers(finding: Finding) -> str:
    """The figures of both sides, as they were measured."""
    return "\n".join(
        f"{side}: {', '.join(f'{value:g}' for value in values) or UNKNOWN}"
        for side, values in (("base", finding.base), ("new", finding.new))
    )


def _xml(text: str) -> str:
    """`text` without the characters that XML cannot hold in any way."""
    return _NOT_XML.sub("\ufffd", text)
