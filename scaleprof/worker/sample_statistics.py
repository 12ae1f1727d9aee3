"""Statistics of measured updates."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sable.training.ppo import Metrics

Sample = dict[str, float]
"""Times and metrics of one update."""
TIMES = frozenset({"rollout_seconds", "learn_seconds", "update_seconds", "update_cpu_seconds"})
"""The times of a sample; everything else in it is a metric of the training."""


def total_seconds(samples: list[Sample]) -> float:
    """The time of all updates together."""
    return sum(sample["update_seconds"] for sample in samples)


def as_floats(metrics: Metrics) -> dict[str, float]:
    """Metrics as plain numbers by name."""
    return {name: float(value) for name, value in metrics._asdict().items()}


def summarise(samples: list[Sample], env_steps: int, agents: int) -> dict[str, float | None]:
    """Times and throughput of the measured updates, and the metrics of the last one, as fields of a record."""
    updates = sorted(sample["update_seconds"] for sample in samples)
    median = statistics.median(updates)
    metrics = {name: value for name, value in samples[-1].items() if name not in TIMES}
    return {
        "rollout_seconds": statistics.median(sample["rollout_seconds"] for sample in samples),
        "learn_seconds": statistics.median(sample["learn_seconds"] for sample in samples),
        "update_seconds": median,
        "update_min_seconds": updates[0],
        "update_p25_seconds": percentile(updates, 25),
        "update_p90_seconds": percentile(updates, 90),
        "update_cv": statistics.stdev(updates) / statistics.mean(updates) if len(updates) > 1 else None,
        "update_cpu_seconds": statistics.median(sample["update_cpu_seconds"] for sample in samples),
        "env_steps_per_second": env_steps / median,
        "agent_steps_per_second": env_steps * agents / median,
        **metrics,
    }


def percentile(ordered: list[float], percent: int) -> float:
    """A percentile of sorted values, interpolated linearly."""
    if len(ordered) == 1:
        return ordered[0]
    return statistics.quantiles(ordered, n=100, method="inclusive")[percent - 1]
