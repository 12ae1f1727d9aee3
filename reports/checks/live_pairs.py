"""Live pairs: two sides that took turns, compared pair by pair, or burst by burst where samples tell them apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from reports.checks.metrics import Metric, Source
from reports.records.record import Record
from reports.records.run import Run

MOST_BURSTS = 128
"""Above this many bursts of a point, those that follow each other count together: the exact test is cubic in them."""


def pair_logs(
    run: Run, metric: Metric, source: Source, base: Sequence[Record], new: Sequence[Record]
) -> tuple[list[float], str]:
    """The logarithms of new over base of each pair of one point, or each burst of it, and what they are counted in.

    Raises ValueError for samples in which text stands for a number; one line that names file, column and burst.
    """
    partners = {_pair_of(record): record for record in base}
    pairs = [(partners[_pair_of(record)], record) for record in new if _pair_of(record) in partners]
    values = [(source.value(old), source.value(now)) for old, now in pairs]
    logs = [math.log(now / old) for old, now in values if old > 0 and now > 0]
    count = f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"
    if not source.sample_column:
        return logs, count
    sign = -1.0 if metric.higher_is_better else 1.0  # a sample is a time: the more, the lower the rate
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
    """What the two sides of a live pair of one point have in common."""
    return record.pair_id or record.repeat


def _medians(values: Sequence[float], several: int) -> list[float]:
    """The medians of every `several` values that follow each other."""
    return [statistics.median(values[place : place + several]) for place in range(0, len(values), several)]


def _burst_logs(run: Run, base: Record, new: Record, column: str) -> list[float]:
    """For every burst that both sides had, the logarithm of the ratio of its median updates."""
    ours, theirs = (_bursts(run, record, column) for record in (base, new))
    return [math.log(theirs[burst] / ours[burst]) for burst in ours if burst in theirs]


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
                    "where a number belongs; correct the cell or delete the file"
                ) from None
            if value > 0 and math.isfinite(value):
                bursts.setdefault(row["burst"], []).append(value)
    return {burst: statistics.median(values) for burst, values in bursts.items()}
