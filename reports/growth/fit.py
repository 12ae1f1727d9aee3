"""Fits the growth of a cost with a size by the law of a fixed family that predicts sizes left out best.

As big-O fitting of google/benchmark (src/complexity.cc: `MinimalLeastSq` with `oAuto`) tries a list of curves, so does
this: a constant, N, N·log N and N², each with an additive constant for what does not grow (buffers, dispatch, the
program itself), and a free exponent. Two things differ. Errors are relative, so that small sizes count as much as large
ones. And the winner is not the curve with the smallest error on the sizes that it was fitted to, which a free exponent
always wins, but the one that predicts each size best from the others (leave-one-out).

numpy and scipy are imported inside functions, so importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from reports.growth.least_squares import (
    HIGHEST,
    LOWEST,
    each_left_out,
    exponent_interval,
    linear,
    polynomial,
    resampled,
    solve,
    sums,
)
from reports.growth.results import SIZES_FOR_A_FIT, Family, Fit, Refusal, Slopes

if TYPE_CHECKING:
    from reports.growth.least_squares import Floats, Sums

SIZES_FOR_AN_EXPONENT = 5
"""A law with three parameters needs two sizes more than it has parameters, or nothing would test it."""
REPEATS_FOR_A_BAND = 5
CONSTANT_WITHIN = 0.1
"""A metric is constant if its medians lie within this fraction of each other."""
EXACTLY_CONSTANT_WITHIN = 0.05
"""The same for values without noise."""
WORST_ERRORS = (0.1, 0.1)
"""The largest RMS errors of a law: at all sizes, and at those left out. Beyond them no law is named or drawn."""
WORST_EXACT_ERRORS = (0.01, 0.03)
"""The same for values without noise: what is further away is another law."""
LEAST_GROWTH = 3.0
"""The least ratio of medians by which a law of values with noise is told from others: below, all of them fit."""
MOST_APART = 1e12
"""The largest ratio of sizes, or of values, in one curve; beyond it powers would overflow."""

_FEWER_PARAMETERS = 1.25
"""A constant is preferred up to this multiple of the best error of a growing law."""
_CLEARLY = 1 / 3
"""A law with three parameters is taken only if its error is below this fraction of the best with two."""
_NEGLIGIBLE = 0.005
"""A law with two parameters whose leave-one-out error is below this needs no third."""
_SAME = 1e-6
"""Repeats within this fraction of each other agree: the metric has no noise."""
_ROUNDING = 1e-3
"""Tolerance for the exponent of noiseless values."""
_EXPONENTS: dict[Family, float] = {"linear": 1.0, "N log N": 1.0, "quadratic": 2.0}


def fit_curve(values: Mapping[int, Sequence[float]], *, exact: bool = False) -> Fit | Slopes | Refusal:
    """Fit the growth of a metric with a size.

    With four sizes or more, relative least squares Σ((y − f(N))/y)² over all repeats fits every law f of the family.
    The law with the smallest leave-one-out error is taken: the RMS relative error of each size as predicted by the
    other sizes. The smallest size is not predicted, because it alone may hold the constant. From five sizes on, laws
    with three parameters take part: a + b·N^p with a free exponent, and a quadratic law with a linear part,
    a + b·N + c·N² whose square outweighs the line at the largest size. They are taken only if their error is below a
    third of the others' best. Both the error of the fit and the leave-one-out error must be at most 10 %; for
    noiseless values 1 % and 3 %. Else there is no law. There is none either if the metric has noise, is not constant
    and grows less than threefold.

    With two or three sizes, or if no law fits, the result is the slopes between neighbours. It is deterministic.

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
        return slopes_of(measured, f"a fit needs {SIZES_FOR_A_FIT} sizes", has_word=True)
    is_exact = exact or _agree(measured)
    curve = _Curve(measured)
    if curve.growth < 1 + (EXACTLY_CONSTANT_WITHIN if is_exact else CONSTANT_WITHIN):
        return curve.constant()
    worst, worst_left_out = WORST_EXACT_ERRORS if is_exact else WORST_ERRORS
    fit = curve.best()
    if max(fit.error / worst, fit.left_out_error / worst_left_out) > 1:
        return slopes_of(measured, f"no law fits within {100 * worst:.0f} %")
    if fit.exponent and curve.growth < LEAST_GROWTH and not is_exact:
        return slopes_of(measured, "grows too little to tell laws apart")
    return fit


def slopes_of(values: Mapping[int, Sequence[float]], reason: str, *, has_word: bool = False) -> Slopes:
    """The slopes between the medians of neighbouring sizes, of at least two."""
    import statistics

    sizes = tuple(sorted(values))
    medians = [statistics.median(values[size]) for size in sizes]
    slopes = (
        math.log(medians[place + 1] / medians[place]) / math.log(sizes[place + 1] / sizes[place])
        for place in range(len(sizes) - 1)
    )
    return Slopes(sizes, tuple(slopes), reason, has_word)


def _agree(measured: Mapping[int, Sequence[float]]) -> bool:
    """Whether every size has repeats that agree up to rounding."""
    return all(len(repeats) > 1 and max(repeats) / min(repeats) - 1 < _SAME for repeats in measured.values())


class _Law(NamedTuple):
    """A law of the family, fitted to all sizes but one in each row, and to all in the last."""

    family: Family
    parts: Floats
    """Offset, factor of N, scale and exponent, (rows, 4)."""
    error: float
    """RMS of the relative residuals at all sizes."""
    left_out_error: float


