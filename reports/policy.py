"""What a check judges: every metric with its columns, its direction, and the change that it lets pass.

docs/regression-checks.md shows the same table; a test compares the two.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.record import Record
from reports.units import format_bytes, format_rate, format_seconds

TABLE = ("tool", "scaleprof", "check")
"""Where in a pyproject.toml thresholds stand."""
LARGEST_THRESHOLD = 10.0
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Source:
    """One way to know a metric: a figure of a record, and of each update where live pairs have samples."""

    title: str
    columns: tuple[str, ...]
    read: Callable[[Record], float | None]
    cpu_only: bool = False
    least: Callable[[Record], float | None] | None = None
    """What the figure would have been at least if nobody else had used the cores, if that is not the figure itself."""
    sample_column: str = ""
    """The column of a samples file with what every update took, if there is one."""

    def value(self, record: Record) -> float:
        """The figure of `record`; NaN where it is not known."""
        value = self.read(record)
        return math.nan if value is None else value

    def is_known(self, record: Record) -> bool:
        """Whether `record` has a figure that can be compared."""
        return math.isfinite(self.value(record))


@dataclass(frozen=True, slots=True)
class Metric:
    """What is judged, and by how much it may get worse."""

    name: str
    title: str
    sources: tuple[Source, ...]
    """The first is taken that both sides have."""
    threshold: float
    """The largest change, as a fraction of the base's figure, that is none."""
    deterministic: bool
    show: Callable[[float | None], str]
    higher_is_better: bool = False
    by_memory_quality: bool = False
    """Figures with the allocator set to be repeatable and with it left alone are not of one kind."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it may be read from."""
        return tuple(dict.fromkeys(column for source in self.sources for column in source.columns))


def _one(title: str, column: str, *, samples: str = "") -> Source:
    return Source(title, (column,), lambda record: getattr(record, column), sample_column=samples)


def _program(name: str) -> Source:
    columns = tuple(f"xla_{name}_{part}_bytes" for part in ("argument", "output", "alias", "temp"))

    def total(record: Record) -> float | None:
        arguments, outputs, aliases, temporaries = (getattr(record, column) for column in columns)
        if None in (arguments, outputs, aliases, temporaries):
            return None
        return float(arguments + outputs - aliases + temporaries)

    return Source(f"XLA's static bytes of {name}", columns, total)


def _per_cpu_second(record: Record) -> float | None:
    if not record.update_cpu_seconds:
        return None
    return record.agents * record.envs * record.seq_len / record.update_cpu_seconds


def _compile_seconds(record: Record) -> float | None:
    parts = [getattr(record, column) for column in _COMPILE_COLUMNS]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _wall_alone(record: Record) -> float | None:
    """Wall time less the share of the cores that others used, where that is so much that the record is contended."""
    if record.update_seconds is None or not record.contended or record.others_cpu_share is None:
        return record.update_seconds
    return record.update_seconds * max(1 - record.others_cpu_share, 0)


_COMPILE_COLUMNS = ("compile_act_seconds", "compile_rollout_seconds", "compile_learn_seconds")
_OF_CPU_TIME = Source(
    "agent-steps per second of process CPU time",
    ("update_cpu_seconds",),
    _per_cpu_second,
    cpu_only=True,
    sample_column="update_cpu_seconds",
)
_OF_WALL_TIME = _one("agent-steps per second of wall time", "agent_steps_per_second", samples="update_seconds")
_WALL_OF_CPU = Source(
    "wall time of an update",
    ("update_seconds",),
    lambda record: record.update_seconds,
    cpu_only=True,
    least=_wall_alone,
    sample_column="update_seconds",
)

