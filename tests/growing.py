"""What is asked of every scenario: that nothing in it grows faster than the team, and that a trainer can use it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from graphs import largest_array
from worlds import tiny_policy, tiny_ppo

from sable.training import ppo
from scenarios import make_environment
from scenarios.contract import contract_defects
from scenarios.wrappers import Batched, Environment


def check_growth(scenario: str, *, features: int, factor: float, each: int) -> None:
    """Four times the agents make arrays of at most `factor` times the elements, and at most `each` an agent.

    Looked at is the largest array of a start and of a step, with 250 agents and with 1000.
    """
    few, many = (make_environment(scenario, agents, {}) for agents in (250, 1000))
    assert few.space.features == many.space.features == features
    for small, large in zip(_largest_arrays(few), _largest_arrays(many), strict=True):
        assert large <= factor * small
        assert large <= each * 1000


def check_trainer(scenario: Batched, model: str, mode: str) -> None:
    """It keeps the contract, and an update of a trainer leaves everything of the shape that it had."""
    assert contract_defects(scenario.environment, scenario.space.num_agents) == []
    policy, config = tiny_policy(model, mode, scenario.space), tiny_ppo(envs=2, epochs=1, minibatches=1)
    begun = jax.eval_shape(partial(ppo.init_train_state, policy, scenario, config), jax.random.key(0))
    after, _ = jax.eval_shape(partial(ppo.update, policy, scenario, config), begun)
    assert jax.tree.leaves(after) == jax.tree.leaves(begun)


def _largest_arrays(environment: Environment) -> tuple[int, int]:
    key, space = jax.random.key(0), environment.space
    state, _ = jax.eval_shape(environment.reset, key, jnp.zeros(()))
    shape = (space.num_agents, space.actions) if space.continuous else (space.num_agents,)
    actions = jax.ShapeDtypeStruct(shape, jnp.float32 if space.continuous else jnp.int32)
    start = largest_array(environment.reset, key, jnp.zeros(()))
    return start, largest_array(environment.step, state, actions, key)
