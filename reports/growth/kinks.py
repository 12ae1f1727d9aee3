"""Whether values of several sizes follow one law a + b·N^p, or several that meet in a kink.

XLA's plan of a program is the largest of what it holds at several moments. Each of them is a law of its own, so that
the plan is often a plateau up to a kink and a line beyond it. One power law bends through the kink with an exponent
that nothing has, and an extrapolation of it is off by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.growth.least_squares import bent, solve, sums

if TYPE_CHECKING:
    from reports.growth.least_squares import Floats, Sums

SAME_EXPONENT = 0.1
"""Exponents of three neighbouring sizes that are further than this from that of all sizes belong to another law."""
SAME_SQUARE = 0.25
"""The same of the factor of N² in a polynomial, as a share of it."""
CLEARLY = 3.0
"""A sum of squares that is this many times another is clearly larger."""
EXACT = 1e-4
"""Relative errors below this are rounding: they tell no two laws apart."""
FLAT = 1e-3
"""Three values within this share of each other say nothing of an exponent."""


def local_exponents(x: Floats, samples: Sequence[Floats]) -> list[float]:
    """The exponents of a + b·N^p through every three neighbouring sizes, where the metric changes there.

    Three values determine a, b and p: with equal ratios r of the sizes, p = log((y₃ − y₂)/(y₂ − y₁)) / log r. Along one
    law all are equal, whatever a is. They are of use for values without noise only.

    Args:
        x: sizes, ascending.
        samples: the repeats of every size.
    """
    found = []
    for place in range(len(x) - 2):
        three = samples[place : place + 3]
        means = [float(repeats.mean()) for repeats in three]
        if max(means) / min(means) - 1 > FLAT:
            # Sizes near 1, as `solve` wants them.
            found.append(float(solve(x[place : place + 3] / x[place + 1], *sums(three))[2][0]))
    return found


def is_one_law(exponents: Sequence[float], exponent: float) -> bool:
    """Whether all `local_exponents` are near that of the fit to all sizes."""
    return all(abs(local - exponent) <= SAME_EXPONENT for local in exponents)


def is_one_polynomial(x: Floats, samples: Sequence[Floats], square: float) -> bool:
    """Whether the second divided difference of every three neighbouring sizes is near that of all, `square`.

    Along a + b·N + c·N² each is c: ((y₃ − y₂)/(x₃ − x₂) − (y₂ − y₁)/(x₂ − x₁)) / (x₃ − x₁). Arguments as those of
    `local_exponents`.
    """
    means = [float(repeats.mean()) for repeats in samples]
    slopes = [(means[place + 1] - means[place]) / (x[place + 1] - x[place]) for place in range(len(x) - 1)]
    squares = ((slopes[place + 1] - slopes[place]) / (x[place + 2] - x[place]) for place in range(len(x) - 2))
    return all(abs(local / square - 1) <= SAME_SQUARE for local in squares)


def is_bent(x: Floats, known: Sums, power: float, rest: float, *, unlike: bool) -> bool:
    """Whether sampled values are rather a plateau that bends into a + b·N^power than a + b·N^p with a larger p.

    Both have three free numbers, so that their sums of squares can be compared as they are, as AIC would. What is shown
    by a sum a third as large is sure. Where the fitted exponent is unlike `power`, a bend is feared unless its sum is
    three times as large: the two laws differ by orders of magnitude beyond the sizes.

    Args:
        x: sizes, ascending.
        known: `sums` of their repeats, one row.
        power: that of what grows beyond the bend.
        rest: the sum of squares of a + b·N^p.
        unlike: whether p is so far from `power` that the fit would not be called by its name.
    """
    rounding = float(known[0].sum()) * EXACT**2
    return bent(x, *known, power) + rounding < (rest + rounding) * (CLEARLY if unlike else 1 / CLEARLY)
