"""Two scenarios of your own: `scaleprof sweep --scenario custom_scenario:make`, and `custom_scenario:make_jumanji`.

A factory is called with the number of agents N, and whatever it returns is traced by JAX. `make` returns an object that
keeps `scenarios.wrappers.Environment`; `make_jumanji` an environment of Jumanji's behind the adapter.
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
    """What one environment remembers: a pytree of arrays, of the same shapes after every step."""

    step_count: jax.Array
    """Timesteps of the episode so far, from 0: ()."""
    places: jax.Array
    """Where every agent is on a line: (N,)."""


class Gather:
    """Agents on a line must come together: each is rewarded with minus its distance from where the team is on average.

    `reset` and `step` are of one environment, without a batch axis and without resetting where an episode ends.
    """

    episode_limit = 20

    def __init__(self, num_agents):
        # What an agent sees must not grow with N: here 2 numbers, its place and the way to the team's middle.
        self.space = Space(num_agents, features=2, actions=3)

    def reset(self, key, elapsed):
        """A new episode. A task that could start late would start where the fraction `elapsed` of it has passed."""
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
            discount=jnp.ones(()),  # 0 where the task itself is over; this one is only ever cut off by its limit
            ended=state.step_count >= self.episode_limit,
        )

    def observe(self, state):
        """Features (N, F), which actions are legal (N, A), and the timestep ()."""
        way = state.places.mean() - state.places
        left, right = state.places > -1.0, state.places < 1.0
        return Observation(
            features=jnp.stack([state.places, way], axis=-1),
            action_mask=jnp.stack([left, jnp.ones_like(left), right], axis=-1),
            step_count=state.step_count,
        )


def make_jumanji(num_agents):
    """Jumanji's Connector on boards of its own generator, seen in our own way, behind the adapter.

    Jumanji shows the whole board to everybody; `observe` makes of its state what each agent sees instead. Where no
    field of an environment's observation grows with N there is no need of it: return the environment as it is.
    """
    from jumanji.environments import Connector
    from jumanji.environments.routing.connector.generator import UniformRandomGenerator

    from scenarios.jumanji_adapter import Adapted

    side = math.isqrt(10 * num_agents) + 1

    def observe(state, timestep):
        """4 numbers per agent: its place on the board and the way to its target, in board lengths."""
        agents = state.agents
        return jnp.concatenate([agents.position, agents.target - agents.position], axis=-1) / side

    environment = Connector(UniformRandomGenerator(side, num_agents), time_limit=50)
    return Adapted(environment, observe, reward="individual")
