"""The frozen options and the registry of models."""

from __future__ import annotations

import pytest

from sable.config import ModelConfig, PPOConfig
from sable.models import MODELS, REFERENCE, REFERENCE_MODE, build_policy, check, reference_of
from sable.types import Space


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_dim": 0}, "embed_dim is 0: it must be a whole number of at least 1"),
        ({"embed_dim": 3, "heads": 3}, "embed_dim is 3: it must be even"),
        ({"chunk": 0}, "chunk is 0: it must be a whole number of at least 1"),
        ({"window": 0}, "window is 0: it must be a whole number of at least 1"),
        ({"heads": True}, "heads is True: it must be a whole number of at least 1"),
        ({"decay_scaling": 1.5}, "decay_scaling is 1.5: it must be between 0 and 1"),
        ({"segment": -1}, "segment is -1: it must be a whole number of timesteps of at least 1"),
        ({"dtype": "float8"}, "dtype is 'float8': it must be one of float32, bfloat16"),
    ],
)
def test_bad_model_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"envs": 3}, r"envs is 3: it must be divisible by the number of minibatches \(2\)"),
        ({"seq_len": 0}, "seq_len is 0"),
        (
            {"envs": 8, "accumulate": 3},
            r"accumulate is 3: it must be a divisor of the environments of a minibatch",
        ),
        ({"gamma": 1.1}, "gamma is 1.1: it must be between 0 and 1"),
        ({"clip": 0.0}, "clip is 0.0: it must be a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it must be a number above 0"),
        ({"entropy_coef": -0.1}, "entropy_coef is -0.1: it must be a number of at least 0"),
    ],
)
def test_bad_trainer_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPOConfig(**options)  # type: ignore[arg-type]


def test_defaults_are_the_published_ones() -> None:
    config = PPOConfig()
    assert (config.gamma, config.gae_lambda, config.clip) == (0.99, 0.95, 0.2)
    assert (config.learning_rate, config.max_grad_norm, config.adam_eps) == (2.5e-4, 0.5, 1e-5)
    assert (config.entropy_coef, config.value_coef) == (0.01, 0.5)


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_mode_can_be_built(name: str) -> None:
    for mode in set(MODELS[name].modes) - set(MODELS[name].gpu_only):
        policy = build_policy(ModelConfig(model=name, mode=mode, embed_dim=8, heads=2), Space(2, 3, 4))
        assert callable(policy.act)


def test_what_needs_a_gpu_is_in_no_sweep_that_does_not_name_it() -> None:
    for entry in MODELS.values():
        assert set(entry.gpu_only) <= set(entry.modes)
        assert not set(entry.gpu_only) & set(entry.default_modes)


def test_a_width_must_fit_the_heads_of_a_model_that_has_them() -> None:
    assert check(ModelConfig(model="ippo", mode="", embed_dim=30)).name == "ippo"
    for config in (ModelConfig(embed_dim=30), ModelConfig(model="mine:own", mode="", embed_dim=30)):
        with pytest.raises(ValueError, match=r"embed_dim is 30: it must be divisible by the number of heads \(4\)"):
            check(config)
        with pytest.raises(ValueError, match="embed_dim is 30"):
            build_policy(config, Space(2, 3, 4))


def test_the_registry_names_modes_that_exist() -> None:
    for entry in MODELS.values():
        assert {mode for mode, _ in entry.growth} >= set(entry.quadratic_memory)
        assert entry.linear_mode in ("", *entry.modes)
        assert entry.linear_mode not in entry.quadratic_memory
        for modes in (entry.default_modes, entry.chunked, entry.gpu_only, entry.quadratic_memory):
            assert set(modes) <= set(entry.modes)
    reference = reference_of(ModelConfig(model="mat", mode="dense", blocks=2))
    assert (reference.model, reference.mode, reference.blocks) == (REFERENCE, REFERENCE_MODE, 2)
    assert check(reference) is MODELS[REFERENCE]


def test_unknown_models_and_modes() -> None:
    with pytest.raises(ValueError, match="model is 'sabel': it must be one of sable, mat"):
        build_policy(ModelConfig(model="sabel"), Space(2, 3, 4))
    with pytest.raises(ValueError, match="num_agents is 0: it must be a whole number of at least 1"):
        build_policy(ModelConfig(), Space(0, 3, 4))
    with pytest.raises(ValueError, match="mode is 'dense': sable has chunkwise, recurrent, parallel, factored"):
        build_policy(ModelConfig(mode="dense"), Space(2, 3, 4))
    with pytest.raises(ValueError, match="mode is 'chunkwise': ippo has no modes"):
        build_policy(ModelConfig(model="ippo"), Space(2, 3, 4))
