"""Makes one environment a batch for training: batching, auto-reset, staggered starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from sable.types import Actions, EpisodeStatistics, Observation, Space, Step
from scenarios import episodes, reset_pool
from scenarios.configs import BATCHINGS, RESETS
from scenarios.reset_pool import ResetPool


class EnvironmentStep(NamedTuple):
    """The result of one step of one environment, before any reset."""

    state: PyTree[Any]
    observation: Observation
    reward: Float[Array, "*B N"]
    discount: Float[Array, "*B"]
    """0 at a termination, 1 otherwise (also at a time-limit truncation)."""
    ended: Bool[Array, "*B"]


@runtime_checkable
class Environment(Protocol):
    """One environment of N agents, without a batch axis and without auto-reset."""

    space: Space

    @property
    def episode_limit(self) -> int:
        """The most timesteps of an episode."""
        ...

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[PyTree[Any], Observation]:
        """Start an episode as if the fraction `elapsed` of its limit had passed.

        A task that cannot start late ignores `elapsed` and starts at timestep 0.
        """
        ...

    def step(
        self, state: PyTree[Any], actions: Int[Array, " N"] | Float[Array, "N A"], key: PRNGKeyArray
    ) -> EnvironmentStep:
        """Advance by one timestep; continuous actions are in [−1, 1]."""
        ...


class BatchState(NamedTuple):
    """The state of all environments, B leading."""

    environment: PyTree[Any]
    statistics: EpisodeStatistics
    pool: ResetPool | tuple[()] = ()
    """Starts of future episodes, K leading; empty with exact resets."""


class Batched:
    """B environments stepped together, each reset when its episode ends; implements `sable.types.Scenario`.

    `batching` is `vmap` (all at once) or `map` (one after the other). A scan or a `cond` inside a step can cost far
    more under `vmap`, which copies the carry and computes every branch.

    `reset` is the source of new episodes. `pool` takes one of K starts made in advance (`scenarios.reset_pool`), so
    that a step contains no reset. `exact` resets within the step, which is right if a reset costs no more than a step:
    under `vmap` it is computed for every environment at every step, under `map` only if an episode ended.

    Starts are staggered (environment b starts as if b/B of its episode had passed), so that environments do not all
    reset together. A task that cannot start late starts all of them at 0.

    Raises `ValueError` for an unknown `batching` or `reset`, and for an empty pool.
    """

    def __init__(
        self,
        environment: Environment,
        envs: int,
        *,
        batching: str = "vmap",
        reset: str = "exact",
        pool_size: int | None = None,
    ) -> None:
        if batching not in BATCHINGS:
            raise ValueError(f"batching is {batching!r}: it must be one of {', '.join(BATCHINGS)}")
        if reset not in RESETS:
            raise ValueError(f"reset is {reset!r}: it must be one of {', '.join(RESETS)}")
        if pool_size is not None and pool_size < 1:
            raise ValueError(f"pool_size is {pool_size}: it must be a whole number of at least 1")
        self.environment = environment
        self.envs = envs
        self.batching = batching
        self.reset_kind = reset
        self.pool_size = 0 if reset == "exact" else pool_size or reset_pool.default_size(environment.reset, envs)
        """Starts in the pool; 0 with exact resets."""

    @property
    def space(self) -> Space:
        """The environment's sizes."""
        return self.environment.space

    def reset(self, key: PRNGKeyArray) -> tuple[BatchState, Observation]:
        """Start all environments, staggered."""
        exact_vmap = self.reset_kind == "exact" and self.batching == "vmap"
        pool_key, key = (key, key) if self.reset_kind == "exact" else jax.random.split(key)
        keys, elapsed = jax.random.split(key, self.envs), jnp.arange(self.envs) / self.envs
        # One after the other unless resets are cheap: a batched reset could be expensive, and this runs once.
        batched = jax.vmap(self.environment.reset) if exact_vmap else _mapped(self.environment.reset)
        states, observation = batched(keys, elapsed)
        state = BatchState(states, episodes.start(observation.step_count))
        return self.refresh(state, pool_key), observation

    def refresh(self, state: BatchState, key: PRNGKeyArray) -> BatchState:
        """The same state with a new pool of starts; unchanged with exact resets.

        It takes as long as K resets, so call it between updates.
        """
        if self.reset_kind == "exact":
            return state
        return state._replace(pool=reset_pool.build(self.environment.reset, key, self.pool_size))

    def episode_statistics(self, state: BatchState) -> EpisodeStatistics:
        """The statistics of every environment's episodes."""
        return state.statistics

    def step(self, state: BatchState, actions: Actions, key: PRNGKeyArray) -> Step:
        """Advance all environments by one timestep; `Step.observation` is the next episode's first if one ended."""
        step_key, reset_key = jax.random.split(key)
        batched = jax.vmap if self.batching == "vmap" else _mapped
        keys = jax.random.split(step_key, self.envs)
        if isinstance(state.pool, ResetPool):
            step = batched(self.environment.step)(state.environment, actions, keys)
            current = (step.state, step.observation)
            environment, observation = reset_pool.restart(state.pool, step.ended, current, reset_key)
        else:
            reset_keys = jax.random.split(reset_key, self.envs)
            step, (environment, observation) = batched(self._step_exactly)(state.environment, actions, keys, reset_keys)
        step_count = step.observation.step_count
        statistics = episodes.count(state.statistics, step.reward, step.ended, step_count)
        return Step(
            state=BatchState(environment, statistics, state.pool),
            observation=observation,
            reward=step.reward,
            discount=step.discount,
            ended=step.ended,
            terminal_observation=step.observation,
        )

    def _step_exactly(
        self,
        state: PyTree[Any],
        actions: Int[Array, " N"] | Float[Array, "N A"],
        key: PRNGKeyArray,
        reset_key: PRNGKeyArray,
    ) -> tuple[EnvironmentStep, tuple[PyTree[Any], Observation]]:
        """One environment's step, and the state and observation to continue from."""
        step = self.environment.step(state, actions, key)
        following: tuple[PyTree[Any], Observation] = jax.lax.cond(
            step.ended,
            lambda: self.environment.reset(reset_key, jnp.zeros(())),
            lambda: (step.state, step.observation),
        )
        return step, following


def _mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` over the leading axes of its arguments, one after the other."""
    return lambda *arguments: jax.lax.map(lambda each: function(*each), arguments)