class _Curve:
    """The repeats of at least four sizes.

    Sizes and values are divided by their geometric means, so that powers stay near 1 and do not overflow.
    """

    def __init__(self, measured: Mapping[int, Sequence[float]]) -> None:
        import numpy as np

        self._sizes = tuple(measured)
        self._middle = math.exp(sum(map(math.log, self._sizes)) / len(self._sizes))
        self._x = np.array(self._sizes, float) / self._middle
        self._unit = math.exp(sum(float(np.mean(np.log(repeats))) for repeats in measured.values()) / len(self._sizes))
        self._samples = [np.array(repeats) / self._unit for repeats in measured.values()]
        self._rows = each_left_out(sums(self._samples))

    def constant(self) -> Fit:
        """The best constant."""
        return self._fit(self._law("constant"))

    def best(self) -> Fit:
        """The law that predicts the sizes left out best."""
        law = min(map(self._law, _EXPONENTS), key=lambda law: law.left_out_error)
        if len(self._sizes) >= SIZES_FOR_AN_EXPONENT and law.left_out_error > _NEGLIGIBLE:
            flexible = min((self._law("power"), self._two_parts()), key=lambda law: law.left_out_error)
            if flexible.left_out_error < _CLEARLY * law.left_out_error:
                law = flexible
        constant = self._law("constant")
        is_constant = constant.left_out_error <= _FEWER_PARAMETERS * law.left_out_error
        return self._fit(constant if is_constant else law)

    @property
    def growth(self) -> float:
        """The ratio of the largest median to the smallest."""
        import numpy as np

        medians = [float(np.median(repeats)) for repeats in self._samples]
        return max(medians) / min(medians)

    def _solve(self, family: Family, known: Sums) -> Floats:
        """Offset, factor of N, scale and exponent of a law for each row of sums, (rows, 4)."""
        import numpy as np

        zero = np.zeros(len(known[0]))
        if family == "constant":
            return np.stack([zero, zero, np.sum(known[1], axis=1) / np.sum(known[2], axis=1), zero], axis=1)
        if family == "power":
            offset, scale, exponent = solve(self._x, known)
            return np.stack([offset, zero, scale, exponent], axis=1)
        exponent = zero + _EXPONENTS[family]
        offset, scale, _ = linear(self._basis(family, exponent[:1])[None], known, np.ones((1, 1), bool))
        return np.stack([offset[:, 0], zero, scale[:, 0], exponent], axis=1)

    def _basis(self, family: Family, exponent: Floats) -> Floats:
        """What the scale is multiplied with at each size, (rows, sizes)."""
        import numpy as np

        power: Floats = self._x ** exponent[:, None]
        return power * np.log2(np.array(self._sizes, float)) if family == "N log N" else power

    def _law(self, family: Family) -> _Law:
        return self._judged(family, self._solve(family, self._rows))

    def _two_parts(self) -> _Law:
        """offset + b·N + c·N², with more in the square than in the line at the largest size."""
        import numpy as np

        offset, line, square = polynomial(self._x, self._rows)
        law = self._judged("quadratic", np.stack([offset, line, square, 0 * offset + 2.0], axis=1))
        is_quadratic = float(min(line)) > 0 and square[-1] * self._x[-1] >= line[-1]
        return law if is_quadratic else law._replace(left_out_error=math.inf)

    def _judged(self, family: Family, parts: Floats) -> _Law:
        import numpy as np

        counts, first, second = sums(self._samples)
        offset, line, scale, exponent = parts.T
        predicted = offset[:, None] + line[:, None] * self._x + scale[:, None] * self._basis(family, exponent)
        squares = np.maximum(predicted**2 * second - 2 * predicted * first + counts, 0.0)
        total = float(np.sum(counts))
        error = math.sqrt(float(np.sum(squares[-1])) / total)
        left_out = math.sqrt(float(np.sum(np.diag(squares[:-1])[1:]) / np.sum(counts[:, 1:])))
        allowed = min(scale) > 0 and LOWEST - _ROUNDING <= exponent[-1] <= HIGHEST + _ROUNDING
        return _Law(family, parts, error, left_out if allowed else math.inf)

    def _fit(self, law: _Law) -> Fit:
        """A law in the original units, with interval and bootstrap draws."""
        ((offset, line, scale, exponent),) = self._back(law.parts[-1:])
        low, high = None, None
        if law.family == "power":
            low, high = exponent_interval(self._x, sums(self._samples), exponent)
        draws = []
        if not line and min(map(len, self._samples)) >= REPEATS_FOR_A_BAND:
            draws = self._back(self._solve(law.family, resampled(self._samples)))
        return Fit(
            law.family,
            offset,
            scale,
            exponent,
            self._sizes,
            law.error,
            law.left_out_error,
            low,
            high,
            line,
            tuple((offset, scale, exponent) for offset, _, scale, exponent in draws),
        )

    def _back(self, parts: Floats) -> list[tuple[float, float, float, float]]:
        offset, line, scale, exponent = parts.T
        offset, line = offset * self._unit, line * self._unit / self._middle
        scale = scale * self._unit / self._middle**exponent
        return list(zip(*(part.tolist() for part in (offset, line, scale, exponent)), strict=True))
