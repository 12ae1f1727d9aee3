"""What `history` says, as a document for any renderer: the answer, the changes, the figures, the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from reports.checks.comparability import differences
from reports.checks.findings import REGRESSED, Finding, percent_change
from reports.checks.headline import uncounted
from reports.checks.pair_up import point_identity
from reports.checks.words import name_points, show_median
from reports.history.series import Series, named
from reports.history.steps import Change, History, Kind
from reports.records.record import Record
from reports.text.section import Cell, Document, Section, TableColumn, Tone, label, shown
from reports.text.units import UNKNOWN, counted, format_factor

_HEADINGS: dict[Kind, tuple[str, str]] = {
    "step": ("step", "The figures moved to another level and stayed there; runs: those before it + those after it."),
    "drift": ("drift", "The figures moved little by little: no single run made the change."),
    "spike": ("spike", "One run stands out from those before and after it."),
}
_APART, _STARTS = "|", "*"
"""Marks of a run that is not comparable with those before it, and of one where a step begins."""
MOST_PARTS = 6
"""Metrics and models that are named for a run with steps."""
MOST_GAPS = 12
"""Points with missing figures that are listed."""
_METHOD = (
    "a step is a change past the metric's threshold between two levels of comparable runs, judged as in a check; its "
    "p-value is multiplied by the number of runs where it could begin"
)


def history_document(history: History, *, everything: bool = False) -> Document:
    """The whole history; without `everything`, only the figures of points that changed."""
    changed = {id(change.series) for change in history.changes}
    listed = [one for one in history.series if everything or id(one) in changed]
    return Document(
        headline_of(history),
        (when(history), *where_steps_begin(history)),
        (
            *_change_sections(history),
            *_breaks(history),
            *figure_sections(history, listed),
            *_gaps(history),
            runs_section(history),
            _notes(history),
        ),
    )


def headline_of(history: History) -> str:
    """What was found, in one line: `2 steps (1 worse, 1 better) and 1 drift in 24 figures over 8 runs`."""
    parts = []
    for kind in _HEADINGS:
        found = history.of(kind)
        if found:
            worse = sum(change.finding.verdict == REGRESSED for change in found)
            split = [f"{worse} worse"] if worse else []
            split += [f"{len(found) - worse} better"] if len(found) > worse else []
            parts.append(f"{counted(len(found), _HEADINGS[kind][0])} ({', '.join(split)})")
    found_text = " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]])) or "No step"
    said = f"{found_text} in {counted(len(history.series), 'figure')} over {counted(len(history.moments), 'run')}"
    open_ = len(history.open)
    return f"{said}; {counted(open_, 'change')} could not be judged" if open_ else said


def when(history: History) -> str:
    """The first and the last run."""
    first, last = (
        f"{shown(one.name)} ({date})" if (date := day(one.made)) != UNKNOWN else shown(one.name)
        for one in (history.moments[0], history.moments[-1])
    )
    return f"From {first} to {last}"


def where_steps_begin(history: History) -> list[str]:
    """A line per run with steps: `v6 (commit 1a2b3c): throughput worse at sable chunkwise (3 points)`."""
    lines = []
    for place in sorted({change.start for change in history.of("step")}):
        found: dict[tuple[str, str, str], int] = {}
        for change in history.of("step"):
            if change.start == place:
                point = change.series.point
                verdict = "worse" if change.finding.verdict == REGRESSED else "better"
                key = (change.series.metric.name, verdict, shown(f"{point.model} {point.mode}"))
                found[key] = found.get(key, 0) + 1
        parts = [f"{metric} {verdict} at {counted(n, 'point')} of {who}" for (metric, verdict, who), n in found.items()]
        some = [*parts[:MOST_PARTS], *([f"and {len(parts) - MOST_PARTS} more"] if len(parts) > MOST_PARTS else [])]
        commit = commit_of(history, place)
        named = shown(history.moments[place].name) + (f" (commit {commit})" if commit != UNKNOWN else "")
        lines.append(f"{named}: {', '.join(some)}")
    return lines


def day(made: datetime | None) -> str:
    """A moment to the minute: `2026-11-25 07:48`."""
    return UNKNOWN if made is None else f"{made:%Y-%m-%d %H:%M}"


def commit_of(history: History, place: int) -> str:
    """The commits of a run."""
    return ", ".join(history.moments[place].commits) or UNKNOWN


def labels_of(history: History) -> Callable[[Record], str]:
    """Names the points of a history."""
    return name_points([one.point for one in history.series])


def _change_sections(history: History) -> Iterator[Section]:
    tones: tuple[tuple[str, Tone], ...] = (("worse", "bad"), ("better", "good"))
    for kind, (noun, meaning) in _HEADINGS.items():
        for direction, tone in tones:
            is_worse = direction == "worse"
            some = [change for change in history.of(kind) if (change.finding.verdict == REGRESSED) is is_worse]
            if some:
                heading = f"{counted(len(some), noun)}, {direction}"
                yield replace(_changes(history, some), heading=heading, caption=meaning, tone=tone)
    if history.open:
        heading = f"{counted(len(history.open), 'change')} that could not be judged"
        yield replace(_changes(history, history.open, why=True), heading=heading, collapsed=True)


def _changes(history: History, changes: Sequence[Change], *, why: bool = False) -> Section:
    """A table with a row per change."""
    name = labels_of(history)
    since = "since" if any(change.kind == "step" for change in changes) else "at"
    drift = any(change.kind == "drift" for change in changes)
    columns = [
        _column("from", [show_median(one.finding, one.finding.base) for one in changes]),
        _column("to", [show_median(one.finding, one.finding.new) for one in changes]),
        _column("factor", [_factor(one.finding) for one in changes]),
    ]
    if drift:
        columns += [
            _column("from run", [shown(history.moments[one.before[0]].name) for one in changes], right=False),
            _column("to run", [shown(history.moments[one.after[-1]].name) for one in changes], right=False),
        ]
    else:
        columns += [
            _column(since, [shown(history.moments[one.start].name) for one in changes], right=False),
            _column("commit", [commit_of(history, one.start) for one in changes], right=False),
            _column("runs", [f"{len(one.before)} + {len(one.after)}" for one in changes]),
        ]
    if why:
        reasons = tuple(Cell(shown(one.finding.reason)) for one in changes)
        columns.append(TableColumn("why", reasons, right=False, below=True))
    return Section(
        labels=(
            label("point", [name(one.series.point) for one in changes]),
            label("metric", [one.series.metric.name for one in changes]),
        ),
        columns=tuple(columns),
    )


def _factor(finding: Finding) -> str:
    return percent_change(None) if finding.ratio is None else format_factor(finding.ratio)


def _breaks(history: History) -> Iterator[Section]:
    """Where runs are not comparable, a line per pair of runs and reason."""
    found: dict[tuple[int, str], dict[str, None]] = {}
    for one in history.series:
        for place, why in one.breaks.items():
            found.setdefault((place, why), {})[one.metric.name] = None
    if found:
        lines = tuple(
            f"{shown(history.moments[place].name)} ({', '.join(metrics)}): {shown(why)}"
            for (place, why), metrics in sorted(found.items(), key=lambda item: item[0][0])
        )
        yield Section("Not comparable with the runs before (--cross-machine compares anyway):", lines)


def figure_sections(history: History, series: Sequence[Series]) -> Iterator[Section]:
    """A table per metric: a row per point, a column per run."""
    name = labels_of(history)
    begins = {(id(change.series), change.start) for change in history.of("step")}
    for metric in dict.fromkeys(one.metric for one in series):
        rows = [one for one in series if one.metric is metric]
        sources = ", ".join(dict.fromkeys(one.title for one in rows))
        columns = [
            TableColumn(shown(moment.name), tuple(_figure(one, place, (id(one), place) in begins) for one in rows))
            for place, moment in enumerate(history.moments)
        ]
        marks = [
            *([f"{_STARTS} = a step begins"] if any(cell.best for column in columns for cell in column.cells) else []),
            *([f"{_APART} = not comparable with the runs before"] if any(one.breaks for one in rows) else []),
        ]
        yield Section(
            f"{metric.name}: {sources}",
            labels=(label("point", [name(one.point) for one in rows]),),
            columns=tuple(columns),
            caption="; ".join(marks),
        )


def _figure(series: Series, place: int, begins: bool) -> Cell:
    if place not in series.repeats:
        return Cell(UNKNOWN)
    text = series.metric.show(series.figure(place))
    return Cell(f"{_APART} {text}" if place in series.breaks else text, best=begins)


def _gaps(history: History) -> Iterator[Section]:
    """The points that some run has no result of, with how they ended there."""
    points = {id(one.point): one.point for one in history.series}
    name = labels_of(history)
    lines: dict[str, None] = {}
    for point in points.values():
        missing: dict[str, list[str]] = {}
        for moment in history.moments:
            tried = moment.points.get(point_identity(point))
            how = "not tried" if tried is None else "" if tried.ok else tried.records[0].status
            missing.setdefault(how, []).append(shown(moment.name))
        missing.pop("", None)
        if missing:
            ends = "; ".join(f"{how} in {', '.join(runs)}" for how, runs in missing.items())
            lines[f"{name(point)}: {ends}"] = None
    if lines:
        kept = [*list(lines)[:MOST_GAPS], *([f"and {len(lines) - MOST_GAPS} more"] if len(lines) > MOST_GAPS else [])]
        yield Section("Points without a result in some runs:", tuple(kept), collapsed=True)


def runs_section(history: History) -> Section:
    """A row per run: when it was made, its commit, and how many points gave results."""
    found = history.moments
    return Section(
        "Runs",
        labels=(label("run", [one.name for one in found]),),
        columns=(
            _column("made", [day(one.made) for one in found], right=False),
            _column("commit", [", ".join(one.commits) or UNKNOWN for one in found], right=False),
            _column("measured", [str(sum(bool(point.ok) for point in one.points.values())) for one in found]),
        ),
    )


def _notes(history: History) -> Section:
    lines = [f"left out: {one} (--allow-incomplete takes it)" for one in history.left_out]
    lines += uncounted([one.name for one in history.moments if not one.run.is_counted])
    if history.policy.cross_machine:
        lines += [f"compared despite a difference: {one}" for one in _differences(history)]
    if not history.by_time:
        lines.append("runs stand in the order in which they were given")
    newest = [one for one in history.of("step") if one.after == (len(history.moments) - 1,)]
    if newest:
        lines.append(
            f"{counted(len(newest), 'step')} at the newest run: a later run has yet to confirm what begins there"
        )
    lines.append(_METHOD)
    return Section("Notes:", tuple(f"{shown(line[:1].upper() + line[1:])}." for line in lines))


def _differences(history: History) -> list[str]:
    """How the hosts of successive runs differ, a line each."""
    return [
        named(why, before.name, after.name)
        for before, after in pairwise(history.moments)
        for why in differences(before.run.hosts, after.run.hosts)
    ]


def _column(header: str, texts: Sequence[str], *, right: bool = True) -> TableColumn:
    return TableColumn(header, tuple(map(Cell, texts)), right=right)
