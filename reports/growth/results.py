"""What fitting a curve gives: a fit, local slopes, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fit:
    """metric(N) = offset + linear_scale·N + scale·N^exponent, with offset ≥ 0 and scale > 0, in the unit of the metric.

    A constant metric has offset 0 and exponent 0; its scale is the value. A falling one has a negative exponent. Only a
    polynomial, with exponent 2, has a linear_scale.
    """

    offset: float
    scale: float
    exponent: float
    low: float | None
    """Lower end of the 95 % bootstrap interval of the exponent; None if any size has fewer than five repeats."""
    high: float | None
    form: str
    """`linear` or `quadratic`, whichever AIC prefers; empty below five sizes or if the exponent is close to neither."""
    sizes: tuple[int, ...]
    """The fitted sizes, ascending; the smallest ones are left out if they follow another law."""
    error: float = 0.0
    """RMS of the relative residuals over all repeats."""
    linear_scale: float = 0.0
    """Above 0 if one part grows linearly and another quadratically."""
    draws: tuple[tuple[float, float, float], ...] = field(default=(), repr=False)
    """Offset, scale and exponent of every bootstrap sample; empty without an interval."""

    def at(self, size: float) -> float:
        """The metric at `size`; an extrapolation outside of the fitted sizes."""
        return self.offset + self.linear_scale * size + self.scale * math.pow(size, self.exponent)

    def slope_at(self, size: float) -> float:
        """The derivative at `size`: what one more adds, in the unit of the metric."""
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
        """The size at which the fit reaches `value`, usually an extrapolation; None if it never does."""
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
    """Log–log slopes between the medians of neighbouring sizes, given instead of a fit."""

    sizes: tuple[int, ...]
    slopes: tuple[float, ...]
    """One fewer than sizes. An offset makes them smaller than the exponent of the growing part."""
    reason: str
    """Why there is no fit."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be said about the growth of a metric."""

    reason: str
