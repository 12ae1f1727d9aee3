"""A check for programs: JSON, GitHub annotations and JUnit. Text from data is escaped for each format."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from reports.checks.findings import (
    IMPROVED,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    REGRESSED,
    VERDICTS,
    Comparison,
    Finding,
)
from reports.checks.headline import heading, headline, is_minor
from reports.checks.metrics import METRICS
from reports.checks.words import (
    footnotes,
    label_point,
    order,
)
from reports.records.record import POINT_FIELDS
from reports.text.plain import one_line, plain_lines
from reports.text.section import shown
from reports.text.units import UNKNOWN

JSON_SCHEMA = 1
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(comparison: Comparison) -> str:
    """One object with everything; unknown values are null."""
    policy = comparison.policy
    content = {
        "schema": JSON_SCHEMA,
        "outcome": comparison.outcome.lower(),
        "headline": headline(comparison),
        "exit_code": comparison.exit_code,
        "base": comparison.base,
        "new": comparison.new,
        "matched_points": comparison.matched,
        "counts": {verdict: len(comparison.of(verdict)) for verdict in VERDICTS},
        "policy": {
            "alpha": policy.alpha,
            "threshold_only": policy.threshold_only,
            "cross_machine": policy.cross_machine,
            "fail_inconclusive": policy.fail_inconclusive,
            "thresholds": {
                metric.name: policy.threshold(metric) for metric in METRICS if metric.name in policy.metrics
            },
            "groups": [{"conditions": one.conditions, "thresholds": dict(one.thresholds)} for one in policy.groups],
        },
        "sampled_comparisons": comparison.sampled,
        "tested_comparisons": comparison.family,
        "differences": comparison.differences,
        "incomplete": comparison.incomplete,
        "not_counted": comparison.uncounted,
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
        "doubt": finding.doubt or None,
    }


def _values_json(values: Sequence[float]) -> dict[str, Any]:
    return {"repeats": len(values), "median": statistics.median(values) if values else None, "values": list(values)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def as_github(comparison: Comparison) -> str:
    """Workflow commands of GitHub Actions: one with the headline and the counts, an error per regression, a warning per
    change that could not be judged, and a notice per improvement.

    The headline comes first, because GitHub shows only the first ten of each level.
    """
    label = label_point(comparison)
    levels = {REGRESSED: "error", INCONCLUSIVE: "warning", NOT_COMPARABLE: "warning", IMPROVED: "notice"}
    level = "error" if comparison.exit_code else "notice" if comparison.outcome == "No regression" else "warning"
    lines = [
        _command(
            level, "scaleprof check", "\n".join([headline(comparison), *heading(comparison), *footnotes(comparison)])
        )
    ]
    lines += [
        _command(
            levels[finding.verdict], f"{finding.metric} {finding.verdict}", f"{label(finding)}: {shown(finding.reason)}"
        )
        for finding in order(comparison.findings)
        if finding.verdict in levels and not is_minor(comparison, finding.verdict)
    ]
    return "\n".join(lines) + "\n"


def _command(level: str, title: str, message: str) -> str:
    """One workflow command, escaped as the runner unescapes it; properties need more escapes than the message."""
    title, message = one_line(title), plain_lines(message)
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{data}"


def as_junit(comparison: Comparison) -> str:
    """JUnit XML: one test case per point and metric.

    Regressions fail, and if the policy says so changes that could not be judged do; else these are skipped.
    """
    label = label_point(comparison)
    fail_doubts = comparison.policy.fail_inconclusive and comparison.outcome != "Not comparable"

    def tag(finding: Finding) -> str:
        if finding.verdict == REGRESSED or (fail_doubts and finding.doubt):
            return "failure"
        return "skipped" if finding.verdict in (INCONCLUSIVE, NOT_COMPARABLE) else "system-out"

    tags = [tag(finding) for finding in comparison.findings]
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(f"scaleprof check: {comparison.base} -> {comparison.new}"),
        tests=str(len(comparison.findings)),
        failures=str(tags.count("failure")),
        errors="0",
        skipped=str(tags.count("skipped")),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("outcome", comparison.outcome.lower()), ("headline", headline(comparison))):
        ElementTree.SubElement(properties, "property", name=name, value=_xml(value))
    for finding, name in zip(comparison.findings, tags, strict=True):
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(label(finding)), name=finding.metric)
        text = _xml(f"{finding.verdict}: {shown(finding.reason)}")
        child = ElementTree.SubElement(case, name, {} if name == "system-out" else {"message": text})
        if name == "failure":
            child.set("type", finding.verdict)
            child.text = _xml(_numbers(finding))
        elif name == "system-out":
            child.text = text
    said = [headline(comparison), *heading(comparison), *footnotes(comparison)]
    ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(said))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _numbers(finding: Finding) -> str:
    """The measured figures of both runs."""
    return "\n".join(
        f"{name}: {', '.join(f'{value:g}' for value in values) or UNKNOWN}"
        for name, values in (("base", finding.base), ("new", finding.new))
    )


def _xml(text: str) -> str:
    """`text` without invisible characters, and with every other one that XML cannot represent replaced."""
    return _NOT_XML.sub("\ufffd", plain_lines(text))
