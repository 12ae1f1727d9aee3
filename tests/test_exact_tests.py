"""The exact tests: against counting all outcomes by hand, and against scipy."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.checks.exact_tests import (
    Discoveries,
    benjamini_hochberg,
    least_rank_sum_p,
    least_sign_flip_p,
    pair_interval,
    rank_sum_p,
    shift_interval,
    sign_flip_p,
)

VALUES = st.integers(-4, 4).map(float)
"""Few different values, so that ties are the rule."""


def ranks(values: list[float]) -> list[float]:
    return [float(rank) for rank in stats.rankdata(values)]


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(VALUES, min_size=1, max_size=4))
def test_rank_sums_are_counted_over_all_assignments(low: list[float], high: list[float]) -> None:
    ranked = ranks([*low, *high])
    observed = sum(ranked[len(low) :])
    sums = [sum(chosen) for chosen in itertools.combinations(ranked, len(high))]
    assert rank_sum_p(low, high) == pytest.approx(sum(total >= observed for total in sums) / len(sums), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, max_size=7))
def test_signs_are_counted_over_all_assignments(differences: list[float]) -> None:
    told = [value for value in differences if value]
    ranked = ranks([abs(value) for value in told]) if told else []
    observed = sum(rank for rank, value in zip(ranked, told, strict=True) if value > 0)
    sums = [
        sum(rank for rank, kept in zip(ranked, signs, strict=True) if kept)
        for signs in itertools.product((False, True), repeat=len(told))
    ]
    assert sign_flip_p(differences) == pytest.approx(sum(total >= observed for total in sums) / len(sums), rel=1e-12)


def test_against_scipy_without_ties() -> None:
    low, high = [1.0, 2.5, 3.1, 4.7, 0.2, 9.4], [2.0, 3.6, 5.2, 8.8, 7.7]
    wanted = stats.mannwhitneyu(high, low, alternative="greater", method="exact").pvalue
    assert rank_sum_p(low, high) == pytest.approx(wanted, rel=1e-12)
    differences = [0.3, -0.1, 0.7, 1.2, -0.4, 0.9, 2.0]
    wanted = stats.wilcoxon(differences, alternative="greater", method="exact").pvalue
    assert sign_flip_p(differences) == pytest.approx(wanted, rel=1e-12)


def test_the_most_extreme_outcome() -> None:
    for low, high in ((1, 1), (3, 3), (5, 5), (2, 7)):
        p_value = rank_sum_p([float(i) for i in range(low)], [100.0 + i for i in range(high)])
        assert p_value == least_rank_sum_p(low, high) == 1 / math.comb(low + high, low)
    assert sign_flip_p([1.0, 2.0, 3.0, 5.0]) == least_sign_flip_p(4) == 1 / 16


def test_ties_alone_have_a_p_value_of_1() -> None:
    assert rank_sum_p([2.0, 2.0], [2.0, 2.0]) == 1
    assert sign_flip_p([0.0, 0.0]) == sign_flip_p([]) == 1


def test_a_thousand_pairs_and_a_hundred_repeats() -> None:
    low, high = [float(i) for i in range(40)], [i + 8.5 for i in range(40)]
    assert rank_sum_p(low, high) == pytest.approx(
        stats.mannwhitneyu(high, low, alternative="greater", method="exact").pvalue, rel=1e-9
    )
    differences = [(-1) ** i * (i + 1.0) for i in range(300)]
    assert sign_flip_p(differences) == pytest.approx(
        stats.wilcoxon(differences, alternative="greater", method="exact").pvalue, rel=1e-9
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_against_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)), abs=1e-12)


def test_no_tests_have_no_adjusted_values() -> None:
    assert benjamini_hochberg([]) == []


def test_an_interval_of_two_groups_inverts_the_test() -> None:
    low, high = [1.0, 2.2, 3.7, 4.1, 5.9], [6.3, 7.4, 7.9, 9.2, 9.8]
    interval = shift_interval(low, high)
    assert interval is not None
    for shift, inside in ((interval[0] + 1e-9, True), (interval[0] - 1e-9, False)):
        assert (rank_sum_p(low, [value - shift for value in high]) > 0.025) is inside
    for shift, inside in ((interval[1] - 1e-9, True), (interval[1] + 1e-9, False)):
        assert (rank_sum_p([value - shift for value in high], low) > 0.025) is inside


def test_an_interval_of_pairs_inverts_the_test() -> None:
    differences = [0.31, -0.12, 0.73, 1.24, 0.45, 0.96, 2.07]
    interval = pair_interval(differences)
    assert interval is not None
    for shift, inside in ((interval[0] + 1e-9, True), (interval[0] - 1e-9, False)):
        assert (sign_flip_p([value - shift for value in differences]) > 0.025) is inside
    for shift, inside in ((interval[1] - 1e-9, True), (interval[1] + 1e-9, False)):
        assert (sign_flip_p([shift - value for value in differences]) > 0.025) is inside


def test_too_few_values_have_no_interval() -> None:
    assert shift_interval([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) is None
    assert shift_interval([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]) == (1.0, 7.0)
    assert pair_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert pair_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 40).map(lambda part: part / 40), min_size=1, max_size=12), st.data())
def test_what_a_lower_p_value_would_change(p_values: list[float], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(p_values) - 1))
    level, lowered = data.draw(st.sampled_from([0.05, 0.2, 0.5])), data.draw(st.sampled_from([0.01, 0.1, 0.3]))
    lowered = min(lowered, p_values[index])
    changed = [*p_values[:index], lowered, *p_values[index + 1 :]]
    expected = benjamini_hochberg(changed)[index] <= level
    assert Discoveries(p_values, level).would_include(p_values[index], lowered) == expected
