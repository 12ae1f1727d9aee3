"""How a cost grows with a size: metric = a + b·N^p, fitted to the repeats of several sizes.

A slope between two points of a log–log chart misleads, because time and memory carry a part that does not grow
(buffers, dispatch, the program itself). The offset a takes that part, so that p is the exponent of what does grow.
Below four sizes three numbers cannot be told from data; then the slopes between neighbouring sizes are given, named as
such. So they are where several laws meet in a kink (reports/growth/kinks.py) and too few sizes lie beyond it.

numpy and scipy are imported where they compute: importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.growth.kinks import EXACT, is_bent, is_one_law, is_one_polynomial, local_exponents
from reports.growth.least_squares import HIGHEST, LOWEST, polynomial, resampled, solve, sums

if TYPE_CHECKING:
    from reports.growth.least_squares import Floats, Sums

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

EXACT_WITHIN = 0.01
"""A fit of figures without noise that is further off than this is of no one law."""
EXACT_FORM_WITHIN = 0.15
"""The same as `FORM_WITHIN` for the three largest sizes of such figures."""

_FORMS = {"linear": 1.0, "quadratic": 2.0}
_ROUNDING = 1e-3
"""How far the exponent of values without noise may be off."""


@dataclass(frozen=True, slots=True)
class Fit:
    """metric(N) = offset + linear_scale·N + scale·N^exponent, with offset ≥ 0 and scale > 0, in the unit of the metric.

    A metric that does not grow has offset 0 and exponent 0; its scale is the value. One that falls has a negative
    exponent. Only a polynomial, whose exponent is 2, has a linear_scale.
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
    """The sizes that were fitted, ascending; without the smallest ones where those follow another law."""
    error: float = 0.0
    """Root mean square of the relative residuals, over all repeats."""
    linear_scale: float = 0.0
    """Above 0 where a part grows in proportion to the size beside one that grows as its square."""
    draws: tuple[tuple[float, float, float], ...] = field(default=(), repr=False)
    """Offset, scale and exponent of every bootstrap sample; empty where there is no interval."""

    def at(self, size: float) -> float:
        """The metric at `size`; beyond the fitted sizes that is an extrapolation."""
        return self.offset + self.linear_scale * size + self.scale * math.pow(size, self.exponent)

    def slope_at(self, size: float) -> float:
        """What one more of the size adds there, in the unit of the metric."""
        return self.linear_scale + self.scale * self.exponent * math.pow(size, self.exponent - 1)

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
        if self.linear_scale:
            half = self.linear_scale / self.scale / 2
            return math.sqrt(half**2 + ratio) - half
        try:
            return math.exp(math.log(ratio) / self.exponent)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Slopes:
    """Log–log slopes between the medians of neighbouring sizes, where there is no fit."""

    sizes: tuple[int, ...]
    slopes: tuple[float, ...]
    """One fewer than there are sizes. An offset makes them smaller than the exponent of what grows."""
    reason: str
    """Why there is no fit."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be said of how a metric grows, and what is missing."""

    reason: str


