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
_INTERVAL_STEP = 0.001
_CONFIDENCE = 0.95
_ROUNDING = 1e-9
"""The sum of squares of one value that is rounding."""


def sums(samples: Sequence[Floats]) -> Sums:
    """Sufficient statistics of every size: number of repeats, Σ 1/y and Σ 1/y², each (1, sizes)."""
    import numpy as np

    rows = [[len(y) for y in samples], [np.sum(1 / y) for y in samples], [np.sum(y**-2.0) for y in samples]]
    counts, first, second = (np.array([row], float) for row in rows)
    return counts, first, second


def each_left_out(known: Sums) -> Sums:
    """`known` without the i-th size in row i, and with all sizes in the last row: (sizes + 1, sizes)."""
    import numpy as np

    sizes = known[0].shape[1]
    keep = np.ones((sizes + 1, sizes))
    keep[np.arange(sizes), np.arange(sizes)] = 0.0
    counts, first, second = (keep * part for part in known)
    return counts, first, second


def resampled(samples: Sequence[Floats]) -> Sums:
    """`sums` of every bootstrap sample, each (draws, sizes).

    Repeats are resampled within their size, with their logarithms spread by √(r/(r−1)) about the mean, because r
    repeats vary less about their own mean than about the true one.
    """
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


def solve(x: Floats, known: Sums) -> tuple[Floats, Floats, Floats]:
    """Offset, scale and exponent of the best offset + scale·N^p for each row of sums, each (rows,).

    For a given exponent, offset and scale solve a linear problem. Exponents are searched on a grid that is refined
    three times around the best one.
    """
    import numpy as np

    powers = (LOWEST - _BEYOND, HIGHEST + _BEYOND)
    profile = partial(_profile, x, known)
    best = np.full(len(known[0]), sum(powers) / 2)
    span, step = (powers[1] - powers[0]) / 2, _STEP
    while True:
        grid = np.clip(best[:, None] + np.linspace(-span, span, 2 * round(span / step) + 1), *powers)
        # All rows share the first, coarse grid.
        parts = profile(grid[:1] if span > _STEP else grid)
        place = np.argmin(parts[2], axis=1)[:, None]
        best = np.take_along_axis(np.broadcast_to(grid, parts[2].shape), place, axis=1)[:, 0]
        if step < _STEP * 0.002:
            offset, scale, _ = (np.take_along_axis(part, place, axis=1)[:, 0] for part in parts)
            return offset, scale, best
        span, step = step, step / 10


def exponent_interval(x: Floats, known: Sums, best: float) -> tuple[float, float]:
    """The exponents that an F test at 5 % does not tell from the `best` one (Bates and Watts, 1988, chapter 6).

    They are those around `best` whose sum of squares is at most S·(1 + F(1, n − 3)/(n − 3)), with the least sum S of n
    values.
    """
    import numpy as np
    from scipy.special import fdtri

    count = float(np.sum(known[0]))
    grid = np.concatenate([np.arange(LOWEST, HIGHEST, _INTERVAL_STEP), [best]])
    grid.sort()
    rest = _profile(x, known, grid[None])[2][0]
    place = int(np.searchsorted(grid, best))
    limit = (rest[place] + count * _ROUNDING) * (1 + float(fdtri(1, count - 3, _CONFIDENCE)) / (count - 3))
    beyond = np.flatnonzero(rest > limit)
    below, above = beyond[beyond < place], beyond[beyond > place]
    low = grid[below[-1] + 1] if len(below) else grid[0]
    high = grid[above[0] - 1] if len(above) else grid[-1]
    return float(low), float(high)


def _profile(x: Floats, known: Sums, grid: Floats) -> tuple[Floats, Floats, Floats]:
    """The best offset ≥ 0 and scale > 0 and their sum of squares for each exponent in `grid`: (rows, exponents)."""
    import numpy as np

    return linear(x ** grid[..., None], known, np.abs(grid) >= _FLAT)


def polynomial(x: Floats, known: Sums) -> tuple[Floats, Floats, Floats]:
    """Offset ≥ 0, slope and square of the best offset + slope·N + square·N² for each row of sums, each (rows,)."""
    import numpy as np

    _, first, second = known
    powers = x ** np.arange(3)[:, None]
    normal = np.einsum("rs,is,js->rij", second, powers, powers)
    target = np.einsum("rs,is->ri", first, powers)
    offset, slope, square = np.linalg.solve(normal, target[..., None])[..., 0].T
    through_zero = offset < 0
    without = np.linalg.solve(normal[:, 1:, 1:], target[:, 1:, None])[..., 0].T
    slope, square = (np.where(through_zero, *pair) for pair in zip(without, (slope, square), strict=True))
    return np.where(through_zero, 0.0, offset), slope, square


def linear(basis: Floats, known: Sums, steep: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """The best offset ≥ 0 and scale > 0 of offset + scale·basis, and their sum of squares, each (rows, choices).

    Args:
        basis: (rows or 1, choices, sizes).
        known: `sums`.
        steep: whether an offset is allowed, (rows or 1, choices).
    """
    import numpy as np

    counts, first, second = known
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
