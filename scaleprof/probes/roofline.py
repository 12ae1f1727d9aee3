"""What a point's update is nearest to being limited by, held against what this machine can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.records.record import Record

BUSY = 0.25
"""From this fraction of a rate on, that rate is called the limit; below it for both, starting one step after the other
takes the time."""
CACHE_BYTES = 32 * 2**20
"""Where the temporaries of learning are smaller than this, a cache serves their traffic and memory is no limit."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The machine's measured rates on the cores that points may use; None where they were not measured."""

    matmul_flops_per_second: float | None = None
    """Of a large float32 matrix product."""
    copy_bytes_per_second: float | None = None
    """Bytes read and written by passes over an array that no cache holds."""

    def fractions(self, record: Record) -> dict[str, Any]:
        """The fields of a record that follow from its work, its time and these rates; none where one is not known."""
        if record.update_seconds is None:
            return {}
        matmul = _fraction(record.flops_per_update, record.update_seconds, self.matmul_flops_per_second)
        copy = _fraction(record.traffic_bytes_per_update, record.update_seconds, self.copy_bytes_per_second)
        cached = (record.xla_learn_temp_bytes or 0) < CACHE_BYTES
        return {"matmul_fraction": matmul, "copy_fraction": copy, "bound_by": bound_by(matmul, copy, cached=cached)}


def _fraction(work: float | None, seconds: float, rate: float | None) -> float | None:
    return None if work is None or rate is None else work / seconds / rate


def bound_by(matmul: float | None, copy: float | None, *, cached: bool = False) -> str:
    """The limit that these fractions point at: the larger one if it is large, else the order of steps.

    Traffic that a cache serves is no limit.
    """
    if matmul is None or copy is None:
        return ""
    traffic = 0.0 if cached else copy
    if max(matmul, traffic) < BUSY:
        return "sequential steps"
    return "arithmetic" if matmul >= traffic else "memory traffic"
