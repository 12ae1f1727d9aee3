"""`turn-taking`: neighbours must act differently without knowing their place. A diagnostic of autoregressive acting,
ours.

Task          all agents act at once at every timestep; agent i scores if its action differs from that of agent i − 1.
              Agent 0, which has nobody before it, scores if its action differs from that of agent 1.
Observation   2 numbers, the same for all agents: 1, and timestep / horizon. Agents have no identity and observe neither
              their last action nor their last reward, so they cannot be told apart over time either.
Actions       2 discrete.
Mask          both are always legal.
Reward        1 to each agent that scored, else 0 (`individual`), or the team's mean (`shared`).
Episode       `horizon` timesteps (16), then a termination (discount 0).
Scaling rule  none needed: each agent has one neighbour in every team.
Largest N     16384: time and memory are O(N). At least 2 agents.
Optimum       1 per timestep for a policy that sees the actions of earlier agents: do the opposite of the last one. At
              most 0.5 for independent agents with shared weights: all choose action 0 with the same probability p, and
              two of them differ with probability 2p(1 − p). Both hold exactly at every N. This is why agent 0 is
              compared with agent 1: if it always scored, independent agents could exceed 0.5; if it were compared with
              the last agent, an odd team could never reach 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sable.types import Observation, Space
from scenarios.configs import TurnTakingConfig
from scenarios.wrappers import EnvironmentStep

ACTIONS = 2


class TurnTakingState(NamedTuple):
    """The state of one environment."""

    step_count: Int[Array, ""]


class TurnTaking:
    """One environment; see the module's docstring for the task."""

    def __init__(self, num_agents: int, config: TurnTakingConfig) -> None:
        self.horizon = config.horizon
        self.shared = config.reward == "shared"
        self.space = Space(num_agents, features=2, actions=ACTIONS)

    @property
    def episode_limit(self) -> int:
        """Timesteps of an episode."""
        return self.horizon

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[TurnTakingState, Observation]:
        """Start an episode of which the fraction `elapsed` in [0, 1) has already passed."""
        state = TurnTakingState(jnp.floor(elapsed * self.horizon).astype(jnp.int32))
        return state, self._observe(state)

    def step(self, state: TurnTakingState, actions: Int[Array, " N"], key: PRNGKeyArray) -> EnvironmentStep:
        """Compare every agent with its neighbour and advance one timestep."""
        neighbours = jnp.concatenate([actions[1:2], actions[:-1]])
        score = (actions != neighbours).astype(jnp.float32)
        state = TurnTakingState(state.step_count + 1)
        ended = state.step_count >= self.horizon
        return EnvironmentStep(
            state=state,
            observation=self._observe(state),
            reward=jnp.full_like(score, score.mean()) if self.shared else score,
            discount=1.0 - ended.astype(jnp.float32),
            ended=ended,
        )

    def _observe(self, state: TurnTakingState) -> Observation:
        features = jnp.stack([jnp.ones(()), (state.step_count / self.horizon).astype(jnp.float32)])
        agents = self.space.num_agents
        return Observation(
            features=jnp.broadcast_to(features, (agents, 2)),
            action_mask=jnp.ones((agents, ACTIONS), dtype=bool),
            step_count=state.step_count,
        )


def make(num_agents: int, config: TurnTakingConfig) -> TurnTaking:
    """The registry's factory."""
    return TurnTaking(num_agents, config)
