"""What fitting a curve gives: a fit, steps between sizes, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Family = Literal["constant", "linear", "N log N", "quadratic", "power"]
"""The laws, from slow to fast growth; `power` has a free exponent."""

SIZES_FOR_A_FIT = 4
SO_FAR = " so far"
_STEPS = {"constant": (-0.1, 0.1), "linear": (0.8, 1.15), "quadratic": (1.7, 2.3)}
"""Log–log slopes of the last step, and what they are called."""
_LEAST_STEP = 2.0
"""The least ratio of sizes that a step must have to be called anything."""


@dataclass(frozen=True, slots=True)
class Fit:
    """metric(N) = offset + linear_scale·N + scale·g(N), with offset ≥ 0 and scale > 0, in the unit of the metric.

    g(N) is N^exponent, but N·log2(N) for `N log N`. A constant metric has offset 0 and exponent 0; its scale is the
    value. Only a quadratic law may have a linear_scale above 0.
    """

    family: Family
    offset: float
    scale: float
    exponent: float
    sizes: tuple[int, ...]
    """The fitted sizes, ascending."""
    error: float = 0.0
    """RMS of the relative residuals over all repeats."""
    left_out_error: float = 0.0
    """RMS of the relative errors of each size as the law of the other sizes predicts it."""
    low: float | None = None
    """Lower end of the 95 % interval of a free exponent; None for every other family."""
    high: float | None = None
    linear_scale: float = 0.0
    draws: tuple[tuple[float, float, float], ...] = field(default=(), repr=False)
    """Offset, scale and exponent of every bootstrap sample; empty if any size has fewer than five repeats."""

    @property
    def word(self) -> str:
        """The law in a word: `linear`, or `N^1.53 (1.48 to 1.57)` for a free exponent."""
        if self.family != "power":
            return self.family
        ends = [f"{end:.2f}" for end in (self.low, self.high) if end is not None]
        return f"N^{self.exponent:.2f}" + (f" ({' to '.join(ends)})" if len(set(ends)) == 2 else "")

    def at(self, size: float) -> float:
        """The metric at `size`; an extrapolation outside of the fitted sizes."""
        return self.offset + self.linear_scale * size + self.scale * self._basis(size, self.exponent)

    def slope_at(self, size: float) -> float:
        """The derivative at `size`: what one more adds, in the unit of the metric."""
        if self.family == "N log N":
            return self.scale * (math.log2(size) + 1 / math.log(2))
        return self.linear_scale + self.scale * self.exponent * math.pow(size, self.exponent - 1)

    def band(self, sizes: Sequence[float]) -> tuple[list[float], list[float]] | None:
        """Lower and upper ends of the 95 % pointwise bootstrap band at each of `sizes`; None without draws."""
        if not self.draws:
            return None
        import numpy as np

        drawn = [[offset + scale * self._basis(size, p) for size in sizes] for offset, scale, p in self.draws]
        low, high = np.percentile(np.array(drawn), (2.5, 97.5), axis=0)
        return low.tolist(), high.tolist()

    def size_where(self, value: float) -> float | None:
        """The size at which the fit reaches `value`, usually an extrapolation; None if it never does."""
        ratio = (value - self.offset) / self.scale
        if self.exponent == 0 or ratio <= 0:
            return None
        if self.linear_scale:
            half = self.linear_scale / self.scale / 2
            return math.sqrt(half**2 + ratio) - half
        if self.family == "N log N":
            return _inverse_log_linear(ratio)
        try:
            return math.exp(math.log(ratio) / self.exponent)
        except OverflowError:
            return None

    def _basis(self, size: float, exponent: float) -> float:
        return size * math.log2(size) if self.family == "N log N" else math.pow(size, exponent)


def _inverse_log_linear(value: float) -> float:
    """N with N·log2(N) = value, by Newton's method; value > 0, and N > 1 therefore."""
    size = max(value, 2.0)
    for _ in range(60):
        size = max(size - (size * math.log2(size) - value) / (math.log2(size) + 1 / math.log(2)), 1.0)
    return size


@dataclass(frozen=True, slots=True)
class Slopes:
    """Log–log slopes between the medians of neighbouring sizes, given instead of a fit."""

    sizes: tuple[int, ...]
    slopes: tuple[float, ...]
    """One fewer than sizes. An offset makes them smaller than the exponent of the growing part."""
    reason: str
    """Why there is no fit."""
    has_word: bool = False
    """Whether the last step may be put into a word: only if nothing but the number of sizes stands against a fit."""

    @property
    def word(self) -> str:
        """`about linear so far`, from the last step; empty if that is near no law, or must not be named."""
        if not self.has_word or self.sizes[-1] < _LEAST_STEP * self.sizes[-2]:
            return ""
        names = (name for name, (low, high) in _STEPS.items() if low <= self.slopes[-1] <= high)
        return next((f"about {name}{SO_FAR}" for name in names), "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be said about the growth of a metric."""

    reason: str
