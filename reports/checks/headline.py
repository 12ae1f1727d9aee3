"""What a check says first: its outcome with the evidence for it, and how many findings have each verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reports.checks.findings import (
    INCONCLUSIVE,
    NEW,
    NOT_COMPARABLE,
    OUTCOMES,
    REGRESSED,
    STATUS,
    TRAINING,
    UNCHANGED,
    VERDICTS,
    Comparison,
    Finding,
)
from reports.text.section import shown
from reports.text.units import counted


def headline(comparison: Comparison) -> str:
    """The outcome and the evidence for it: `Regressed: 3 of 24 figures got worse by more than their thresholds`."""
    evidence = {
        "Regressed": _regressed,
        "Not comparable": _not_comparable,
        "Inconclusive": _inconclusive,
        "No regression": _no_regression,
    }
    said = [evidence[comparison.outcome](comparison), *_left_out(comparison)]
    return shown(f"{comparison.outcome}: {'; '.join(filter(None, said))}")


def _left_out(comparison: Comparison) -> list[str]:
    """What the outcome does not rest on: points of one run only, and records that are, or may be, missing."""
    vanished = sum(one.metric == STATUS and one.verdict == NOT_COMPARABLE for one in comparison.findings)
    new = len(comparison.of(NEW))
    said = [
        f"{counted(number, 'point')} of {side} {_be(number)} not in {other}"
        for number, side, other in ((vanished, "BASE", "NEW"), (new, "NEW", "BASE"))
        if number
    ]
    unknown = uncounted(comparison.uncounted) if comparison.outcome == "Inconclusive" else []
    failed = sum(finding.without_base for finding in comparison.findings)
    if failed:
        said.append(f"{counted(failed, 'point')} gave no result in BASE")
    return [*said, *comparison.incomplete, *unknown]


def uncounted(sides: Sequence[str]) -> list[str]:
    """That nobody knows whether some runs lack records, in one line; none if it is known of all."""
    if not sides:
        return []
    lack = "lacks" if len(sides) == 1 else "lack"
    return [f"whether {' and '.join(sides)} {lack} records is not known (no manifest, no checksum)"]


def counts(comparison: Comparison) -> str:
    """The runs, and how many findings have each verdict, those that say little with their kind."""
    verdicts = [
        f"{len(comparison.of(verdict))} {verdict}{_kinds(comparison, verdict)}"
        for verdict in VERDICTS
        if comparison.of(verdict)
    ]
    runs = f"{comparison.base} -> {comparison.new}"
    return shown(f"{runs}, {counted(comparison.matched, 'matched point')}: {', '.join(verdicts)}")


def heading(comparison: Comparison) -> list[str]:
    """The lines below the headline: the counts, and why figures of the two runs are not comparable."""
    lines = [counts(comparison)]
    if comparison.outcome != "Not comparable":
        lines += map(shown, why_unlike(comparison))
    return lines


def why_unlike(comparison: Comparison) -> list[str]:
    """How the runs differ, if their figures are not compared because of it, in one line."""
    if not comparison.differences or comparison.policy.cross_machine:
        return []
    return [f"Differences (--cross-machine compares anyway): {'; '.join(comparison.differences)}"]


def is_minor(comparison: Comparison, verdict: str) -> bool:
    """Whether the findings with this verdict did not decide the outcome, or the headline says all there is to them."""
    if verdict == NOT_COMPARABLE:
        return comparison.outcome != "Inconclusive" or not any(one.doubt for one in comparison.of(verdict))
    return verdict == UNCHANGED


def _kinds(comparison: Comparison, verdict: str) -> str:
    """Of the findings with this verdict, how many are of which kind; a kind that holds for all needs no number."""
    findings = comparison.of(verdict)
    known = [(sum(map(belongs, findings)), name) for name, belongs in _KINDS.get(verdict, {}).items()]
    said = ", ".join(name if number == len(findings) else f"{number} {name}" for number, name in known if number)
    return f" ({said})" if said else ""


_KINDS: Mapping[str, Mapping[str, Callable[[Finding], bool]]] = {
    INCONCLUSIVE: {
        "with too few repeats": lambda finding: finding.doubt == "noise",
        "under CPU contention": lambda finding: finding.doubt == "contention",
        "missing in some repeats": lambda finding: finding.doubt == "partial",
    },
    NOT_COMPARABLE: {
        "past the threshold": lambda finding: finding.doubt == "unlike",
        "missing in NEW": lambda finding: finding.doubt == "missing",
        "missing in BASE": lambda finding: finding.doubt == "absent",
    },
    UNCHANGED: {
        "past the threshold but within the noise": lambda finding: finding.past_threshold,
        "failed before too": lambda finding: finding.metric in OUTCOMES,
    },
}


def _compared(comparison: Comparison) -> int:
    """How many figures could be compared."""
    return sum(finding.metric not in OUTCOMES and finding.verdict != NOT_COMPARABLE for finding in comparison.findings)


def _regressed(comparison: Comparison) -> str:
    worse = comparison.of(REGRESSED)
    points = sum(finding.metric == STATUS for finding in worse)
    broken = sum(finding.metric == TRAINING for finding in worse)
    lost = sum(finding.metric not in OUTCOMES and not finding.new for finding in worse)
    figures = len(worse) - points - broken - lost
    said = []
    if figures:
        their = "its threshold" if figures == 1 else "their thresholds"
        said.append(f"{figures} of {counted(_compared(comparison), 'figure')} got worse by more than {their}")
    if points:
        said.append(f"{counted(points, 'point')} {'gives' if points == 1 else 'give'} fewer results than before")
    if broken:
        said.append(f"training diverged at {counted(broken, 'point')}")
    if lost:
        said.append(f"{counted(lost, 'figure')} of BASE {_be(lost)} missing in NEW")
    return "; ".join(said)


def _no_regression(comparison: Comparison) -> str:
    known = _compared(comparison)
    other = sum(finding.verdict == NOT_COMPARABLE for finding in comparison.findings)
    if other:
        compared = f"{known} of {counted(known + other, 'figure')} could be compared"
    else:
        compared = f"{counted(known, 'figure')} compared"
    noisy = any(finding.past_threshold for finding in comparison.of(UNCHANGED))
    return f"{compared}, none worse by more than its threshold{' and the noise' if noisy else ''}"


def _not_comparable(comparison: Comparison) -> str:
    if comparison.differences and not comparison.policy.cross_machine:
        return f"{'; '.join(comparison.differences)} (--cross-machine compares anyway)"
    reasons = dict.fromkeys(finding.reason for finding in comparison.of(NOT_COMPARABLE))
    return "; ".join(reasons) or "no point gave a result in both runs"


def _inconclusive(comparison: Comparison) -> str:
    """One clause per kind of doubt."""
    said = [] if comparison.compared else ["no figure could be compared"]
    for noun in ("repeat", "pair", "burst"):
        found = [one for one in comparison.doubts if one.doubt == "noise" and one.counted == noun]
        if found:
            said.append(f"{_changes(found)} cannot be told from noise with {_sample(found, noun)}")
    by_kind = {kind: [one for one in comparison.doubts if one.doubt == kind] for kind in _CLAUSES}
    said += [clause.format(_changes(by_kind[kind])) for kind, clause in _CLAUSES.items() if by_kind[kind]]
    for doubt, where in _LACKING.items():
        lacking = sum(finding.doubt == doubt for finding in comparison.doubts)
        if lacking:
            said.append(where.format(counted(lacking, "figure"), _be(lacking)))
    return "; ".join(said)


_LACKING = {
    "missing": "{} of BASE {} missing in NEW",
    "absent": "{} of NEW {} missing in BASE",
    "partial": "{} {} missing in some repeats",
}


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


_CLAUSES = {
    "contention": "{} may be due to other processes that competed for the CPU",
    "unlike": "{} cannot be judged because the runs were not measured alike",
}


def _changes(found: Sequence[Finding]) -> str:
    return f"{counted(len(found), 'change')} past {'its threshold' if len(found) == 1 else 'their thresholds'}"


def _sample(found: Sequence[Finding], noun: str) -> str:
    """`1 repeat (5 would be enough)`, `2 to 4 pairs (6 would be enough)`."""
    least, most = min(one.sample for one in found), max(one.sample for one in found)
    number = counted(most, noun) if least == most else f"{least} to {counted(most, noun)}"
    needed = max(one.needed or 0 for one in found)
    return f"{number} ({needed} would be enough)"
