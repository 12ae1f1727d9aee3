"""How a cost grows with a size: metric = a + b·N^p, fitted to the repeats of several sizes.

A slope between two points of a log–log chart misleads, because time and memory carry a part that does not grow
(buffers, dispatch, the program itself). The offset a takes that part, so that p is the exponent of what does grow.
Below four sizes three numbers cannot be told from data; then the slopes between neighbouring sizes are given, named as
such.

numpy and scipy are imported where they compute: importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.least_squares import HIGHEST, LOWEST, resampled, solve, sums

if TYPE_CHECKING:
    from reports.least_squares import Floats, Sums

SIZES_FOR_A_FIT = 4
SIZES_FOR_A_FORM = 5
REPEATS_FOR_AN_INTERVAL = 5
CONSTANT_WITHIN = 0.05
"""A metric whose medians lie within this share of each other does not grow."""
NEVER_CONSTANT = 2.0
"""One whose medians lie further apart does."""
MOST_APART = 1e12
"""Sizes, or values, that are further apart than this factor are not of one curve, and their powers would overflow."""
ALPHA = 0.05
"""The level of the tests of whether it does."""
WORST_ERROR = 0.5
"""A fit that is further off than this, in the root mean square of relative residuals, is none."""
FORM_WITHIN = 0.25
"""A form whose exponent is further than this from the fitted one is not named: the metric follows neither."""

_ROUNDING = 1e-3
"""How far the exponent of values without noise may be off."""
_EXACT = 1e-4
"""Relative errors below this are rounding: they tell no two forms apart."""


@dataclass(frozen=True, slots=True)
class Fit:
    """metric(N) = offset + scale·N^exponent, with offset ≥ 0 and scale > 0, in the unit of the metric.

    A metric that does not grow has offset 0 and exponent 0; its scale is the value. One that falls has a negative
    exponent.
    """

    offset: float
    scale: float
    exponent: float
    low: float | None
    """Lower end of the 95 % bootstrap interval of the exponent; None below five repeats at any size."""
    high: float | None
    form: str
    """`linear` or `quadratic`, whichever AIC prefers; empty below five sizes or where the exponent is near neither."""
    sizes: tuple[int, ...]
    """The sizes that were fitted, ascending."""
    error: float = 0.0
    """Root mean square of the relative residuals, over all repeats."""
    draws: tuple[tuple[float, float, float], ...] = field(default=(), repr=False)
    """Offset, scale and exponent of every bootstrap sample; empty where there is no interval."""

    def at(self, size: float) -> float:
        """The metric at `size`; beyond the fitted sizes that is an extrapolation."""
        return self.offset + self.scale * math.pow(size, self.exponent)

    def band(self, sizes: Sequence[float]) -> tuple[list[float], list[float]] | None:
        """Lower and upper ends of the 95 % pointwise bootstrap band at each of `sizes`; None without an interval."""
        if not self.draws:
            return None
        import numpy as np

        offset, scale, exponent = (np.array(column)[:, None] for column in zip(*self.draws, strict=True))
        low, high = np.percentile(offset + scale * np.array(sizes, float) ** exponent, (2.5, 97.5), axis=0)
        return low.tolist(), high.tolist()

    def size_where(self, value: float) -> float | None:
        """The size at which the fit has `value`, an extrapolation as a rule; None where it never has."""
        ratio = (value - self.offset) / self.scale
        if self.exponent == 0 or ratio <= 0:
            return None
        try:
            return math.exp(math.log(ratio) / self.exponent)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Slopes:
    """Log–log slopes between the medians of neighbouring sizes, where there are too few sizes for a fit."""

    sizes: tuple[int, ...]
    slopes: tuple[float, ...]
    """One fewer than there are sizes. An offset makes them smaller than the exponent of what grows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be said of how a metric grows, and what is missing."""

    reason: str


def fit_curve(values: Mapping[int, Sequence[float]]) -> Fit | Slopes | Refusal:
    """How a metric grows with a size.

    From four sizes on a fit by relative least squares: the sum of ((y − a − b·N^p)/y)² over all repeats is smallest.
    From five repeats at every size on it has 95 % percentile bootstrap intervals: repeats are drawn anew within their
    size, their logarithms spread by √(r/(r−1)) about the mean, because r repeats vary less about their own mean than
    about the true one. They cover the noise of repeats, not that the metric may follow another law.
    From five sizes on the form is that of a + b·N and a + b·N² which has the smaller AIC (Akaike, IEEE Transactions on
    Automatic Control 19, 1974); it is named where the fitted exponent is near it.

    A metric is called constant where its medians lie within 5 %, or within a factor of three and neither the fit
    nor a power law without an offset is better than a constant by an F test at 5 %.
    The same values always give the same result.

    Args:
        values: positive sizes to the values of their repeats, in any unit. Sizes without values do not count.
    """
    measured = {size: list(map(float, values[size])) for size in sorted(values) if len(values[size])}
    for size, repeats in measured.items():
        wrong = next((value for value in repeats if not (math.isfinite(value) and value > 0)), None)
        if wrong is not None or size <= 0:
            return Refusal(f"{size if wrong is None else wrong:g} at size {size}: only values above 0 can be fitted")
    for what, numbers in (("sizes", list(measured)), ("values", [y for repeats in measured.values() for y in repeats])):
        if numbers and max(numbers) / MOST_APART > min(numbers):
            return Refusal(f"the {what} {min(numbers):.3g} and {max(numbers):.3g} lie too far apart")
    if len(measured) < 2:
        return Refusal(f"{'one size only' if measured else 'no size was measured'}: 2 or more are needed")
    return _fit(measured) if len(measured) >= SIZES_FOR_A_FIT else _slopes(measured)


def _slopes(measured: Mapping[int, Sequence[float]]) -> Slopes:
    import statistics

    sizes = tuple(measured)
    medians = [statistics.median(measured[size]) for size in sizes]
    slopes = (
        math.log(medians[place + 1] / medians[place]) / math.log(sizes[place + 1] / sizes[place])
        for place in range(len(sizes) - 1)
    )
    return Slopes(sizes, tuple(slopes))


def _fit(measured: Mapping[int, Sequence[float]]) -> Fit | Refusal:
    import numpy as np

    sizes = tuple(measured)
    middle = math.exp(sum(map(math.log, sizes)) / len(sizes))
    # Sizes are counted in their geometric mean and values in theirs: powers stay near 1 and nothing overflows.
    scaled = np.array(sizes, float) / middle
    unit = math.exp(sum(float(np.mean(np.log(repeats))) for repeats in measured.values()) / len(sizes))
    samples = [np.array(repeats) / unit for repeats in measured.values()]
    known = sums(samples)
    count = sum(len(repeats) for repeats in samples)
    offset, scale, exponent, rest = (float(part[0]) for part in solve(scaled, *known))

    is_constant = _is_constant(samples, scaled, known, rest)
    if is_constant:
        offset, scale, exponent, rest = (float(part[0]) for part in solve(scaled, *known, powers=(0.0, 0.0)))
    too_steep = not LOWEST - _ROUNDING <= exponent <= HIGHEST + _ROUNDING
    if too_steep or math.sqrt(rest / count) > WORST_ERROR:
        return Refusal(f"no a + b·N^p with p from {LOWEST:g} to {HIGHEST:g} comes near the values")

    def back(parts: Sequence[Floats]) -> list[tuple[float, float, float]]:
        """Offsets, scales and exponents in the metric's own unit and in sizes as they are."""
        offsets, scales, exponents = parts[:3]
        return list(
            zip(
                (offsets * unit).tolist(), (scales * unit / middle**exponents).tolist(), exponents.tolist(), strict=True
            )
        )

    draws: list[tuple[float, float, float]] = []
    if min(map(len, samples)) >= REPEATS_FOR_AN_INTERVAL:
        draws = back(solve(scaled, *resampled(samples), offsets=not is_constant))
    low, high = np.percentile([draw[2] for draw in draws], (2.5, 97.5)).tolist() if draws else (None, None)
    ((offset, scale, exponent),) = back([np.array([part]) for part in (offset, scale, exponent)])
    form = "" if is_constant else _form(scaled, known, count, exponent)
    return Fit(offset, scale, exponent, low, high, form, sizes, math.sqrt(rest / count), tuple(draws))


