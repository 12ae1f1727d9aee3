"""Learning by learning: an untrained policy against a trained one on a task with a known optimum (1.0 per timestep)."""

from __future__ import annotations

from functools import partial

import jax
import pytest
from worlds import neom

from sable import ppo
from sable.config import ModelConfig, PPOConfig
from sable.models import build_policy

UPDATES = 120


@pytest.mark.slow
@pytest.mark.parametrize(("model", "mode"), [("sable", "chunkwise"), ("mat", "dense")])
def test_four_agents_learn_their_pattern(model: str, mode: str) -> None:
    scenario = neom(4, 16, reward="individual")
    config = PPOConfig(envs=16, epochs=4, minibatches=4, learning_rate=3e-3)
    policy = build_policy(ModelConfig(model=model, mode=mode), scenario.space)
    state = jax.jit(partial(ppo.init_train_state, policy, scenario, config))(jax.random.key(0))
    update = jax.jit(partial(ppo.update, policy, scenario, config), donate_argnums=0)
    scores = []
    for _ in range(UPDATES):
        state, metrics = update(state)
        scores.append(float(metrics.mean_reward))
    assert 0.5 < scores[0] < 0.7
    assert sum(scores[-10:]) / 10 > 0.95
