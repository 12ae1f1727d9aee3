"""Exact tests over few values: rank sums of two groups, signed ranks of pairs, and many tests at once.

Both tests are permutation tests on ranks (Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; Mann & Whitney, Annals of
Mathematical Statistics 18 (1947) 50-60). Ranks are used because times have a heavy tail: one disturbed process can
shift a mean arbitrarily, but a rank only a little. All permutations are counted, with ties at their mean rank, so
p-values are exact at any size and with ties.

The number of ways to reach each rank sum is the coefficient of a polynomial, stored as one large integer with a fixed
number of bits per coefficient.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate


def rank_sum_p(low: Sequence[float], high: Sequence[float]) -> float:
    """The one-sided p-value of `high` being larger than `low`, two groups of at least one value each.

    The share of all assignments of the values to groups of these sizes in which the ranks of `high` sum to at least
    the observed sum.
    """
    ranks = _doubled_ranks([*low, *high])
    return _rank_sum_tail(tuple(sorted(ranks)), len(high), sum(ranks[len(low) :]))


def sign_flip_p(differences: Sequence[float]) -> float:
    """The one-sided p-value of paired differences being above 0.

    The share of all assignments of signs in which the ranks of the positive ones sum to at least the observed sum.
    Differences of 0 are dropped; if none remain, p is 1.
    """
    nonzero = [value for value in differences if value != 0]
    ranks = _doubled_ranks([abs(value) for value in nonzero])
    positive = sum(rank for rank, value in zip(ranks, nonzero, strict=True) if value > 0)
    return _signed_rank_tail(tuple(sorted(ranks)), positive)


def least_rank_sum_p(low: int, high: int) -> float:
    """The p-value of the most extreme outcome for groups of these sizes: 1 / C(low + high, low)."""
    return 1 / math.comb(low + high, low)


def least_sign_flip_p(pairs: int) -> float:
    """The p-value of the most extreme outcome for this many pairs: 1 / 2^pairs."""
    return 0.5**pairs


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order: those up to α are discoveries at a false discovery rate of α.

    Source: Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300; the adjusted value of the k-th smallest of m is
    the least of p_(i)·m/i over i ≥ k.
    """
    adjusted = [1.0] * len(p_values)
    least = 1.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place in range(len(order), 0, -1):
        index = order[place - 1]
        least = min(least, p_values[index] * len(order) / place)
        adjusted[index] = least
    return adjusted


class Discoveries:
    """Which of many p-values would be discoveries (`benjamini_hochberg`) if one of them were less than it is."""

    def __init__(self, p_values: Sequence[float], level: float) -> None:
        """Let adjusted p-values up to `level` be discoveries."""
        self._sorted, self._level = sorted(p_values), level
        places = list(enumerate(self._sorted, start=1))
        self._passing = [0, *accumulate(self._passes(p_value, place) for place, p_value in places)]
        self._passing_later = [0, *accumulate(self._passes(p_value, place + 1) for place, p_value in places)]

    def would_include(self, p_value: float, lowered: float) -> bool:
        """Whether `p_value`, one of them, would be a discovery as `lowered`.

        It would then stand before those between the two, each of which moves to the next place; one that passes at its
        place makes discoveries of all before it.
        """
        lowered = min(lowered, p_value)
        place, left = bisect_left(self._sorted, lowered), bisect_left(self._sorted, p_value)
        return (
            self._passes(lowered, place + 1)
            or self._passing_later[left] > self._passing_later[place]
            or self._passing[-1] > self._passing[left + 1]
        )

    def _passes(self, p_value: float, place: int) -> bool:
        return p_value * len(self._sorted) / place <= self._level


def shift_interval(low: Sequence[float], high: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """The exact interval of how far `high` lies above `low`, by inverting the rank-sum test (Hodges & Lehmann, 1963).

    None if the groups are too small for that confidence: below four values each at 95 %.
    """
    return _between(sorted(b - a for a in low for b in high), _rank_sum_cut(len(low), len(high), (1 - confidence) / 2))


def pair_interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """The exact interval of the median of paired differences, by inverting the signed-rank test.

    None if there are too few pairs for that confidence: below six at 95 %.
    """
    count = len(differences)
    means = sorted((differences[i] + differences[j]) / 2 for i in range(count) for j in range(i, count))
    return _between(means, _signed_rank_cut(count, (1 - confidence) / 2))


def _between(values: Sequence[float], cut: int) -> tuple[float, float] | None:
    """The ends of the ordered values without the `cut` - 1 outermost at each end; None if `cut` is 0."""
    return (values[cut - 1], values[-cut]) if cut else None


@lru_cache(maxsize=64)
def _rank_sum_cut(low: int, high: int, half: float) -> int:
    """One more than the number of ordered shifts below their interval; 0 if even the most extreme is too likely.

    The probability that at most k shifts lie beyond the truth is that of a rank sum within k of its largest, which
    grows with k.
    """
    ranks = tuple(range(2, 2 * (low + high) + 1, 2))
    least = high * (high + 1)
    return bisect_left(
        range(low * high + 1),
        True,
        key=lambda below: _rank_sum_tail(ranks, high, least + 2 * (low * high - below)) > half,
    )


@lru_cache(maxsize=64)
def _signed_rank_cut(count: int, half: float) -> int:
    """The same for the pairwise means of `count` differences."""
    ranks = tuple(range(2, 2 * count + 1, 2))
    means = count * (count + 1) // 2
    return bisect_left(range(means + 1), True, key=lambda below: _signed_rank_tail(ranks, 2 * (means - below)) > half)


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, counted from 1; ties share their mean rank, twice which is a whole number."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = start + 1 + end
        start = end
    return ranks


def _rank_sum_tail(ranks: tuple[int, ...], size: int, least: int) -> float:
    counts = _rank_sums(ranks, size)
    return counts[min(max(least, 0), len(counts) - 1)] / math.comb(len(ranks), size)


def _signed_rank_tail(ranks: tuple[int, ...], least: int) -> float:
    counts = _signed_ranks(ranks)
    # Whole numbers: 2^1100 exceeds a float, the share does not.
    return counts[min(max(least, 0), len(counts) - 1)] / (1 << len(ranks))


@lru_cache(maxsize=64)
def _rank_sums(ranks: tuple[int, ...], size: int) -> list[int]:
    """How many subsets of `size` ranks sum to at least 0, 1, 2, … up to one more than the sum of all ranks."""
    width = 8 * (len(ranks) // 8 + 1)
    by_size = [1] + [0] * size
    for rank in ranks:
        for taken in range(size, 0, -1):
            by_size[taken] += by_size[taken - 1] << (rank * width)
    return _tails(by_size[size], sum(ranks), width)


@lru_cache(maxsize=64)
def _signed_ranks(ranks: tuple[int, ...]) -> list[int]:
    """How many assignments of signs make the positive ranks sum to at least 0, 1, 2, … as for `_rank_sums`."""
    width = 8 * (len(ranks) // 8 + 1)
    ways = 1
    for rank in ranks:
        ways += ways << (rank * width)
    return _tails(ways, sum(ranks), width)


def _tails(polynomial: int, degree: int, width: int) -> list[int]:
    """The sums of the coefficients from each power upward, ending with a 0 beyond the highest."""
    size = width // 8
    digits = polynomial.to_bytes((degree + 1) * size, "little")
    tails = [0]
    for power in range(degree, -1, -1):
        tails.append(tails[-1] + int.from_bytes(digits[power * size : (power + 1) * size], "little"))
    return tails[::-1]
