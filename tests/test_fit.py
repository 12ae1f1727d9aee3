"""How XLA's temporary memory of learning grows: slow, because every size is compiled."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import pytest

from sable.config import ModelConfig, PPOConfig
from sable.models import build_policy
from sable.training import ppo
from sable.types import Observation, Space


def learning_temporaries(agents: int, timesteps: int, segment: int) -> int:
    """Bytes of the gradient of the loss over one environment with `factored` Sable, from shapes alone."""
    policy = build_policy(ModelConfig(mode="factored", embed_dim=16, heads=2, segment=segment), Space(agents, 6, 4))
    config = PPOConfig(seq_len=timesteps, envs=1, minibatches=1, accumulate=1)

    @jax.eval_shape
    def batch() -> ppo.Batch:
        shape = (1, timesteps, agents)
        numbers, whole = jnp.zeros(shape), jnp.zeros(shape, dtype=int)
        observation = Observation(jnp.zeros((*shape, 6)), jnp.ones((*shape, 4), dtype=bool), whole[..., 0])
        resets = jnp.zeros(shape[:2], dtype=bool)
        return ppo.Batch(observation, whole, resets, numbers, numbers, numbers, numbers, policy.init_carry(1))

    params = jax.eval_shape(lambda: policy.init(jax.random.key(0)))
    compiled = jax.jit(functools.partial(ppo.gradients, policy, config)).lower(params, batch).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    return int(memory.temp_size_in_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("segment", [1024, 0], ids=["whole", "auto"])
def test_memory_of_learning_is_linear_in_agents_and_timesteps(segment: int) -> None:
    small, large = learning_temporaries(64, 4, segment), learning_temporaries(4096, 4, segment)
    assert math.log(large / small) / math.log(4096 / 64) <= 1.05
    short, long = learning_temporaries(16, 16, segment), learning_temporaries(16, 256, segment)
    assert math.log(long / short) / math.log(256 / 16) <= 1.05
