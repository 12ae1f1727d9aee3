"""Fits the growth of a cost with a size: metric = a + b·N^p, over the repeats of several sizes.

The slope between two points of a log–log chart misleads, because time and memory have a constant part (buffers,
dispatch, the program itself). The offset a takes that part, so that p is the exponent of the rest. Three parameters
need at least four sizes; with fewer there are only local slopes between neighbouring sizes. The same holds if several
laws meet in a kink (`reports.growth.kinks`) and too few sizes lie beyond it.

numpy and scipy are imported inside functions, so importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reports.growth.kinks import EXACT, is_bent, is_one_law, is_one_polynomial, local_exponents
from reports.growth.least_squares import HIGHEST, LOWEST, polynomial, resampled, solve, sums
from reports.growth.results import Fit, Refusal, Slopes

if TYPE_CHECKING:
    from reports.growth.least_squares import Floats, Sums

SIZES_FOR_A_FIT = 4
SIZES_FOR_A_FORM = 5
REPEATS_FOR_AN_INTERVAL = 5
CONSTANT_WITHIN = 0.05
"""A metric is constant if its medians lie within this fraction of each other."""
NEVER_CONSTANT = 2.0
"""A metric is not constant if its largest median is further above its smallest than this fraction."""
MOST_APART = 1e12
"""The largest ratio of sizes, or of values, in one curve; beyond it powers would overflow."""
ALPHA = 0.05
"""Significance level of the F tests for growth."""
WORST_ERROR = 0.5
"""The largest accepted RMS of the relative residuals."""
FORM_WITHIN = 0.25
"""A form is named only if the fitted exponent is this close to its own."""

EXACT_WITHIN = 0.01
"""The largest accepted RMS error of a fit to noiseless values; above it they do not follow a single law."""
EXACT_FORM_WITHIN = 0.15
"""`FORM_WITHIN` for the three largest sizes of noiseless values."""

_FORMS = {"linear": 1.0, "quadratic": 2.0}
_ROUNDING = 1e-3
"""Tolerance for the exponent of noiseless values."""


def fit_curve(values: Mapping[int, Sequence[float]], *, exact: bool = False) -> Fit | Slopes | Refusal:
    """Fit the growth of a metric with a size.

    With four sizes or more, relative least squares minimises Σ((y − a − b·N^p)/y)² over all repeats. With five repeats
    or more at every size, p has a 95 % percentile bootstrap interval: repeats are resampled within their size, with
    their logarithms spread by √(r/(r−1)) about the mean, because r repeats vary less about their own mean than about
    the true one. The interval covers the noise of repeats, not the choice of the law.
    With five sizes or more, the form is whichever of a + b·N and a + b·N² has the smaller AIC (Akaike, IEEE
    Transactions on Automatic Control 19, 1974). It is named only if the fitted exponent is close to it; for noiseless
    values the exponent of the three largest sizes must be close as well.

    A fit covers a single law. If not all sizes follow one, the fewest possible of the smallest are left out. If fewer
    than four sizes remain (five for samples), the result is the slopes between neighbours. Noiseless values follow a
    single law if the RMS error is at most 1 % and the exponent of every three neighbouring sizes is within 0.1 of the
    fitted one. If that exponent is between 1 and 2, a + b·N + c·N² is preferred when it fits better and every three
    neighbours give the same c within a quarter. Samples follow a single law unless a plateau followed by a + b·N or
    a + b·N² less steep than the fit explains them equally well.

    A metric is constant if its medians lie within 5 %. A sampled metric is also constant if its medians lie within a
    factor of three and neither the fit nor a power law without an offset beats a constant in an F test at 5 %.
    The result is deterministic.

    Args:
        values: the values of the repeats by size, in any unit; sizes are positive. Sizes without values are ignored.
        exact: whether values are noiseless. They are also treated so if all repeats agree.
    """
    measured = {size: list(map(float, values[size])) for size in sorted(values) if len(values[size])}
    for size, repeats in measured.items():
        wrong = next((value for value in repeats if not (math.isfinite(value) and value > 0)), None)
        if size <= 0:
            return Refusal(f"sizes must be positive, not {size}")
        if wrong is not None:
            return Refusal(f"values must be positive and finite, not {wrong:g} (at size {size})")
    for what, numbers in (("sizes", list(measured)), ("values", [y for repeats in measured.values() for y in repeats])):
        if numbers and max(numbers) / MOST_APART > min(numbers):
            return Refusal(f"the {what} {min(numbers):.3g} and {max(numbers):.3g} are too far apart")
    if len(measured) < 2:
        return Refusal(f"{'only one' if measured else 'no'} size measured, at least 2 needed")
    if len(measured) < SIZES_FOR_A_FIT:
        return _slopes(measured, f"a fit needs {SIZES_FOR_A_FIT} sizes")
    return _fit(measured, exact=exact or _agree(measured))


def _agree(measured: Mapping[int, Sequence[float]]) -> bool:
    """Whether every size has repeats that agree up to rounding."""
    return all(len(repeats) > 1 and max(repeats) / min(repeats) - 1 < EXACT for repeats in measured.values())


def _fit(measured: Mapping[int, Sequence[float]], *, exact: bool) -> Fit | Slopes | Refusal:
    sizes = tuple(measured)
    all_sizes = _Solved(measured, exact=exact)
    if not (all_sizes.is_near or exact):
        return Refusal(f"no a + b·N^p with p from {LOWEST:g} to {HIGHEST:g} fits the values")
    if all_sizes.is_near and all_sizes.is_one_law:
        return all_sizes.fit()
    for first in range(1, len(sizes) - (SIZES_FOR_A_FIT if exact else SIZES_FOR_A_FORM) + 1):
        left = _Solved({size: measured[size] for size in sizes[first:]}, exact=exact)
        if left.is_near and left.is_one_law and (exact or not left.is_constant):
            return left.fit()
    if not exact:
        return _slopes(measured, "a plateau followed by growth fits equally well")
    best = f": best RMS error {100 * all_sizes.error:.2g}%" if all_sizes.is_near else ""
    return _slopes(measured, f"no single a + b·N^p fits{best}")


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
    """The best a + b·N^p, or constant, for all repeats of some sizes.

    Sizes and values are divided by their geometric means, so that powers stay near 1 and do not overflow.
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
        """RMS of the relative residuals."""

    @property
    def is_near(self) -> bool:
        """Whether the exponent is allowed and the fit is close to the values."""
        return LOWEST - _ROUNDING <= self._exponent <= HIGHEST + _ROUNDING and self.error <= WORST_ERROR

    @property
    def is_one_law(self) -> bool:
        """Whether there is no evidence of several laws that meet in a kink."""
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
        """The fit in the original units, with form and interval."""
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
        """Coefficients and sum of squares of a + b·N + c·N², if the sizes follow it and it fits better than a power."""
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
        """`linear` or `quadratic`; empty if there are too few sizes or the exponent is close to neither."""
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
        return False  # clearly not constant, even if there are too few sizes to be sure of a curve
    count = int(np.sum(known[0]))
    constant = float(solve(x, *known, powers=(0.0, 0.0))[3][0])
    power_law = float(solve(x, *known, offsets=False)[3][0])
    for rest, more in ((power_law, 1), (fitted, 2)):
        left = count - 1 - more
        ratio = (constant - rest) / more / ((rest + count * EXACT**2) / left)
        if fdtrc(more, left, max(ratio, 0.0)) < ALPHA:
            return False
    return True