def _is_constant(samples: Sequence[Floats], x: Floats, known: Sums, fitted: float) -> bool:
    import numpy as np
    from scipy.special import fdtrc

    medians = [float(np.median(repeats)) for repeats in samples]
    if max(medians) / min(medians) - 1 < CONSTANT_WITHIN:
        return True
    if max(medians) / min(medians) - 1 > NEVER_CONSTANT:
        return False  # too few sizes to be sure of a curve are no reason to call this a constant
    count = int(np.sum(known[0]))
    constant = float(solve(x, *known, powers=(0.0, 0.0))[3][0])
    power_law = float(solve(x, *known, offsets=False)[3][0])
    for rest, more in ((power_law, 1), (fitted, 2)):
        left = count - 1 - more
        ratio = (constant - rest) / more / ((rest + count * _EXACT**2) / left)
        if fdtrc(more, left, max(ratio, 0.0)) < ALPHA:
            return False
    return True


def _form(x: Floats, known: Sums, count: int, exponent: float) -> str:
    """`linear`, `quadratic`, or nothing where there are too few sizes or the exponent is far from both."""
    if len(x) < SIZES_FOR_A_FORM:
        return ""

    def aic(power: float) -> float:
        rest = float(solve(x, *known, powers=(power, power))[3][0])
        return count * math.log(rest / count + _EXACT**2) + 2 * 3

    form, power = min((("linear", 1.0), ("quadratic", 2.0)), key=lambda one: aic(one[1]))
    return form if abs(exponent - power) <= FORM_WITHIN else ""