def fit_curve(values: Mapping[int, Sequence[float]], *, exact: bool = False) -> Fit | Slopes | Refusal:
    """How a metric grows with a size.

    From four sizes on a fit by relative least squares: the sum of ((y − a − b·N^p)/y)² over all repeats is smallest.
    From five repeats at every size on it has 95 % percentile bootstrap intervals: repeats are drawn anew within their
    size, their logarithms spread by √(r/(r−1)) about the mean, because r repeats vary less about their own mean than
    about the true one. They cover the noise of repeats, not that the metric may follow another law.
    From five sizes on the form is that of a + b·N and a + b·N² which has the smaller AIC (Akaike, IEEE Transactions on
    Automatic Control 19, 1974); it is named where the exponent is near it: the fitted one, and of figures without noise
    that of the three largest sizes too.

    A fit is of one law. Where all sizes follow none, as few of the smallest are left out as it takes; where fewer than
    four are left (of samples five), there are the slopes between neighbours. Figures without noise follow one law where
    the fit is within 1 % and the exponents of every three neighbouring sizes are within 0.1 of its own. Where that
    exponent is between 1 and 2, a + b·N + c·N² is taken if it is nearer and c is the same within a quarter at every
    three neighbours. Samples follow one law unless they may as well be a plateau with a kink, at which a + b·N or
    a + b·N² begins that is less steep than the fit.

    A metric is called constant where its medians lie within 5 %. A sampled one also is where they lie within a factor
    of three and neither the fit nor a power law without an offset is better than a constant by an F test at 5 %.
    The same values always give the same result.

    Args:
        values: positive sizes to the values of their repeats, in any unit. Sizes without values do not count.
        exact: whether the figures have no noise. They are also taken to have none where all repeats agree.
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
    if len(measured) < SIZES_FOR_A_FIT:
        return _slopes(measured, f"a fit needs {SIZES_FOR_A_FIT} sizes")
    return _fit(measured, exact=exact or _agree(measured))


def _agree(measured: Mapping[int, Sequence[float]]) -> bool:
    """Whether every size was repeated and its repeats are the same but for rounding."""
    return all(len(repeats) > 1 and max(repeats) / min(repeats) - 1 < EXACT for repeats in measured.values())


def _fit(measured: Mapping[int, Sequence[float]], *, exact: bool) -> Fit | Slopes | Refusal:
    sizes = tuple(measured)
    all_sizes = _Solved(measured, exact=exact)
    if not (all_sizes.is_near or exact):
        return Refusal(f"no a + b·N^p with p from {LOWEST:g} to {HIGHEST:g} comes near the values")
    if all_sizes.is_near and all_sizes.is_one_law:
        return all_sizes.fit()
    for first in range(1, len(sizes) - (SIZES_FOR_A_FIT if exact else SIZES_FOR_A_FORM) + 1):
        left = _Solved({size: measured[size] for size in sizes[first:]}, exact=exact)
        if left.is_near and left.is_one_law and (exact or not left.is_constant):
            return left.fit()
    nearest = f": the nearest is {100 * all_sizes.error:.2g}% off" if all_sizes.is_near else ""
    return _slopes(
        measured, f"no single a + b·N^p{nearest}" if exact else "a plateau with a kink is as near as a + b·N^p"
    )


def _slopes(measured: Mapping[int, Sequence[float]], reason: str) -> Slopes:
    import statistics

    sizes = tuple(measured)
    medians = [statistics.median(measured[size]) for size in sizes]
    slopes = (
        math.log(medians[place + 1] / medians[place]) / math.log(sizes[place + 1] / sizes[place])
        for place in range(len(sizes) - 1)
    )
    return Slopes(sizes, tuple(slopes), reason)


class _Solved:
    """The best a + b·N^p, or constant, of all repeats of some sizes.

    Sizes are counted in their geometric mean and values in theirs: powers stay near 1 and nothing overflows.
    """

    def __init__(self, measured: Mapping[int, Sequence[float]], *, exact: bool) -> None:
        import numpy as np

        self._sizes, self._exact = tuple(measured), exact
        self._middle = math.exp(sum(map(math.log, self._sizes)) / len(self._sizes))
        self._x = np.array(self._sizes, float) / self._middle
        self._unit = math.exp(sum(float(np.mean(np.log(repeats))) for repeats in measured.values()) / len(self._sizes))
        self._samples = [np.array(repeats) / self._unit for repeats in measured.values()]
        self._known = sums(self._samples)
        self._count = sum(map(len, self._samples))
        self._parts = solve(self._x, *self._known)
        self.is_constant = _is_constant(self._samples, self._x, self._known, float(self._parts[3][0]), exact=exact)
        if self.is_constant:
            self._parts = solve(self._x, *self._known, powers=(0.0, 0.0))
        self._exponent, self._rest = float(self._parts[2][0]), float(self._parts[3][0])
        self._polynomial = self._nearer_polynomial() if exact else None
        if self._polynomial is not None:
            self._rest = self._polynomial[1]
        self.error: float = math.sqrt(self._rest / self._count)
        """Root mean square of the relative residuals."""

    @property
    def is_near(self) -> bool:
        """Whether the exponent is one that a fit may have, and the values are near the fit."""
        return LOWEST - _ROUNDING <= self._exponent <= HIGHEST + _ROUNDING and self.error <= WORST_ERROR

    @property
    def is_one_law(self) -> bool:
        """Whether nothing says that the sizes follow several laws that meet in a kink."""
        if self.is_constant:
            return True
        if self._polynomial is not None:
            return self.error <= EXACT_WITHIN
        if self._exact:
            exponents = local_exponents(self._x, self._samples)
            return self.error <= EXACT_WITHIN and is_one_law(exponents, self._exponent)
        return not any(
            is_bent(self._x, self._known, power, self._rest, unlike=self._exponent > power + FORM_WITHIN)
            for power in _FORMS.values()
            if self._exponent > power
        )

    def fit(self) -> Fit:
        """The same in sizes as they are and in the metric's own unit, with form and interval."""
        import numpy as np

        if self._polynomial is not None:
            return self._polynomial_fit(self._polynomial[0])
        draws: list[tuple[float, float, float]] = []
        if min(map(len, self._samples)) >= REPEATS_FOR_AN_INTERVAL:
            draws = self._back(solve(self._x, *resampled(self._samples), offsets=not self.is_constant))
        low, high = np.percentile([draw[2] for draw in draws], (2.5, 97.5)).tolist() if draws else (None, None)
        ((offset, scale, exponent),) = self._back(self._parts)
        form = self._form()
        return Fit(offset, scale, exponent, low, high, form, self._sizes, self.error, draws=tuple(draws))

    def _nearer_polynomial(self) -> tuple[Floats, float] | None:
        """Factors and sum of squares of a + b·N + c·N² where its sizes follow it, and it is nearer than a power law."""
        if not 1 + EXACT_FORM_WITHIN < self._exponent < 2:
            return None
        found = polynomial(self._x, self._samples)
        if found is None or found[1] > self._rest or not is_one_polynomial(self._x, self._samples, found[0][2]):
            return None
        return found

    def _polynomial_fit(self, factors: Floats) -> Fit:
        import numpy as np

        offset, linear, square = (factors * self._unit / self._middle ** np.arange(3)).tolist()
        form = "quadratic" if len(self._sizes) >= SIZES_FOR_A_FORM else ""
        return Fit(offset, square, 2.0, None, None, form, self._sizes, self.error, linear)

    def _back(self, parts: Sequence[Floats]) -> list[tuple[float, float, float]]:
        offsets, scales, exponents = parts[:3]
        offsets, scales = offsets * self._unit, scales * self._unit / self._middle**exponents
        return list(zip(offsets.tolist(), scales.tolist(), exponents.tolist(), strict=True))

    def _form(self) -> str:
        """`linear`, `quadratic`, or nothing where there are too few sizes or the exponent is far from both."""
        if self.is_constant or len(self._sizes) < SIZES_FOR_A_FORM:
            return ""

        def aic(form: str) -> float:
            rest = float(solve(self._x, *self._known, powers=(_FORMS[form], _FORMS[form]))[3][0])
            return self._count * math.log(rest / self._count + EXACT**2) + 2 * 3

        form = min(_FORMS, key=aic)
        if abs(self._exponent - _FORMS[form]) > FORM_WITHIN:
            return ""
        last = local_exponents(self._x, self._samples)[-1:] if self._exact else []
        return form if all(abs(exponent - _FORMS[form]) <= EXACT_FORM_WITHIN for exponent in last) else ""


def _is_constant(samples: Sequence[Floats], x: Floats, known: Sums, fitted: float, *, exact: bool) -> bool:
    import numpy as np
    from scipy.special import fdtrc

    medians = [float(np.median(repeats)) for repeats in samples]
    if max(medians) / min(medians) - 1 < CONSTANT_WITHIN:
        return True
    if exact or max(medians) / min(medians) - 1 > NEVER_CONSTANT:
        return False  # too few sizes to be sure of a curve are no reason to call this a constant
    count = int(np.sum(known[0]))
    constant = float(solve(x, *known, powers=(0.0, 0.0))[3][0])
    power_law = float(solve(x, *known, offsets=False)[3][0])
    for rest, more in ((power_law, 1), (fitted, 2)):
        left = count - 1 - more
        ratio = (constant - rest) / more / ((rest + count * EXACT**2) / left)
        if fdtrc(more, left, max(ratio, 0.0)) < ALPHA:
            return False
    return True
