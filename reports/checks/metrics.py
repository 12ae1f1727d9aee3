"""The metrics of a check: the columns that each is read from, its direction and its threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from reports.records.columns import COLUMNS, formatter
from reports.records.describe import Unit
from reports.records.record import Record


@dataclass(frozen=True, slots=True)
class Source:
    """One way to read a metric from a record, and from the samples of live pairs."""

    title: str
    columns: tuple[str, ...]
    read: Callable[[Record], float | None]
    cpu_only: bool = False
    least: Callable[[Record], float | None] | None = None
    """The least that the figure can be without CPU contention; None if contention does not affect it."""
    sample_column: str = ""
    """The column of a samples file with the time of each update, if there is one."""

    def value(self, record: Record) -> float:
        """The figure of `record`; NaN if unknown."""
        value = self.read(record)
        return math.nan if value is None else value

    def is_known(self, record: Record) -> bool:
        """Whether `record` has a finite figure."""
        return math.isfinite(self.value(record))


@dataclass(frozen=True, slots=True)
class Metric:
    """A quantity to judge, and how much it may change."""

    name: str
    title: str
    sources: tuple[Source, ...]
    """In order of preference: the first that both runs have is used."""
    threshold: float
    """The allowed change, as a fraction of the base."""
    unit: Unit
    higher_is_better: bool = False
    by_memory_quality: bool = False
    """Figures measured with different allocator settings are not comparable."""
    of_compiling: bool = False
    """Repeats that read compiled programs from the cache have no figure; others depend on how they compiled."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it can be read from."""
        return tuple(dict.fromkeys(column for source in self.sources for column in source.columns))

    @property
    def deterministic(self) -> bool:
        """Whether repeats agree, because every column that it may be read from is exact."""
        return all(COLUMNS[name].exact for name in self.columns)

    @property
    def show(self) -> Callable[[float | None], str]:
        """What writes a figure of it as text."""
        return formatter(self.unit)


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
    """Wall time, for a contended record less the share of the CPU that other processes used."""
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
        unit="bytes",
    ),
    *(
        Metric(
            f"xla_{name}",
            f"XLA's static bytes of {title}",
            (_program(name),),
            threshold=0.01,
            unit="bytes",
        )
        for name, title in (("act", "the act step"), ("rollout", "the rollout"), ("learn", "the learn step"))
    ),
    Metric(
        "memory",
        "peak memory: of the device allocator, or the rise of resident memory on a CPU",
        (
            _one("peak of the device allocator", "device_peak_bytes"),
            replace(_one("rise of resident memory", "host_peak_rise_bytes"), cpu_only=True),
        ),
        threshold=0.10,
        unit="bytes",
        by_memory_quality=True,
    ),
    Metric(
        "device_peak",
        "peak of the device allocator",
        (_one("peak of the device allocator", "device_peak_bytes"),),
        threshold=0.03,
        unit="bytes",
    ),
    Metric(
        "host_peak",
        "peak resident memory of the process",
        (_one("peak resident memory", "host_rss_peak_bytes"),),
        threshold=0.10,
        unit="bytes",
        by_memory_quality=True,
        of_compiling=True,
    ),
    Metric(
        "host_rise",
        "rise of resident memory while learning",
        (_one("rise of resident memory", "host_peak_rise_bytes"),),
        threshold=0.10,
        unit="bytes",
        by_memory_quality=True,
    ),
    Metric(
        "throughput",
        "agent-steps per second: of process CPU time on a CPU, of wall time elsewhere",
        (_OF_CPU_TIME, _OF_WALL_TIME),
        threshold=0.10,
        unit="rate",
        higher_is_better=True,
    ),
    Metric(
        "wall_time",
        "wall time of an update on a CPU, which unlike CPU time includes waiting",
        (_WALL_OF_CPU,),
        threshold=0.25,
        unit="seconds",
    ),
    Metric(
        "compile_time",
        "time to compile act, rollout and learn, if all were compiled",
        (Source("compile time", _COMPILE_COLUMNS, _compile_seconds),),
        threshold=0.25,
        unit="seconds",
        of_compiling=True,
    ),
)


METRIC_NAMES = tuple(metric.name for metric in METRICS)
IN_MEMORY = ("host_rise",)
"""Judged only where a threshold or `--metrics` names it: `memory` judges the same figure with the same threshold.

`device_peak` is judged beside `memory`: its threshold is the stricter one."""
