"""Where a series of figures moves to another level, and stays there. Pure numbers: one figure per run, in order.

1. The series is cut into levels so that the squared distances of its logarithms from their level's mean, plus a price
   for each level, are least (optimal partitioning; Jackson et al., IEEE Signal Processing Letters 12 (2005) 105-108).
   The price is that of a change in the mean of normal noise, 2·σ²·ln n (Yao, Statistics & Probability Letters 6 (1988)
   181-189). σ is a third of the allowed change or, if larger, the noise between successive runs, estimated from the
   median of their differences.
2. A level of one run between two others that lies outside both did not last: it is a spike and set aside.
3. Neighbouring levels whose medians differ by no more than the allowed change become one, the least different first.

Between two levels that remain, the series steps, unless a straight line describes both clearly better. Such levels, and
a single one that a line which goes past the allowed change describes clearly better, are a drift.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SHARE = 1 / 3
"""The share of the allowed change that counts as noise, as in the test of a check."""
LEAST_DIFFERENCES = 5
"""From this many differences of successive runs, they tell how noisy a series is."""
MEDIAN_DIFFERENCE = 0.954
"""The median absolute difference of two normal figures, as a multiple of their standard deviation."""
CLEARLY = 0.5
"""A series drifts if a line leaves less than this share of the squared distances that its levels leave."""
LEAST_FOR_DRIFT = 4
"""Runs that a drift consists of, at least."""

Level = tuple[int, ...]
"""The places of its figures in the series."""
Past = Callable[[float], bool]
"""Whether a ratio of two figures exceeds the allowed change."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a series does."""

    levels: tuple[Level, ...]
    """In order; neighbours differ by more than is allowed."""
    steps: tuple[int, ...] = ()
    """The numbers of the levels, from 1, that the series steps to."""
    drifts: tuple[Level, ...] = ()
    """The places over which it drifts."""
    spikes: tuple[int, ...] = ()
    """The places that belong to no level."""


def find_levels(figures: Sequence[float], allowed: float, past: Past) -> Shape:
    """The shape of a series.

    Args:
        figures: at least one, none negative.
        allowed: the allowed change, as a fraction.
        past: whether a ratio of two of them exceeds it.
    """
    logs = _logs(figures)
    levels = _partition(logs, _price(logs, math.log1p(allowed)))
    spikes: list[int] = []
    while True:
        levels = _merged(levels, figures, past)
        found = _spikes(levels, figures, past)
        if not found:
            break
        worst = max(found, key=lambda place: _distance(place, levels, logs))
        spikes.append(worst)
        levels = [level for level in levels if level != (worst,)]
    steps = [
        number
        for number, (before, after) in enumerate(itertools.pairwise(levels), start=1)
        if not _is_line([before, after], logs)
    ]
    cuts = [0, *steps, len(levels)]
    drifts = [
        tuple(itertools.chain(*levels[start:end]))
        for start, end in itertools.pairwise(cuts)
        if end - start > 1 or (_is_line(levels[start:end], logs) and past(_rise(levels[start], logs)))
    ]
    return Shape(tuple(levels), tuple(steps), tuple(drifts), tuple(sorted(spikes)))


def _logs(figures: Sequence[float]) -> list[float]:
    """Logarithms; 0 is taken as far below all others."""
    floor = min((value for value in figures if value > 0), default=1.0) / 1000
    return [math.log(min(max(value, floor), sys.float_info.max)) for value in figures]


def _price(logs: Sequence[float], allowed: float) -> float:
    """What one more level costs."""
    differences = [abs(b - a) for a, b in itertools.pairwise(logs)]
    noise = statistics.median(differences) / MEDIAN_DIFFERENCE if len(differences) >= LEAST_DIFFERENCES else 0.0
    spread = max(allowed * SHARE, noise)
    return 2 * spread * spread * math.log(max(len(logs), 2)) + 1e-12


def _partition(logs: Sequence[float], price: float) -> list[Level]:
    """The cheapest cut into levels, by dynamic programming over where the last level begins."""
    sums = [0.0, *itertools.accumulate(logs)]
    squares = [0.0, *itertools.accumulate(value * value for value in logs)]

    def cost(start: int, end: int) -> float:
        total = sums[end] - sums[start]
        return max(squares[end] - squares[start] - total * total / (end - start), 0.0)

    least, begins = [0.0], [0]
    for end in range(1, len(logs) + 1):
        price_of, start = min((least[start] + cost(start, end) + price, start) for start in range(end))
        least.append(price_of)
        begins.append(start)
    levels: list[Level] = []
    end = len(logs)
    while end:
        levels.insert(0, tuple(range(begins[end], end)))
        end = begins[end]
    return levels


def _merged(levels: list[Level], figures: Sequence[float], past: Past) -> list[Level]:
    """The levels with neighbours joined that differ by no more than is allowed, the least different first."""
    kept = list(levels)
    while True:
        alike = [
            (abs(math.log(ratio)), place)
            for place, (before, after) in enumerate(itertools.pairwise(kept))
            if (ratio := _ratio(before, after, figures)) is not None and not past(ratio)
        ]
        if not alike:
            return kept
        _, place = min(alike)
        kept[place : place + 2] = [kept[place] + kept[place + 1]]


def _ratio(before: Level, after: Level, figures: Sequence[float]) -> float | None:
    """The later level's median over the earlier one's; None if it comes from 0 or falls to it."""
    low, high = (statistics.median(figures[place] for place in level) for level in (before, after))
    return high / low if low > 0 and high > 0 else (1.0 if low == high else None)


def _spikes(levels: Sequence[Level], figures: Sequence[float], past: Past) -> list[int]:
    """The levels of one run that lie above or below both their neighbours."""
    found = []
    for before, level, after in zip(levels, levels[1:], levels[2:], strict=False):
        low, middle, high = (statistics.median(figures[p] for p in one) for one in (before, level, after))
        if len(level) == 1 and not min(low, high) <= middle <= max(low, high):
            found.append(level[0])
    return found


def _distance(place: int, levels: Sequence[Level], logs: Sequence[float]) -> float:
    """How far a spike lies from the nearer of its neighbours."""
    at = levels.index((place,))
    sides = (statistics.median(logs[p] for p in levels[other]) for other in (at - 1, at + 1))
    return min(abs(logs[place] - side) for side in sides)


def _is_line(levels: Sequence[Level], logs: Sequence[float]) -> bool:
    """Whether a straight line describes neighbouring levels clearly better than they do."""
    places = [place for level in levels for place in level]
    if len(places) < LEAST_FOR_DRIFT:
        return False
    flat = math.fsum(_scatter([logs[place] for place in level]) for level in levels)
    values = [logs[place] for place in places]
    centre = statistics.fmean(places)
    line = _scatter(values) - _slope(places, logs) ** 2 * math.fsum((place - centre) ** 2 for place in places)
    return line < CLEARLY * flat - 1e-12


def _rise(places: Level, logs: Sequence[float]) -> float:
    """The ratio of the ends of the straight line through a level."""
    return math.exp(_slope(places, logs) * (places[-1] - places[0]))


def _slope(places: Sequence[int], logs: Sequence[float]) -> float:
    """That of the least-squares line."""
    centre, middle = statistics.fmean(places), statistics.fmean(logs[place] for place in places)
    covariance = math.fsum((place - centre) * (logs[place] - middle) for place in places)
    return covariance / math.fsum((place - centre) ** 2 for place in places)


def _scatter(values: Sequence[float]) -> float:
    """The squared distances from the mean."""
    mean = statistics.fmean(values)
    return math.fsum((value - mean) ** 2 for value in values)
