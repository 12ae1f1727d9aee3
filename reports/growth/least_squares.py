"""Least squares of relative errors, for `reports.growth.fit`.

numpy is imported inside functions, so importing this module is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Sums = tuple[Floats, Floats, Floats]

LOWEST, HIGHEST = -3.0, 4.0
"""The allowed exponents of a fit."""
_BEYOND = 0.1
"""How far beyond the allowed exponents to search: an optimum there means that no allowed exponent is best."""
_STEP = 0.05
_FLAT = 0.02
"""Below this exponent N^p is indistinguishable from the offset, which is then 0."""
_DRAWS = 999
_BENDS = 200
"""Number of candidate positions of a bend."""


def sums(samples: Sequence[Floats]) -> Sums:
    """Sufficient statistics of every size: number of repeats, Σ 1/y and Σ 1/y², each (1, sizes)."""
    import numpy as np

    rows = [[len(y) for y in samples], [np.sum(1 / y) for y in samples], [np.sum(y**-2.0) for y in samples]]
    counts, first, second = (np.array([row], float) for row in rows)
    return counts, first, second


def resampled(samples: Sequence[Floats]) -> Sums:
    """`sums` of every bootstrap sample, each (draws, sizes)."""
    import numpy as np

    random = np.random.default_rng(0)
    counts, first, second = [], [], []
    for y in samples:
        repeats = len(y)
        centre = np.mean(np.log(y))
        spread = np.exp(centre + (np.log(y) - centre) * math.sqrt(repeats / (repeats - 1)))
        drawn = random.choice(spread, (_DRAWS, repeats))
        counts.append(np.full(_DRAWS, float(repeats)))
        first.append(np.sum(1 / drawn, axis=1))
        second.append(np.sum(drawn**-2.0, axis=1))
    return np.stack(counts, axis=1), np.stack(first, axis=1), np.stack(second, axis=1)


def solve(
    x: Floats,
    counts: Floats,
    first: Floats,
    second: Floats,
    *,
    powers: tuple[float, float] = (LOWEST - _BEYOND, HIGHEST + _BEYOND),
    offsets: bool = True,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Offset, scale, exponent and sum of squares of the best fit to each row of sums, each (rows,).

    For a given exponent, offset and scale solve a linear problem. Exponents are searched on a grid that is refined
    three times around the best one.
    """
    import numpy as np

    profile = partial(_profile, x, counts, first, second, offsets=offsets)
    best = np.full(len(counts), sum(powers) / 2)
    span, step = (powers[1] - powers[0]) / 2, _STEP
    while True:
        grid = np.clip(best[:, None] + np.linspace(-span, span, 2 * round(span / step) + 1), *powers)
        # All rows share the first, coarse grid.
        parts = profile(grid[:1] if span > _STEP else grid)
        place = np.argmin(parts[2], axis=1)[:, None]
        best = np.take_along_axis(np.broadcast_to(grid, parts[2].shape), place, axis=1)[:, 0]
        if span == 0 or step < _STEP * 0.002:
            offset, scale, rest = (np.take_along_axis(part, place, axis=1)[:, 0] for part in parts)
            return offset, scale, best, rest
        span, step = step, step / 10


def _profile(
    x: Floats, counts: Floats, first: Floats, second: Floats, grid: Floats, *, offsets: bool
) -> tuple[Floats, Floats, Floats]:
    """The best offset ≥ 0 and scale > 0 and their sum of squares for each exponent in `grid`: (rows, exponents)."""
    import numpy as np

    return _linear(x ** grid[..., None], counts, first, second, offsets & (np.abs(grid) >= _FLAT))


def bent(x: Floats, counts: Floats, first: Floats, second: Floats, power: float) -> float:
    """Sum of squares of the best plateau followed by growth: offset + scale·max(0, N^power − K^power).

    It has three parameters, like offset + scale·N^p. Candidates for K lie between the first and the last size.

    Args:
        x: sizes, ascending.
        counts, first, second: one row of `sums`.
        power: the exponent beyond K, above 0.
    """
    import numpy as np

    bends = np.geomspace(x[0], x[-1], _BENDS, endpoint=False)[None, :, None]
    basis = np.maximum(x**power - bends**power, 0.0)
    return float(np.min(_linear(basis, counts, first, second, np.full(basis.shape[:-1], True))[2]))


def polynomial(x: Floats, samples: Sequence[Floats]) -> tuple[Floats, float] | None:
    """Offset, slope and square of the best offset + slope·N + square·N², (3,), and its sum of squares.

    None if slope or square is not positive, or if the offset is negative.
    """
    import numpy as np

    sizes = np.repeat(x, [len(y) for y in samples])
    rows: Floats = np.stack([np.ones_like(sizes), sizes, sizes**2], axis=1) / np.concatenate(samples)[:, None]
    factors = np.asarray(np.linalg.lstsq(rows, np.ones(len(sizes)), rcond=None)[0], np.float64)
    if factors[0] < 0 or min(factors[1:]) <= 0:
        return None
    return factors, float(np.sum((rows @ factors - 1) ** 2))


def _linear(
    basis: Floats, counts: Floats, first: Floats, second: Floats, steep: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """The best offset ≥ 0 and scale > 0 of offset + scale·basis, and their sum of squares, each (rows, choices).

    Args:
        basis: (rows or 1, choices, sizes).
        counts, first, second: `sums`.
        steep: whether an offset is allowed, (rows or 1, choices).
    """
    import numpy as np

    total, ones = np.sum(counts, axis=1)[:, None], np.sum(first, axis=1)[:, None]
    square = np.sum(second, axis=1)[:, None]
    mixed, squares = (np.sum(second[:, None] * part, axis=-1) for part in (basis, basis**2))
    along = np.sum(first[:, None] * basis, axis=-1)

    determinant = np.where(steep, square * squares - mixed**2, 1.0)
    offset = np.where(steep, (ones * squares - along * mixed) / determinant, 0.0)
    scale = np.where(steep, (square * along - ones * mixed) / determinant, along / squares)
    through_zero = offset < 0
    offset, scale = np.where(through_zero, 0.0, offset), np.where(through_zero, along / squares, scale)
    rest = total - 2 * (offset * ones + scale * along)
    rest += offset**2 * square + 2 * offset * scale * mixed + scale**2 * squares
    return offset, scale, np.where(scale > 0, np.maximum(rest, 0.0), np.inf)
