"""Live pairs: two sides that ran in turns, compared pair by pair, or burst by burst if there are samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from reports.checks.metrics import Metric, Source
from reports.records.record import Record
from reports.records.run import Run
from reports.text.units import counted

MOST_BURSTS = 128
"""Above this many bursts of a point, consecutive ones are grouped: the exact test is cubic in their number."""


def pair_logs(
    run: Run, metric: Metric, source: Source, base: Sequence[Record], new: Sequence[Record]
) -> tuple[list[float], str]:
    """The logarithms of new over base for each pair (or burst) of one point, and what they are counted in.

    Raises ValueError for samples with text in place of a number, naming file, column and burst.
    """
    partners = {_pair_of(record): record for record in base}
    pairs = [(partners[_pair_of(record)], record) for record in new if _pair_of(record) in partners]
    values = [(source.value(old), source.value(now)) for old, now in pairs]
    logs = [math.log(now / old) for old, now in values if old > 0 and now > 0]
    count = counted(len(pairs), "pair")
    if not source.sample_column:
        return logs, count
    sign = -1.0 if metric.higher_is_better else 1.0  # samples are times, the inverse of a rate
    of_pairs = [_burst_logs(run, old, now, source.sample_column) for old, now in pairs]
    total = sum(map(len, of_pairs))
    if total <= len(logs):
        return logs, count
    several = math.ceil(total / MOST_BURSTS)
    units = [sign * log for bursts in of_pairs for log in _medians(bursts, several)]
    if several == 1:
        return units, f"{total} bursts of {count}"
    return units, f"{len(units)} groups of {several} bursts of {count}"


def _pair_of(record: Record) -> str | int:
    """What identifies a live pair among those of one point."""
    return record.pair_id or record.repeat


def _medians(values: Sequence[float], several: int) -> list[float]:
    """The median of each group of `several` consecutive values."""
    return [statistics.median(values[place : place + several]) for place in range(0, len(values), several)]


def _burst_logs(run: Run, base: Record, new: Record, column: str) -> list[float]:
    """The logarithm of the ratio of median update times, for every burst that both sides have."""
    before, after = (_bursts(run, record, column) for record in (base, new))
    return [math.log(after[burst] / before[burst]) for burst in before if burst in after]


def _bursts(run: Run, record: Record, column: str) -> dict[str, float]:
    """The median of `column` in every burst of `record`."""
    bursts: dict[str, list[float]] = {}
    for row in run.samples(record):
        if row.get("phase") == "measure" and row.get("burst"):
            try:
                value = float(row.get(column) or "nan")
            except ValueError:
                raise ValueError(
                    f"{run.path}/samples/{record.files}.csv: {column} is {row[column]!r} in burst {row['burst']}, "
                    "which is not a number; correct the cell or delete the file"
                ) from None
            if value > 0 and math.isfinite(value):
                bursts.setdefault(row["burst"], []).append(value)
    return {burst: statistics.median(values) for burst, values in bursts.items()}
