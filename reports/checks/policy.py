"""The policy of a check: thresholds, false discovery rate, and which metrics are judged."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.arrange.selection import point_matcher
from reports.checks.metrics import IN_MEMORY, METRIC_NAMES, METRICS, Metric
from reports.records.files import file_errors, read_file
from reports.records.project_file import check_tables
from reports.records.record import Record
from reports.text.hints import nearest

TABLE = ("tool", "scaleprof", "check")
"""The table of a pyproject.toml that holds thresholds."""
LARGEST_THRESHOLD = 10.0
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Group:
    """Thresholds of some points: those that meet all of `conditions`, such as `agents>=1024`."""

    conditions: tuple[str, ...]
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """How a check judges; `thresholds` overrides defaults, as fractions by metric."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    """Thresholds that override these at some points; where a point is in several, the last one that names a metric."""
    alpha: float = 0.05
    """False discovery rate of sampled metrics over a whole check."""
    threshold_only: bool = False
    """Skip significance tests: every change past its threshold counts."""
    cross_machine: bool = False
    """Compare even if hosts, versions or variables differ."""
    allow_incomplete: bool = False
    """Compare with a BASE that lacks some of its records."""
    allow_missing: bool = False
    """Points of BASE that NEW lacks are no regression."""
    fail_inconclusive: bool = False
    """An inconclusive check fails: its exit code is 5."""
    metrics: tuple[str, ...] = tuple(name for name in METRIC_NAMES if name not in IN_MEMORY)
    """The metrics to judge."""

    def threshold(self, metric: Metric, point: Record | None = None) -> float:
        """The allowed change of `metric`, as a fraction: at a point, or without one that of points in no group."""
        group = None if point is None else self.group_of(metric, point)
        if group is not None:
            return group.thresholds[metric.name]
        return self.thresholds.get(metric.name, metric.threshold)

    def group_of(self, metric: Metric, point: Record) -> Group | None:
        """The group whose threshold of a metric holds at a point; None if it is the general one."""
        naming = (group for group in reversed(self.groups) if metric.name in group.thresholds)
        return next((group for group in naming if point_matcher(group.conditions)(point)), None)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> CheckPolicy:
        """A copy with some thresholds replaced, also in groups; parts of `memory` that they name are judged too."""
        groups = tuple(
            Group(one.conditions, {name: value for name, value in one.thresholds.items() if name not in thresholds})
            for one in self.groups
        )
        return dataclasses.replace(
            self._judging(thresholds), thresholds={**self.thresholds, **thresholds}, groups=groups
        )

    def with_group(self, group: Group) -> CheckPolicy:
        """A copy with one group more."""
        return dataclasses.replace(self._judging(group.thresholds), groups=(*self.groups, group))

    def _judging(self, thresholds: Mapping[str, float]) -> CheckPolicy:
        """A copy that judges the parts of `memory` that have thresholds too."""
        named = tuple(name for name in IN_MEMORY if name in thresholds and name not in self.metrics)
        return dataclasses.replace(self, metrics=(*self.metrics, *named))


def parse_threshold(text: str) -> tuple[str, float]:
    """Read `metric=5%` (or `metric=0.05`); raises ValueError with the correct form."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"'{text}' is not METRIC=PERCENT, such as throughput=5%")
    name = name.strip()
    check_metric(name)
    return name, _fraction(name, value.strip(), "{}={}")


def check_metric(name: str) -> None:
    """Raise ValueError unless a metric has that name."""
    if name not in METRIC_NAMES:
        raise ValueError(f"unknown metric '{name}': {nearest(name, METRIC_NAMES)}")


def check_alpha(alpha: float) -> float:
    """`alpha`, if it lies between 0 and 1; else raises ValueError."""
    if not 0 < alpha < 1:
        raise ValueError(f"{alpha:g} is not a false discovery rate; give a number between 0 and 1, such as 0.05")
    return alpha


def find_policy(folder: Path) -> tuple[Path, CheckPolicy] | None:
    """The nearest pyproject.toml, from `folder` upward, with a table `[tool.scaleprof.check]`, and its policy.

    None if there is none. Raises ValueError, naming file and key, for invalid content.
    """
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        with file_errors(path, "read"):
            is_there = path.is_file()
        if is_there:
            table = _read_table(path)
            if table is not None:
                return path, _policy_of(table, path)
    return None


def _read_table(path: Path) -> Mapping[str, Any] | None:
    with file_errors(path, "read"):
        text = read_file(path)
    try:
        content: Any = tomllib.loads(text.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML ({' '.join(str(error).split())}); correct the file") from error
    try:
        check_tables(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for name in TABLE:
        if not isinstance(content, dict) or name not in content:
            return None
        content = content[name]
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: {".".join(TABLE)} is not a table; write [{".".join(TABLE)}] and throughput = "5%" below'
        )
    return content


def _policy_of(table: Mapping[str, Any], path: Path) -> CheckPolicy:
    policy = CheckPolicy()
    thresholds = {}
    groups = []
    for key, value in table.items():
        try:
            if isinstance(value, dict):
                groups.append(_group(key, value))
            elif key == "alpha":
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ValueError(f"{value!r} is not a number; write alpha = 0.05")
                policy = dataclasses.replace(policy, alpha=check_alpha(value))
            elif key in METRIC_NAMES:
                thresholds[key] = _fraction(key, value, '{} = "{}"')
            else:
                raise ValueError(f"unknown key: {nearest(key, ('alpha', *METRIC_NAMES))}")
        except ValueError as error:
            raise ValueError(f"{path}, [{'.'.join(TABLE)}], {key}: {error}") from None
    policy = policy.with_thresholds(thresholds)
    for group in groups:
        policy = policy.with_group(group)
    return policy


def _group(key: str, table: Mapping[str, Any]) -> Group:
    """The thresholds in a table whose name is conditions, separated by blanks: `"model=sable agents>=1024"`."""
    conditions = tuple(key.split())
    point_matcher(conditions)
    if not conditions:
        raise ValueError("names no points; write conditions, such as model=sable agents>=1024")
    thresholds = {}
    for name, value in table.items():
        if name not in METRIC_NAMES:
            raise ValueError(f"unknown key '{name}': {nearest(name, METRIC_NAMES)}")
        thresholds[name] = _fraction(name, value, '{} = "{}"')
    return Group(conditions, thresholds)


def _fraction(name: str, value: Any, form: str) -> float:
    """A threshold written as `5%`, `0.05`, or the number 0.05, as a fraction; `form` shows how to write one."""
    shown = str(value)
    percent = isinstance(value, str) and shown.endswith("%")
    digits = shown.removesuffix("%").strip() if percent else shown
    number = None
    if isinstance(value, str) and _NUMBER.fullmatch(digits):
        number = float(digits) / (100 if percent else 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        number = float(value)
    if number is None or number < 0:
        raise ValueError(f"'{shown}' is not a threshold; write a percentage such as {form.format(name, '5%')}")
    if not percent and number >= 1:
        right = form.format(name, f"{shown}%")
        raise ValueError(f"'{shown}' means {number * 100:g} %; write {right} for {number:g} %")
    metric = next(metric for metric in METRICS if metric.name == name)
    if metric.higher_is_better and number >= 1:
        raise ValueError(f"'{shown}' can never be exceeded: {name} falls by at most 100 %; write less")
    if number > LARGEST_THRESHOLD:
        raise ValueError(f"'{shown}' is too large; write at most {LARGEST_THRESHOLD:.0%}")
    return number
