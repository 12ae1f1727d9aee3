"""The figures of every point and metric over several runs, cut where they are not comparable."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reports.checks.comparability import differences
from reports.checks.compare import why_blocked
from reports.checks.findings import NOT_COMPARABLE
from reports.checks.judge import judge_metric
from reports.checks.metrics import METRICS, Metric, Source
from reports.checks.pair_up import Key, PointRepeats, device_differences, tried_points
from reports.checks.policy import CheckPolicy
from reports.records.record import Record
from reports.records.run import Run

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SHORT = 10


@dataclass(frozen=True, slots=True)
class Moment:
    """One of the runs of a history."""

    name: str
    run: Run
    points: Mapping[Key, PointRepeats]
    """Those that it tried; of live pairs the side `new`."""

    made: datetime | None
    """When its first record was written; None if not known."""
    commits: tuple[str, ...]
    """The commits that it ran at, shortened, with a `+` if tracked files had been changed."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one point over the runs of a history."""

    point: Record
    metric: Metric
    sources: Mapping[int, Source]
    """What a run's figure is read from: the same in all runs of a stretch."""
    repeats: Mapping[int, PointRepeats]
    """By the place of the run, where it has a figure."""
    stretches: tuple[tuple[int, ...], ...]
    """The places, cut where a run is not comparable with those before it."""
    breaks: Mapping[int, str] = field(default_factory=dict)
    """Why a stretch begins where it does, by its first place; the first stretch has no reason."""

    def values(self, place: int) -> tuple[float, ...]:
        """The figure of every repeat of a run."""
        source = self.sources[place]
        return tuple(source.value(record) for record in self.repeats[place].ok if source.is_known(record))

    @property
    def title(self) -> str:
        """What was measured."""
        return " or ".join(dict.fromkeys(source.title for source in self.sources.values()))

    def figure(self, place: int) -> float:
        """The median of a run's repeats."""
        return statistics.median(self.values(place))


def moments(runs: Sequence[tuple[str, Run]]) -> list[Moment]:
    """The runs, each with its name, in the given order."""
    return [
        Moment(name, run, tried_points(one for one in run.records if one.side != "base"), _made(run), _commits(run))
        for name, run in runs
    ]


def _made(run: Run) -> datetime | None:
    times = [found for record in run.records if (found := _time(record.timestamp)) is not None]
    return min(times, default=None)


def _commits(run: Run) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for host in run.hosts:
        git = host.get("git")
        commit = git.get("commit") if isinstance(git, dict) else None
        if isinstance(git, dict) and isinstance(commit, str) and _COMMIT.fullmatch(commit):
            found[commit[:_SHORT] + ("+" if git.get("dirty") is True else "")] = None
    return tuple(found)


def in_order(found: Sequence[Moment]) -> list[Moment] | None:
    """The runs by when they were made; None if that is not known of all."""
    times = [one.made for one in found]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    return [one for _, _, one in sorted(zip(known, range(len(found)), found, strict=True))]


def find_series(found: Sequence[Moment], policy: CheckPolicy) -> list[Series]:
    """A series for each point and metric with a figure in any of the runs."""
    keys = dict.fromkeys(key for one in found for key in one.points)
    unlike = _compare_hosts(found)
    made = (_one_series(found, key, metric, policy, unlike) for key in keys for metric in METRICS)
    return [series for series in made if series is not None]


def _common_source(metric: Metric, points: Sequence[PointRepeats]) -> Source | None:
    """The first source of a metric that all of some runs know; None if there is none."""
    on_cpu = all(record.platform == "cpu" for point in points for record in point.ok)
    sources = (source for source in metric.sources if on_cpu or not source.cpu_only)
    return next((one for one in sources if all(any(map(one.is_known, point.ok)) for point in points)), None)


_Unlike = Callable[[tuple[int, ...], int], list[str]]
"""How the hosts of some runs differ from that of another."""


def _compare_hosts(found: Sequence[Moment]) -> _Unlike:
    known: dict[tuple[tuple[int, ...], int], list[str]] = {}

    def compare(places: tuple[int, ...], place: int) -> list[str]:
        if (places, place) not in known:
            hosts = [host for one in places for host in found[one].run.hosts]
            known[places, place] = differences(hosts, found[place].run.hosts)
        return known[places, place]

    return compare


def _one_series(
    found: Sequence[Moment], key: Key, metric: Metric, policy: CheckPolicy, unlike: _Unlike
) -> Series | None:
    if metric.name not in policy.metrics:
        return None
    points = {place: one.points[key] for place, one in enumerate(found) if key in one.points and one.points[key].ok}
    known = {place: point for place, point in points.items() if _common_source(metric, [point])}
    if not known:
        return None
    stretches: list[tuple[int, ...]] = []
    breaks: dict[int, str] = {}
    for place in known:
        why = _why_apart(metric, known, stretches[-1], place, policy, unlike) if stretches else ""
        if why or not stretches:
            stretches.append((place,))
            breaks |= {place: named(why, found[stretches[-2][-1]].name, found[place].name)} if why else {}
        else:
            stretches[-1] += (place,)
    sources = {
        place: source
        for stretch in stretches
        if (source := _common_source(metric, [known[one] for one in stretch])) is not None
        for place in stretch
    }
    return Series(next(iter(known.values())).ok[0], metric, sources, known, tuple(stretches), breaks)


def _why_apart(
    metric: Metric,
    points: Mapping[int, PointRepeats],
    stretch: tuple[int, ...],
    place: int,
    policy: CheckPolicy,
    unlike: _Unlike,
) -> str:
    """Why a run is not comparable with those of a stretch, as a check says it; empty if it is."""
    before, after = points[stretch[-1]], points[place]
    other = [*unlike(stretch, place), *device_differences(before, after)]
    blocked = why_blocked(metric, list(dict.fromkeys(other)), policy)
    judged = judge_metric(metric, before, after, policy, blocked, None)
    if judged is not None and (judged[0].verdict == NOT_COMPARABLE or not judged[0].new):
        return judged[0].reason
    known = _common_source(metric, [*(points[one] for one in stretch), after])
    return "" if known is not None else "not measured from the same columns"


def named(why: str, before: str, after: str) -> str:
    """A reason of a check with the names of the runs that it calls BASE and NEW."""
    return why.replace(" in BASE", f" in {before}").replace(" in NEW", f" in {after}")


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def stretches_to_compare(series: Sequence[Series]) -> Iterator[tuple[Series, tuple[int, ...]]]:
    """Every stretch of several runs, with its series."""
    for one in series:
        yield from ((one, stretch) for stretch in one.stretches if len(stretch) > 1)
