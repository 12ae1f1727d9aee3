"""What is known about the columns of a record beside their values."""

from __future__ import annotations

from dataclasses import dataclass

from reports.records.record import FIELD_NAMES
from reports.text.section import shown
from reports.text.units import format_bytes, format_number, format_rate, format_seconds

TABLE_MEMORY = {
    "device_peak_bytes": "device allocator",
    "host_peak_rise_bytes": "rise of resident memory while it ran",
    "host_rss_peak_bytes": "resident memory, with Python and JAX",
    "xla_peak_bytes": "XLA's plan",
}
"""What the table of memory shows: the first of these that is known of any point, and of all rows the same."""


DETAILS = (
    "seq_len",
    "envs",
    "repeat",
    "status",
    "device_peak_bytes",
    "host_peak_rise_bytes",
    "host_rss_peak_bytes",
    "xla_peak_bytes",
    "update_seconds",
    "update_cv",
    "rollout_seconds",
    "learn_seconds",
    "env_seconds",
    "agent_steps_per_second",
    "env_steps_per_second",
    "first_update_seconds",
    "mean_reward",
    "episode_return",
)
"""The columns of a full report, those of them that are known of any record."""


def format_value(name: str, value: int | float | str | None) -> str:
    """The value of one field of a record, with its unit where the field's name has one.

    Raises:
        KeyError: a record has no such field.
    """
    if name not in FIELD_NAMES:
        raise KeyError(name)
    if value is None or isinstance(value, str):
        return shown(value)
    if name.endswith(("_bytes", "_bytes_per_update")):
        return format_bytes(value)
    if name.endswith("_per_second"):
        return format_rate(value)
    if name.endswith("_seconds"):
        return format_seconds(value)
    return str(value) if isinstance(value, int) else format_number(value)


@dataclass(frozen=True, slots=True)
class Measure:
    """A field of `Record` as an axis of a chart: `unit` is `bytes`, `rate` (per second) or `seconds`."""

    field: str
    title: str
    unit: str


MEMORY = (
    Measure("device_peak_bytes", "Peak memory, device allocator", "bytes"),
    Measure("host_peak_rise_bytes", "Peak memory, rise of resident memory", "bytes"),
    Measure("host_rss_peak_bytes", "Peak memory, resident", "bytes"),
    Measure("xla_peak_bytes", "Peak memory, XLA's plan", "bytes"),
)
"""Measures of memory, the one that says most about a model first: resident memory has Python and JAX in it."""


SPEED = (
    Measure("agent_steps_per_second", "Agent-steps per second", "rate"),
    Measure("env_steps_per_second", "Environment steps per second", "rate"),
    Measure("update_seconds", "Time of an update", "seconds"),
    Measure("update_cpu_seconds", "Processor time of an update", "seconds"),
    Measure("rollout_seconds", "Time of a rollout", "seconds"),
    Measure("learn_seconds", "Time of learning from it", "seconds"),
)


MEMORY_FIELDS = {
    "device_peak_bytes": "the device allocator's peak",
    "xla_peak_bytes": "XLA's plan",
    "host_peak_rise_bytes": "the rise of resident memory",
}