METRICS: tuple[Metric, ...] = (
    Metric(
        "xla_peak",
        "XLA's static bytes of the largest program",
        (_one("XLA's static bytes", "xla_peak_bytes"),),
        threshold=0.01,
        deterministic=True,
        show=format_bytes,
    ),
    *(
        Metric(
            f"xla_{name}",
            f"XLA's static bytes of {title}",
            (_program(name),),
            threshold=0.01,
            deterministic=True,
            show=format_bytes,
        )
        for name, title in (("act", "the act step"), ("rollout", "the rollout"), ("learn", "the learn step"))
    ),
    Metric(
        "device_peak",
        "peak of the device allocator",
        (_one("peak of the device allocator", "device_peak_bytes"),),
        threshold=0.03,
        deterministic=False,
        show=format_bytes,
    ),
    Metric(
        "host_peak",
        "peak resident memory of the process",
        (_one("peak resident memory", "host_rss_peak_bytes"),),
        threshold=0.10,
        deterministic=False,
        show=format_bytes,
        by_memory_quality=True,
    ),
    Metric(
        "host_rise",
        "rise of resident memory while learning",
        (_one("rise of resident memory", "host_peak_rise_bytes"),),
        threshold=0.10,
        deterministic=False,
        show=format_bytes,
        by_memory_quality=True,
    ),
    Metric(
        "throughput",
        "agent-steps per second: of process CPU time on a CPU, of wall time elsewhere",
        (_OF_CPU_TIME, _OF_WALL_TIME),
        threshold=0.10,
        deterministic=False,
        show=format_rate,
        higher_is_better=True,
    ),
    Metric(
        "wall_time",
        "wall time of an update on a CPU: shows waiting and sleeping, which CPU time does not",
        (_WALL_OF_CPU,),
        threshold=0.25,
        deterministic=False,
        show=format_seconds,
    ),
    Metric(
        "compile_time",
        "compiling act, rollout and learn, where all were compiled",
        (Source("compile time", _COMPILE_COLUMNS, _compile_seconds),),
        threshold=0.25,
        deterministic=False,
        show=format_seconds,
    ),
)
METRIC_NAMES = tuple(metric.name for metric in METRICS)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a check judges. `thresholds` holds what differs from the defaults, as fractions by metric."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    alpha: float = 0.05
    """The false discovery rate of sampled metrics over a whole check."""
    threshold_only: bool = False
    """Take every change past its threshold for real, without a test."""
    cross_machine: bool = False
    """Compare what was measured on different machines or with different versions nevertheless."""
    metrics: tuple[str, ...] = METRIC_NAMES
    """What is judged."""

    def threshold(self, metric: Metric) -> float:
        """The change of `metric`, as a fraction, up to which nothing is said."""
        return self.thresholds.get(metric.name, metric.threshold)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Policy:
        """The same with some thresholds replaced."""
        return dataclasses.replace(self, thresholds={**self.thresholds, **thresholds})


def parse_threshold(text: str) -> tuple[str, float]:
    """Read `metric=5%` (or `metric=0.05`); raises ValueError saying what would be right."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"'{text}' is not of the form metric=percent, such as throughput=5%")
    name = name.strip()
    check_metric(name)
    return name, _fraction(name, value.strip(), "{}={}")


def check_metric(name: str) -> None:
    """Raise ValueError unless there is a metric of that name."""
    if name not in METRIC_NAMES:
        raise ValueError(f"there is no metric '{name}': {_nearest(name, METRIC_NAMES)}")


def check_alpha(alpha: float) -> float:
    """`alpha` if it is a probability above 0 and below 1; else raises ValueError."""
    if not 0 < alpha < 1:
        raise ValueError(f"{alpha:g} is no false discovery rate: give a number above 0 and below 1, such as 0.05")
    return alpha


def find_policy(folder: Path) -> tuple[Path, Policy] | None:
    """The policy of the nearest pyproject.toml, from `folder` upward, that has a table `[tool.scaleprof.check]`.

    None where there is none. Raises ValueError, naming file and key, for what it cannot mean.
    """
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if path.is_file():
            table = _read_table(path)
            if table is not None:
                return path, _policy_of(table, path)
    return None


def _read_table(path: Path) -> Mapping[str, Any] | None:
    try:
        content: Any = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML ({' '.join(str(error).split())}); correct the file") from error
    for name in TABLE:
        if not isinstance(content, dict) or name not in content:
            return None
        content = content[name]
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: {".".join(TABLE)} is no table; write [{".".join(TABLE)}] and throughput = "5%" below'
        )
    return content


def _policy_of(table: Mapping[str, Any], path: Path) -> Policy:
    policy = Policy()
    thresholds = {}
    for key, value in table.items():
        try:
            if key == "alpha":
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ValueError(f"{value!r} is no number: write alpha = 0.05")
                policy = dataclasses.replace(policy, alpha=check_alpha(value))
            elif key in METRIC_NAMES:
                thresholds[key] = _fraction(key, value, '{} = "{}"')
            else:
                raise ValueError(f"there is no such key: {_nearest(key, ('alpha', *METRIC_NAMES))}")
        except ValueError as error:
            raise ValueError(f"{path}, [{'.'.join(TABLE)}], {key}: {error}") from None
    return policy.with_thresholds(thresholds)


def _fraction(name: str, value: Any, form: str) -> float:
    """A threshold written as `5%`, `0.05`, or the number 0.05, as a fraction; `form` is how one is written there."""
    shown = str(value)
    percent = isinstance(value, str) and shown.endswith("%")
    digits = shown.removesuffix("%").strip() if percent else shown
    number = None
    if isinstance(value, str) and _NUMBER.fullmatch(digits):
        number = float(digits) / (100 if percent else 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        number = float(value)
    if number is None or number < 0:
        raise ValueError(f"'{shown}' is no threshold: write a percentage such as {form.format(name, '5%')}")
    if not percent and number >= 1:
        right = form.format(name, f"{shown}%")
        raise ValueError(f"'{shown}' would be {number * 100:g} %: write {right} if that many percent are meant")
    metric = next(metric for metric in METRICS if metric.name == name)
    if metric.higher_is_better and number >= 1:
        raise ValueError(f"'{shown}' is never passed, because {name} can fall by 100 % at most: write less")
    if number > LARGEST_THRESHOLD:
        raise ValueError(f"'{shown}' is too large: write at most {LARGEST_THRESHOLD:.0%}")
    return number


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known)}"
