"""Tiny scenarios and trainers for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sable.config import ModelConfig, PPOConfig
from sable.models import MODELS, build_policy
from sable.types import Observation, Policy, Space
from scenarios import make_environment
from scenarios.wrappers import Batched, EnvironmentStep

VARIANTS = ("sable-memoryless", "mat-rms", "linear-attention", "mat-temporal")
"""Models in another model's skeleton: what is shown of its options, actions and modes holds for theirs."""
MODES = [
    (entry.name, mode)
    for entry in MODELS.values()
    for mode in (entry.modes[:1] if entry.name in VARIANTS else entry.modes or ("",))
    if mode not in entry.gpu_only
]
"""Every registered model in each of its modes that runs anywhere, variants in their first mode."""
ONE_MODE_EACH = [(entry.name, next(iter(entry.modes), "")) for entry in MODELS.values() if entry.name not in VARIANTS]
"""Every registered model but variants in its first mode, for what the modes share."""
TINY = {"embed_dim": 8, "heads": 2}


class CounterState(NamedTuple):
    """Timestep of the episode, and a number that tells episodes apart."""

    step_count: Int[Array, ""]
    episode: Float[Array, ""]


class Counter:
    """Episodes of `limit` timesteps whose observation is the timestep; ends by a time limit (truncation).

    Action 0 earns 1, action 1 nothing, and action 2 is illegal for agent 0.
    """

    def __init__(self, num_agents: int, limit: int) -> None:
        self.space = Space(num_agents, features=2, actions=3)
        self.limit = limit

    @property
    def episode_limit(self) -> int:
        return self.limit

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[CounterState, Observation]:
        state = CounterState(jnp.zeros((), dtype=jnp.int32), jax.random.uniform(key))
        return state, self._observe(state)

    def step(self, state: CounterState, actions: Int[Array, " N"], key: PRNGKeyArray) -> EnvironmentStep:
        state = state._replace(step_count=state.step_count + 1)
        return EnvironmentStep(
            state=state,
            observation=self._observe(state),
            reward=(actions == 0).astype(jnp.float32),
            discount=jnp.ones(()),
            ended=state.step_count >= self.limit,
        )

    def _observe(self, state: CounterState) -> Observation:
        agents = self.space.num_agents
        features = jnp.stack([state.step_count / 10.0, state.episode])
        mask = jnp.ones((agents, 3), dtype=bool).at[0, 2].set(False)
        return Observation(jnp.broadcast_to(features, (agents, 2)), mask, state.step_count)


class AimState(NamedTuple):
    """Timestep of the episode, where to aim in it, and the actions that were received last."""

    step_count: Int[Array, ""]
    target: Float[Array, "N A"]
    received: Float[Array, "N A"]


class Aim:
    """Episodes of `limit` timesteps in which every agent sees a point of [−0.8, 0.8]² and must name it.

    Reward is 1 minus the mean squared distance, 1 at best; an episode ends by a time limit (truncation). An observation
    is the point, the action that the environment received last, and 1 and −1, which keep a norm from hiding sizes.
    """

    def __init__(self, num_agents: int, limit: int) -> None:
        self.space = Space(num_agents, features=6, actions=2, continuous=True)
        self.limit = limit

    @property
    def episode_limit(self) -> int:
        return self.limit

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[AimState, Observation]:
        shape = (self.space.num_agents, self.space.actions)
        target = jax.random.uniform(key, shape, minval=-0.8, maxval=0.8)
        state = AimState(jnp.zeros((), dtype=jnp.int32), target, jnp.zeros(shape))
        return state, self._observe(state)

    def step(self, state: AimState, actions: Float[Array, "N A"], key: PRNGKeyArray) -> EnvironmentStep:
        state = AimState(state.step_count + 1, state.target, actions)
        return EnvironmentStep(
            state=state,
            observation=self._observe(state),
            reward=1.0 - ((actions - state.target) ** 2).mean(axis=-1),
            discount=jnp.ones(()),
            ended=state.step_count >= self.limit,
        )

    def _observe(self, state: AimState) -> Observation:
        constants = jnp.broadcast_to(jnp.array([1.0, -1.0]), state.target.shape)
        features = jnp.concatenate([state.target, state.received, constants], axis=-1)
        return Observation(features, jnp.ones_like(state.target, dtype=bool), state.step_count)


def promoting(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of Jumanji's, which relies on rank promotion."""

    def call(*arguments: Any) -> Any:
        with jax.numpy_rank_promotion("allow"):
            return function(*arguments)

    return call


def neom(num_agents: int, envs: int, **options: object) -> Batched:
    """A batch of `neom` environments."""
    return Batched(make_environment("neom", num_agents, dict(options)), envs)


def tiny_policy(model: str, mode: str, space: Space, **options: object) -> Policy:
    """A small policy."""
    return build_policy(ModelConfig(model=model, mode=mode, **TINY | options), space)  # type: ignore[arg-type]


def tiny_ppo(**options: object) -> PPOConfig:
    """A small trainer: 5 timesteps of 4 environments."""
    return PPOConfig(**{"seq_len": 5, "envs": 4} | options)  # type: ignore[arg-type]
