"""The largest size that fits: fit small sizes, then compile the two neighbours of the answer.

What a program needs is a polynomial of second degree in the number of agents, timesteps, environments or channels, but
for padding. Three sizes give the polynomial; it is moved through the last known point before each further guess, so
that padding matters little. Where the guesses miss, the gap between a size that fits and one that does not is halved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_COMPILATIONS = 6
"""Sizes that are compiled for one curve at most."""
_FIRST = (32, 128)
"""The sizes that are compiled first, in steps of the axis, where they are allowed."""

_LINEAR_BELOW = 1.15
"""The exponent between two sizes below which they are taken to lie on a line."""

Need = Callable[[int, bool], int | None]
"""A size → the bytes that it needs, None if that could not be found; the flag says whether it is only to be fitted."""


@dataclass
class Frontier:
    """What is known of one curve: which sizes fit a memory."""

    budget: int
    """The memory in bytes."""
    least: int
    most: int
    """The smallest and the largest size that are allowed; both are multiples of `step`, and included."""
    step: int = 1
    known: dict[int, int] = field(default_factory=dict)
    """Bytes that each compiled size needs."""
    failed: int | None = None
    """The smallest size of which the need could not be found."""

    @property
    def fits(self) -> int | None:
        """The largest size that is known to fit."""
        return max((size for size, need in self.known.items() if need <= self.budget), default=None)

    @property
    def too_large(self) -> int | None:
        """The smallest size that is known not to fit."""
        return min((size for size, need in self.known.items() if need > self.budget), default=None)

    @property
    def is_exact(self) -> bool:
        """Whether the next size after the one that fits is known not to fit, or not allowed."""
        if self.fits is None:
            return self.too_large == self.least
        return self.fits == self.most or self.too_large == self.fits + self.step

    def guess(self) -> int:
        """The next size to compile: the predicted answer, or its neighbour, between what is known."""
        low = self.least - self.step if self.fits is None else self.fits
        high = self.most + self.step if self.too_large is None else self.too_large
        wanted = self._rounded(self._predicted())
        if low < wanted < high:
            return wanted
        return low + self.step if wanted <= low else high - self.step

    def _rounded(self, size: float) -> int:
        steps = math.floor(min(max(size, 0.0), float(self.most)) / self.step)
        return max(self.least, steps * self.step)

    def _predicted(self) -> float:
        """The size that needs the budget, by the polynomial through the three sizes whose needs are nearest to it.

        At first, sizes that lie nearly on a line are far from the answer: their curvature is mostly padding.
        """
        sizes = sorted(self.known)
        if len(sizes) < 3:
            return self._by_power_law(sizes)
        ranked = sorted(sizes, key=lambda size: abs(self.known[size] - self.budget))
        apart = {self.known[size]: size for size in reversed(ranked)}  # padding gives neighbours equal needs
        if len(apart) < 3:
            return float(self.most)
        near, other, third = sorted(apart.values(), key=ranked.index)[:3]
        gap = self.budget - self.known[near]
        slope = (self.known[near] - self.known[other]) / (near - other)
        square = (slope - (self.known[other] - self.known[third]) / (other - third)) / (near - third)
        steep = _exponent((near, self.known[near]), (other, self.known[other])) >= _LINEAR_BELOW
        if square > 0 and (steep or len(sizes) > 3):
            here = slope + square * (near - other)  # the polynomial's slope at the nearest size
            inside = here**2 + 4 * square * gap
            return near if inside < 0 else near + (math.sqrt(inside) - here) / (2 * square)
        return near + gap / slope if slope > 0 else float(self.most)

    def _by_power_law(self, sizes: list[int]) -> float:
        """Halfway, on a logarithmic scale, to where the law through two sizes needs the budget."""
        small, large = sizes
        exponent = _exponent((small, self.known[small]), (large, self.known[large]))
        end = large * (self.budget / self.known[large]) ** (1 / max(exponent, 0.5))
        return math.sqrt(large * end) if end > large else end


def _exponent(one: tuple[int, int], other: tuple[int, int]) -> float:
    """The exponent of the power law through two sizes and their needs."""
    return math.log(other[1] / one[1]) / math.log(other[0] / one[0]) if min(one[1], other[1]) > 0 else 1.0


def search(found: Frontier, need: Need) -> Frontier:
    """Compile sizes until the answer is exact, or `MOST_COMPILATIONS` sizes are known; `found` is filled and returned.

    It ends early where the need of a size cannot be found.
    """
    for multiple in _FIRST:
        size = min(max(multiple * found.step, found.least), found.most)
        if size not in found.known and not _compile(found, need, size, fitting=True):
            return found
        if found.known[size] > found.budget:
            break
    if len(found.known) == 1 and not found.is_exact:
        size = next(iter(found.known))
        other = max(found.least, found._rounded(size / 4))
        if other not in found.known and not _compile(found, need, other, fitting=True):
            return found
    while not found.is_exact and len(found.known) < MOST_COMPILATIONS:
        if not _compile(found, need, found.guess(), fitting=len(found.known) < 3):
            break
    return found


def _compile(found: Frontier, need: Need, size: int, *, fitting: bool) -> bool:
    needed = need(size, fitting)
    if needed is None:
        found.failed = size
        return False
    found.known[size] = needed
    return True
