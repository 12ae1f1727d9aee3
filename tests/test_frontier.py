"""The largest size that fits: few compilations, exact where the need is a polynomial, honest where it is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from scaleprof.planning.largest_size import MOST_COMPILATIONS, Frontier, search

GB = 10**9
NEEDS: dict[str, Callable[[int], float]] = {
    "linear": lambda n: 3e6 + 7.13e7 * n,
    "large constant": lambda n: 9e9 + 1.1e6 * n,
    "quadratic": lambda n: 5e6 + 2e6 * n + 4.4e5 * n**2,
    "nearly linear": lambda n: 1e6 + 2e6 * n + 3.0 * n**2,
    "tiny": lambda n: 900 * n,
    "steep": lambda n: 3e9 * n,
}


def searched(need: Callable[[int], float], budget: int, most: int = 10**6, step: int = 1, least: int = 1) -> Frontier:
    asked: list[int] = []

    def compiled(size: int, fitting: bool) -> int:
        assert least <= size <= most
        assert size % step == 0
        assert size not in asked
        asked.append(size)
        return round(need(size))

    found = search(Frontier(budget, least, most, step), compiled)
    assert list(found.known) == asked
    assert len(asked) <= MOST_COMPILATIONS
    return found


@pytest.mark.parametrize("budget", [64 * GB, 20 * GB, 141 * GB])
@pytest.mark.parametrize("name", NEEDS)
def test_the_answer_is_exact_with_few_compilations(name: str, budget: int) -> None:
    need = NEEDS[name]
    found = searched(need, budget)
    assert found.is_exact
    if found.fits is not None:
        assert need(found.fits) <= budget
        assert found.fits == 10**6 or need(found.fits + 1) > budget


@pytest.mark.parametrize("budget", [64 * GB, 20 * GB, 141 * GB])
@pytest.mark.parametrize(
    "need",
    [
        lambda n: 3e6 + 7.13e7 * (math.ceil(n / 8) * 8),
        lambda n: 5e6 + 4.4e5 * (math.ceil(n / 4) * 4) ** 2,
    ],
    ids=["linear", "quadratic"],
)
def test_padding_costs_exactness_but_little_of_the_size(need: Callable[[int], float], budget: int) -> None:
    found = searched(need, budget)
    last = max(size for size in range(1, 4000) if need(size) <= budget)
    assert found.fits is not None
    assert 0.98 * last <= found.fits <= last
    assert not found.is_exact or found.fits == last


@pytest.mark.parametrize("step", [2, 8])
def test_sizes_are_multiples_of_a_step(step: int) -> None:
    found = searched(NEEDS["quadratic"], 64 * GB, step=step, least=step, most=step * 10**5)
    assert found.is_exact
    assert found.fits is not None
    assert NEEDS["quadratic"](found.fits) <= 64 * GB < NEEDS["quadratic"](found.fits + step)


def test_nothing_fits() -> None:
    found = searched(lambda n: 70e9 + n, 64 * GB)
    assert found.fits is None
    assert found.is_exact
    assert found.too_large == 1


def test_everything_that_is_allowed_fits() -> None:
    found = searched(NEEDS["linear"], 64 * GB, most=100)
    assert (found.fits, found.too_large, found.is_exact) == (100, None, True)


@pytest.mark.parametrize("most", [1, 2, 31, 32, 33])
def test_few_sizes_are_allowed(most: int) -> None:
    found = searched(NEEDS["linear"], 64 * GB, most=most)
    assert (found.fits, found.is_exact) == (most, True)


def test_programs_that_xla_trims_end_in_a_bracket() -> None:
    """Near the limit the need hardly grows: where the last size is not found, the bracket says so."""
    found = searched(lambda n: min(7e7 * n, 6.3e10 + 1e5 * n), 64 * GB)
    assert found.fits is not None
    assert found.is_exact or found.too_large is None or found.too_large > found.fits + 1


def test_it_ends_where_a_size_cannot_be_compiled() -> None:
    found = search(Frontier(64 * GB, 1, 10**6), lambda size, fitting: None if size > 100 else size * GB // 10)
    assert (found.failed, found.fits) == (128, 32)
