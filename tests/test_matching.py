"""Models of equal size, and the sizes that the registry states."""

from __future__ import annotations

import bisect
from collections.abc import Callable

import pytest

from sable.config import ModelConfig
from sable.matching import GUESSES, first_at_least, match_parameters, parameter_count
from sable.models import MODELS
from sable.types import Space
from scenarios import make_environment

NEOM = make_environment("neom", 16, {}).space


def config(model: str, **options: int) -> ModelConfig:
    return ModelConfig(model=model, mode=next(iter(MODELS[model].modes), ""), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", MODELS)
def test_stated_number_of_parameters(model: str) -> None:
    assert parameter_count(config(model), NEOM) == MODELS[model].parameters


@pytest.mark.parametrize("model", MODELS)
def test_matched_models_are_as_large_as_sable(model: str) -> None:
    matched, reference = match_parameters(config(model), NEOM)
    assert reference == MODELS["sable"].parameters
    assert abs(parameter_count(matched, NEOM) / reference - 1.0) <= 0.05
    assert matched.model == model
    assert matched.heads == 4


def test_no_width_that_matches() -> None:
    with pytest.raises(ValueError, match=r"match is 'params': mat has \d+ parameters at embed_dim \d+, the nearest"):
        match_parameters(config("mat", embed_dim=16, heads=16), Space(3, 5, 5))


COUNTS: list[Callable[[int], int]] = [
    lambda width: 2 * width * width + 500 * width + 5,
    lambda width: 3 * width + 1,
    lambda width: 40 + width // 1000,
    lambda width: 0 if width < 800 else width**3,
    lambda width: 7,
]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("step", [2, 12])
@pytest.mark.parametrize("target", [1, 7, 41, 5_000, 123_456, 10**7, 10**15])
def test_the_search_finds_what_halving_finds(count: Callable[[int], int], step: int, target: int) -> None:
    widths = range(step, 2**16 + 1, step)
    tried: list[int] = []

    def counted(width: int) -> int:
        tried.append(width)
        return count(width)

    assert first_at_least(target, widths, counted, 64.0) == bisect.bisect_left(widths, target, key=count)
    assert len(tried) <= GUESSES + len(widths).bit_length()


def test_the_search_tries_few_widths_where_counts_grow_as_those_of_models() -> None:
    tried: list[int] = []

    def counted(width: int) -> int:
        tried.append(width)
        return COUNTS[0](width)

    first_at_least(123_456, range(4, 2**16 + 1, 4), counted, 64.0)
    assert len(tried) <= 6
