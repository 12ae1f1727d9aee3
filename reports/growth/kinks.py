"""Whether the values of several sizes follow one law a + b·N^p, or several that meet in a kink.

XLA's plan of a program is the maximum over several moments, and each moment has its own law. The plan is therefore
often a plateau up to a kink and a line beyond it. A single power law bends through the kink with a meaningless
exponent, and extrapolating it is wrong by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.growth.least_squares import bent, solve, sums

if TYPE_CHECKING:
    from reports.growth.least_squares import Floats, Sums

SAME_EXPONENT = 0.1
"""How far the exponent of three neighbouring sizes may be from that of all sizes under a single law."""
SAME_SQUARE = 0.25
"""The same for the coefficient of N² in a polynomial, as a fraction of it."""
CLEARLY = 3.0
"""A sum of squares this many times as large as another is clearly worse."""
EXACT = 1e-4
"""Relative errors below this are rounding and do not distinguish laws."""
FLAT = 1e-3
"""Three values within this fraction of each other do not determine an exponent."""


def local_exponents(x: Floats, samples: Sequence[Floats]) -> list[float]:
    """The exponents of a + b·N^p through every three neighbouring sizes; plateaus are skipped.

    Three values determine a, b and p: if sizes have a constant ratio r, p = log((y₃ − y₂)/(y₂ − y₁)) / log r. Under a
    single law all are equal, whatever a is. Only for noiseless values.

    Args:
        x: sizes, ascending.
        samples: the repeats of every size.
    """
    found = []
    for place in range(len(x) - 2):
        three = samples[place : place + 3]
        means = [float(repeats.mean()) for repeats in three]
        if max(means) / min(means) - 1 > FLAT:
            # `solve` needs sizes close to 1.
            found.append(float(solve(x[place : place + 3] / x[place + 1], *sums(three))[2][0]))
    return found


def is_one_law(exponents: Sequence[float], exponent: float) -> bool:
    """Whether all `local_exponents` are close to that of the fit to all sizes."""
    return all(abs(local - exponent) <= SAME_EXPONENT for local in exponents)


def is_one_polynomial(x: Floats, samples: Sequence[Floats], square: float) -> bool:
    """Whether the second divided difference of every three neighbouring sizes is close to `square`.

    For a + b·N + c·N² each is c: ((y₃ − y₂)/(x₃ − x₂) − (y₂ − y₁)/(x₂ − x₁)) / (x₃ − x₁).

    Args:
        x: sizes, ascending.
        samples: the repeats of every size.
        square: c of the fit to all sizes.
    """
    means = [float(repeats.mean()) for repeats in samples]
    slopes = [(means[place + 1] - means[place]) / (x[place + 1] - x[place]) for place in range(len(x) - 1)]
    squares = ((slopes[place + 1] - slopes[place]) / (x[place + 2] - x[place]) for place in range(len(x) - 2))
    return all(abs(local / square - 1) <= SAME_SQUARE for local in squares)


def is_bent(x: Floats, known: Sums, power: float, rest: float, *, unlike: bool) -> bool:
    """Whether a plateau that bends into a + b·N^power explains samples better than a + b·N^p with a larger p.

    Both have three parameters, so their sums of squares compare directly, as under AIC. A bend is certain if its sum is
    a third as large. If the fitted exponent differs from `power`, a bend is assumed unless its sum is three times as
    large, because the two laws differ by orders of magnitude beyond the measured sizes.

    Args:
        x: sizes, ascending.
        known: `sums` of their repeats, one row.
        power: the exponent beyond the bend.
        rest: the sum of squares of a + b·N^p.
        unlike: whether p is too far from `power` for the fit to be named after it.
    """
    rounding = float(known[0].sum()) * EXACT**2
    return bent(x, *known, power) + rounding < (rest + rounding) * (CLEARLY if unlike else 1 / CLEARLY)
