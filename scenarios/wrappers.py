"""From one environment to the batch that the trainer steps: auto-reset, staggered starts, episode statistics."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from sable.types import Actions, Observation, Space, Step


class EnvironmentStep(NamedTuple):
    """What one step of one environment returns, before any reset."""

    state: PyTree[Any]
    observation: Observation
    reward: Float[Array, "*B N"]
    discount: Float[Array, "*B"]
    """0 at a termination, 1 otherwise (also where a time limit cut the episode off)."""
    ended: Bool[Array, "*B"]


@runtime_checkable
class Environment(Protocol):
    """One environment of N agents, without a batch axis and without auto-reset."""

    space: Space

    @property
    def episode_limit(self) -> int:
        """The most timesteps that an episode lasts."""
        ...

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[PyTree[Any], Observation]:
        """Start an episode, as if the fraction `elapsed` of its limit had passed where the task allows a late start."""
        ...

    def step(
        self, state: PyTree[Any], actions: Int[Array, " N"] | Float[Array, "N A"], key: PRNGKeyArray
    ) -> EnvironmentStep:
        """Advance by one timestep; continuous actions are in [−1, 1]."""
        ...


class EpisodeStatistics(NamedTuple):
    """What is known of each environment's episodes."""

    running_return: Float[Array, " B"]
    """Reward per agent, summed over the episode so far."""
    whole: Bool[Array, " B"]
    """False for a first episode that started late: its return says nothing."""
    last_return: Float[Array, " B"]
    """Return of the last whole episode; 0 before there was one."""
    episodes: Int[Array, " B"]
    """Whole episodes that have ended."""


class BatchState(NamedTuple):
    """The state of all environments, B leading."""

    environment: PyTree[Any]
    statistics: EpisodeStatistics


class Batched:
    """B environments stepped together, each reset where its episode ended; `sable.types.Scenario` is its contract.

    An ended episode's environment is reset within the same step, by choosing between two states: right where a reset
    costs no more than a step. Environments start at different moments of an episode (environment b as if b/B of it had
    passed), so that they do not all reset together.
    """

    def __init__(self, environment: Environment, envs: int) -> None:
        self.environment = environment
        self.envs = envs

    @property
    def space(self) -> Space:
        """The environment's sizes."""
        return self.environment.space

    def reset(self, key: PRNGKeyArray) -> tuple[BatchState, Observation]:
        """Start all environments, staggered."""
        elapsed = jnp.arange(self.envs) / self.envs
        states, observation = jax.vmap(self.environment.reset)(jax.random.split(key, self.envs), elapsed)
        statistics = EpisodeStatistics(
            running_return=jnp.zeros(self.envs),
            whole=observation.step_count == 0,
            last_return=jnp.zeros(self.envs),
            episodes=jnp.zeros(self.envs, dtype=jnp.int32),
        )
        return BatchState(states, statistics), observation

    def step(self, state: BatchState, actions: Actions, key: PRNGKeyArray) -> Step:
        """Advance all environments by one timestep; `Step.observation` is the next episode's where one ended."""
        step_key, reset_key = jax.random.split(key)
        step_keys, reset_keys = jax.random.split(step_key, self.envs), jax.random.split(reset_key, self.envs)
        step = jax.vmap(self.environment.step)(state.environment, actions, step_keys)
        fresh = jax.vmap(self.environment.reset)(reset_keys, jnp.zeros(self.envs))
        environment, observation = jax.tree.map(
            lambda new, old: jnp.where(_like(step.ended, old), new, old), fresh, (step.state, step.observation)
        )
        return Step(
            state=BatchState(environment, _count(state.statistics, step)),
            observation=observation,
            reward=step.reward,
            discount=step.discount,
            ended=step.ended,
            terminal_observation=step.observation,
        )


def _like(flag: Bool[Array, " B"], x: Array) -> Bool[Array, "..."]:
    """`flag` with as many axes as `x`."""
    return flag.reshape(flag.shape + (1,) * (x.ndim - 1))


def _count(before: EpisodeStatistics, step: EnvironmentStep) -> EpisodeStatistics:
    """The statistics after one more step."""
    running = before.running_return + step.reward.mean(axis=-1)
    counted = step.ended & before.whole
    return EpisodeStatistics(
        running_return=jnp.where(step.ended, 0.0, running),
        whole=before.whole | step.ended,
        last_return=jnp.where(counted, running, before.last_return),
        episodes=before.episodes + counted,
    )
