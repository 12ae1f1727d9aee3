"""Two custom scenarios: `scaleprof sweep --scenario custom_scenario:make`, and `custom_scenario:make_jumanji`.

A factory is called with the number of agents N; JAX traces the methods of what it returns. `make` returns an object
that implements `scenarios.wrappers.Environment`, `make_jumanji` a Jumanji environment in the adapter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sable.types import Observation, Space
from scenarios.wrappers import EnvironmentStep


def make(num_agents):
    """The factory that `--scenario custom_scenario:make` names."""
    return Gather(num_agents)


class GatherState(NamedTuple):
    """The state of one environment: a pytree of arrays whose shapes never change."""

    step_count: jax.Array
    """Timesteps of the episode so far, from 0: ()."""
    places: jax.Array
    """Every agent's position on the line: (N,)."""


class Gather:
    """Agents on a line must gather: the reward is minus the agent's distance from the team's mean position.

    `reset` and `step` handle one environment: no batch axis, and no reset at an episode's end.
    """

    episode_limit = 20

    def __init__(self, num_agents):
        # An observation must not grow with N: here 2 numbers, the agent's position and the way to the team's mean.
        self.space = Space(num_agents, features=2, actions=3)

    def reset(self, key, elapsed):
        """A new episode. A task that can start late begins at the fraction `elapsed`; this one ignores it."""
        places = jax.random.uniform(key, (self.space.num_agents,), minval=-1.0, maxval=1.0)
        state = GatherState(jnp.zeros((), dtype=jnp.int32), places)
        return state, self.observe(state)

    def step(self, state, actions, key):
        """One timestep; action 0 goes left, 1 stays, 2 goes right."""
        places = jnp.clip(state.places + 0.1 * (actions - 1), -1.0, 1.0)
        state = GatherState(state.step_count + 1, places)
        return EnvironmentStep(
            state=state,
            observation=self.observe(state),
            reward=-jnp.abs(places - places.mean()),
            discount=jnp.ones(()),  # 0 where the task itself is over; here only the time limit ends an episode
            ended=state.step_count >= self.episode_limit,
        )

    def observe(self, state):
        """Features (N, F), legal actions (N, A) and the timestep ()."""
        way = state.places.mean() - state.places
        left, right = state.places > -1.0, state.places < 1.0
        return Observation(
            features=jnp.stack([state.places, way], axis=-1),
            action_mask=jnp.stack([left, jnp.ones_like(left), right], axis=-1),
            step_count=state.step_count,
        )


def make_jumanji(num_agents):
    """Jumanji's Connector with its own generator, in the adapter, with observations of our own.

    Jumanji shows every agent the whole board; `observe` makes a small observation from the state instead. If no field
    of an environment's observation grows with N, `observe` is not needed: return the environment as it is.
    """
    from jumanji.environments import Connector
    from jumanji.environments.routing.connector.generator import UniformRandomGenerator

    from scenarios.jumanji_adapter import Adapted

    side = math.isqrt(10 * num_agents) + 1

    def observe(state, timestep):
        """4 numbers per agent: its position and the way to its target, in board lengths."""
        agents = state.agents
        return jnp.concatenate([agents.position, agents.target - agents.position], axis=-1) / side

    environment = Connector(UniformRandomGenerator(side, num_agents), time_limit=50)
    return Adapted(environment, observe, reward="individual")
