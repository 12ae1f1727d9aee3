"""`pattern-memory`: agents repeat a cue some timesteps after seeing it once. A diagnostic of memory, ours.

Task          at the first timestep of an episode the team sees a cue, one of `symbols` (4), drawn uniformly. `delay`
              (8) timesteps later every agent must choose the action with the cue's number. Earlier actions do not
              count.
Observation   symbols + 2 numbers per agent, at most 16, the same for all agents: the cue one-hot at the first timestep
              and zeros after it (symbols), 1 at the scored timestep (1), timestep / (delay + 1) (1). Neither the last
              action nor the last reward is observed, so only a model's own memory can hold the cue.
Actions       `symbols` discrete.
Mask          all are always legal.
Reward        1 for the cue's number at timestep `delay`, 0 for other actions and at other timesteps: each agent its own
              (`individual`) or the team's mean (`shared`).
Episode       delay + 1 timesteps, then a termination (discount 0). All start at timestep 0: a late start would miss the
              cue.
Scaling rule  none needed: one cue for the whole team, so there is the same to remember at every N.
Largest N     16384: time and memory are O(N).
Optimum       a return of 1 per episode, 1 / (delay + 1) per timestep. A policy without memory reaches at most
              1 / symbols: its observation at the scored timestep, like other agents' actions, does not depend on the
              cue.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sable.types import Observation, Space
from scenarios.configs import PatternMemoryConfig
from scenarios.wrappers import EnvironmentStep


class PatternMemoryState(NamedTuple):
    """The state of one environment."""

    step_count: Int[Array, ""]
    cue: Int[Array, ""]


class PatternMemory:
    """One environment; see the module's docstring for the task."""

    def __init__(self, num_agents: int, config: PatternMemoryConfig) -> None:
        self.delay, self.symbols = config.delay, config.symbols
        self.shared = config.reward == "shared"
        self.space = Space(num_agents, features=config.symbols + 2, actions=config.symbols)

    @property
    def episode_limit(self) -> int:
        """Timesteps of an episode."""
        return self.delay + 1

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[PatternMemoryState, Observation]:
        """Draw a cue and show it; `elapsed` is ignored."""
        cue = jax.random.randint(key, (), 0, self.symbols, dtype=jnp.int32)
        state = PatternMemoryState(jnp.zeros((), dtype=jnp.int32), cue)
        return state, self._observe(state)

    def step(self, state: PatternMemoryState, actions: Int[Array, " N"], key: PRNGKeyArray) -> EnvironmentStep:
        """Score the actions if the timestep is scored, and advance one timestep."""
        score = ((actions == state.cue) & (state.step_count == self.delay)).astype(jnp.float32)
        state = state._replace(step_count=state.step_count + 1)
        ended = state.step_count >= self.episode_limit
        return EnvironmentStep(
            state=state,
            observation=self._observe(state),
            reward=jnp.full_like(score, score.mean()) if self.shared else score,
            discount=1.0 - ended.astype(jnp.float32),
            ended=ended,
        )

    def _observe(self, state: PatternMemoryState) -> Observation:
        shown = jnp.where(state.step_count == 0, jax.nn.one_hot(state.cue, self.symbols), 0.0)
        scored = (state.step_count == self.delay).astype(jnp.float32)
        elapsed = (state.step_count / self.episode_limit).astype(jnp.float32)
        features = jnp.concatenate([shown, scored[None], elapsed[None]])
        agents = self.space.num_agents
        return Observation(
            features=jnp.broadcast_to(features, (agents, self.space.features)),
            action_mask=jnp.ones((agents, self.symbols), dtype=bool),
            step_count=state.step_count,
        )


def make(num_agents: int, config: PatternMemoryConfig) -> PatternMemory:
    """The registry's factory."""
    return PatternMemory(num_agents, config)
