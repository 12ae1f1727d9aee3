"""The rate that limits a point's update: the fraction of the host's measured rates that it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.records.record import Record

BUSY = 0.25
"""A rate is the limit from this fraction on. Below it for both rates, the order of the steps is."""
CACHE_BYTES = 32 * 2**20
"""If the temporaries of learning are smaller than this, a cache serves them and memory is not the limit."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The host's measured rates on the cores of a point; None if not measured."""

    matmul_flops_per_second: float | None = None
    """Rate of a large float32 matrix product."""
    copy_bytes_per_second: float | None = None
    """Rate of passes over an array larger than any cache, bytes read and written."""

    def fractions(self, record: Record) -> dict[str, Any]:
        """Fields that follow from a record's work, its time and these rates; empty without a time."""
        if record.update_seconds is None:
            return {}
        matmul = _fraction(record.flops_per_update, record.update_seconds, self.matmul_flops_per_second)
        copy = _fraction(record.traffic_bytes_per_update, record.update_seconds, self.copy_bytes_per_second)
        cached = (record.xla_learn_temp_bytes or 0) < CACHE_BYTES
        return {"matmul_fraction": matmul, "copy_fraction": copy, "bound_by": bound_by(matmul, copy, cached=cached)}


def _fraction(work: float | None, seconds: float, rate: float | None) -> float | None:
    return None if work is None or rate is None else work / seconds / rate


def bound_by(matmul: float | None, copy: float | None, *, cached: bool = False) -> str:
    """The limit: the larger fraction if it is at least `BUSY`, else sequential steps.

    `cached` traffic is never the limit.
    """
    if matmul is None or copy is None:
        return ""
    traffic = 0.0 if cached else copy
    if max(matmul, traffic) < BUSY:
        return "sequential steps"
    return "arithmetic" if matmul >= traffic else "memory traffic"
