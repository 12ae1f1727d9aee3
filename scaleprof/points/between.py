"""Sizes between those that a sweep measures: enough of them that a law of memory stands on seven."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Sequence

from scaleprof.errors import UserError
from scaleprof.points.axes import Axis
from scaleprof.points.grid import Grid, Value
from scaleprof.points.point import Point

SIZES = 7
"""Sizes along an axis that the measured and the planned ones make together."""
ALONG = ("agents", "seq_len")
"""The axes that are filled, if they have several values."""
ONCE = ("seed", "repeats")
"""Axes that a plan does not depend on: it is made for their first value."""


def points_between(grid: Grid) -> tuple[Point, ...]:
    """The points between those of `grid`: along each axis of `ALONG` with several sizes, at the sizes of the other.

    Raises `UserError` where no axis has two sizes with room between them.
    """
    given = {axis.name: [int(value) for value in values if value] for axis, values in grid.values if axis.name in ALONG}
    added = {name: sizes_between(sizes) for name, sizes in given.items()}
    if not any(added.values()):
        raise UserError(
            "--plan-between: there is no size between those given: give at least two agent counts (--agents 16,1024) "
            "or sequence lengths (--seq-len 16,256)"
        )
    points: list[Point] = []
    for name, sizes in added.items():
        if sizes:
            values = tuple((axis, _values(axis, chosen, name, sizes)) for axis, chosen in grid.values)
            points += dataclasses.replace(grid, values=values).points()
    return tuple(points)


def sizes_between(sizes: Collection[int], most: int = SIZES) -> list[int]:
    """The sizes to add so that there are `most`, each where the ratio of its neighbours is largest; ascending.

    Between two given sizes they are spaced evenly on a logarithmic scale: 16, 128, 1024 become 16, 32, 64, …, 1024.
    """
    known = sorted(set(sizes))
    gaps = list(itertools.pairwise(known))
    parts = [1] * len(gaps)

    def ratio(gap: int) -> float:
        """The ratio of neighbours in a gap, rounded so that equal ones are equal; 0 if no whole number is between."""
        low, high = gaps[gap]
        return round((high / low) ** (1 / parts[gap]), 9) if parts[gap] < high - low else 0.0

    while gaps and len(known) + sum(parts) - len(parts) < most:
        widest = max(range(len(gaps)), key=ratio)
        if not ratio(widest):
            break
        parts[widest] += 1
    found = {
        round(math.exp(math.log(low) + part * math.log(high / low) / count))
        for (low, high), count in zip(gaps, parts, strict=True)
        for part in range(1, count)
    }
    return sorted(found - set(known))


def _values(axis: Axis, chosen: Sequence[Value], name: str, sizes: Sequence[int]) -> Sequence[Value]:
    if axis.name == name:
        return sizes
    return chosen[:1] if axis.name in ONCE else chosen
