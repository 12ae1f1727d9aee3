"""Models of equal size, and the sizes that the registry states."""

from __future__ import annotations

import pytest

from sable.config import ModelConfig
from sable.matching import match_parameters, parameter_count
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
