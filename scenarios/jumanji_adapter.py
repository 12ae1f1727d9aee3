"""Adapts any multi-agent environment of Jumanji to `scenarios.wrappers.Environment`.

Jumanji is not imported here: the caller passes one of its environments.

Conventions that Jumanji (1.1.2) leaves to each environment, and how they are adapted:

Episode end   `TimeStep.last()`. It is a termination if the discount is 0 for every agent, otherwise a truncation. Some
              environments (Cleaner, RobotWarehouse, SearchAndRescue) also call reaching the time limit a termination;
              `truncated` identifies those. Discounts before the end (Connector gives 0 to an agent that is done) are
              ignored: an episode belongs to the team.
Reward        one number for the team, given to every agent, or one per agent, which `reward="shared"` replaces by the
              mean.
Observation   `observe(state, timestep)`: float32, (N, F), with F independent of N.
Actions       a `MultiDiscreteArray` with the same number of actions for every agent, or a `BoundedArray` (N, A);
              [−1, 1] is scaled to its bounds.
Randomness    the state's `key` is replaced before every step, so that episodes from the same start of a pool differ.
Late starts   not supported: `elapsed` is ignored and every episode starts at timestep 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from sable.types import Observation, Space
from scenarios.configs import REWARDS
from scenarios.wrappers import EnvironmentStep

JumanjiEnvironment: TypeAlias = Any
"""A `jumanji.Environment`."""
TimeStep: TypeAlias = Any
"""A `jumanji.types.TimeStep`."""
Observe: TypeAlias = Callable[[Any, TimeStep], Float[Array, "N F"]]
"""Features from Jumanji's state and timestep."""


class AdaptedState(NamedTuple):
    """The state of one environment."""

    environment: PyTree[Any]
    """Jumanji's state."""
    step_count: Int[Array, ""]


class Adapted:
    """A Jumanji environment; see the module's docstring for its conventions.

    `observe` defaults to `flat_observation`. `reward` is `shared`, `individual` or, by default, the environment's own.
    `truncated(state, timestep)` tells whether an episode that ended was truncated; by default Jumanji's discount tells.
    `episode_limit` defaults to the environment's `time_limit`; an episode that reaches it is truncated.

    Raises `ValueError` for an environment without agents or a time limit, for unsupported actions, for a team reward if
    `individual` is requested, and for features of the wrong shape.
    """

    def __init__(
        self,
        environment: JumanjiEnvironment,
        observe: Observe | None = None,
        *,
        reward: str | None = None,
        truncated: Callable[[Any, TimeStep], Bool[Array, ""]] | None = None,
        episode_limit: int | None = None,
    ) -> None:
        if reward not in (None, *REWARDS):
            raise ValueError(f"reward is {reward!r}: it must be one of {', '.join(REWARDS)}")
        self.environment = environment
        self._name = type(environment).__name__
        self._agents = int(getattr(environment, "num_agents", 0)) or _first_axis(environment.action_spec)
        if self._agents < 1:
            raise ValueError(f"{self._name} has no agents: it needs num_agents, or actions of shape (agents, …)")
        limit = episode_limit or getattr(environment, "time_limit", None)
        if not limit:
            raise ValueError(f"{self._name} has no time_limit: give episode_limit")
        self._limit = int(limit)
        self._observe = observe or (lambda _, timestep: flat_observation(timestep.observation, self._agents))
        self._truncated = truncated
        actions, self._bounds = self._action_kind()
        state, timestep = jax.eval_shape(lambda: self._jumanji_reset(jax.random.key_data(jax.random.key(0))))
        features = jax.eval_shape(self._observe, state, timestep)
        if features.ndim != 2 or features.shape[0] != self._agents:
            raise ValueError(
                f"{self._name} is observed in shape {features.shape}: it must be ({self._agents}, features)"
            )
        self.space = Space(self._agents, features.shape[1], actions, continuous=self._bounds is not None)
        _, timestep = jax.eval_shape(self._jumanji_step, state, self._action_shape())
        own = timestep.reward.shape == (self._agents,)
        if reward == "individual" and not own:
            raise ValueError(f"reward is 'individual': {self._name} rewards the team as a whole: write shared")
        self._shared = reward == "shared" or not own

    @property
    def episode_limit(self) -> int:
        """The most timesteps of an episode, whether Jumanji or this class ends it."""
        return self._limit

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[AdaptedState, Observation]:
        """Start an episode, always at timestep 0."""
        state, timestep = self._jumanji_reset(jax.random.key_data(key))
        step_count = jnp.zeros((), dtype=jnp.int32)
        return AdaptedState(state, step_count), self._observation(state, timestep, step_count)

    def step(
        self, state: AdaptedState, actions: Int[Array, " N"] | Float[Array, "N A"], key: PRNGKeyArray
    ) -> EnvironmentStep:
        """One step of Jumanji's environment."""
        after, timestep = self._jumanji_step(_with_key(state.environment, key), self._jumanji_actions(actions))
        step_count = state.step_count + 1
        over = timestep.last()
        terminated = over & (timestep.discount == 0).all()
        if self._truncated is not None:
            terminated = over & ~self._truncated(after, timestep)
        ended = over | (step_count >= self._limit)
        reward = jnp.asarray(timestep.reward, dtype=jnp.float32)
        return EnvironmentStep(
            state=AdaptedState(after, step_count),
            observation=self._observation(after, timestep, step_count),
            reward=jnp.broadcast_to(reward.mean(), (self._agents,)) if self._shared else reward,
            discount=1.0 - terminated.astype(jnp.float32),
            ended=ended,
        )

    def _jumanji_reset(self, key: Array) -> tuple[Any, TimeStep]:
        with jax.numpy_rank_promotion("allow"):  # Jumanji relies on it
            started: tuple[Any, TimeStep] = self.environment.reset(key)
        return started

    def _jumanji_step(self, state: Any, actions: Array) -> tuple[Any, TimeStep]:
        with jax.numpy_rank_promotion("allow"):
            stepped: tuple[Any, TimeStep] = self.environment.step(state, actions)
        return stepped

    def _observation(self, state: Any, timestep: TimeStep, step_count: Int[Array, ""]) -> Observation:
        mask = getattr(timestep.observation, "action_mask", None)
        shape = (self._agents, self.space.actions)
        return Observation(
            features=self._observe(state, timestep).astype(jnp.float32),
            action_mask=jnp.ones(shape, dtype=bool) if mask is None else mask.astype(bool),
            step_count=step_count,
        )

    def _action_kind(self) -> tuple[int, tuple[np.ndarray, np.ndarray] | None]:
        """Number of actions or dimensions, and the bounds of continuous actions."""
        spec = self.environment.action_spec
        if spec.shape[:1] == (self._agents,):
            if hasattr(spec, "num_values") and len(set(np.ravel(spec.num_values).tolist())) == 1:
                return int(np.ravel(spec.num_values)[0]), None
            if hasattr(spec, "minimum") and len(spec.shape) == 2 and jnp.issubdtype(spec.dtype, jnp.floating):
                low, high = (np.broadcast_to(x, spec.shape) for x in (spec.minimum, spec.maximum))
                if np.isfinite(low).all() and np.isfinite(high).all():
                    return spec.shape[1], (low, high)
        raise ValueError(f"{self._name} acts by {spec}: it must be a choice or a bounded vector, alike for every agent")

    def _action_shape(self) -> jax.ShapeDtypeStruct:
        spec = self.environment.action_spec
        return jax.ShapeDtypeStruct(spec.shape, spec.dtype)

    def _jumanji_actions(self, actions: Int[Array, " N"] | Float[Array, "N A"]) -> Array:
        if self._bounds is None:
            return actions.astype(jnp.int32)
        low, high = self._bounds
        return jnp.asarray(low + (actions + 1.0) / 2.0 * (high - low))


def flat_observation(observation: Any, agents: int) -> Float[Array, "N F"]:
    """All fields of Jumanji's observation with a leading axis of agents, except the mask, concatenated as float32.

    An environment with fields that grow with N, or with other axes of length N, needs its own `observe`.
    """
    fields = observation._asdict() if hasattr(observation, "_asdict") else vars(observation)
    leaves = jax.tree.leaves({name: value for name, value in fields.items() if name != "action_mask"})
    own = [leaf.reshape(agents, -1).astype(jnp.float32) for leaf in leaves if leaf.shape[:1] == (agents,)]
    if not own:
        raise ValueError(f"{type(observation).__name__} has no field of shape ({agents} agents, …): give observe")
    return jnp.concatenate(own, axis=-1)


def is_jumanji(environment: object) -> bool:
    """Whether this is a Jumanji environment (and not one of our `Environment`)."""
    return all(hasattr(environment, name) for name in ("action_spec", "observation_spec", "reset", "step"))


def _with_key(state: Any, key: PRNGKeyArray) -> Any:
    """Jumanji's state with another key if it holds one; any other field named `key` stays."""
    fresh = jax.random.key_data(key)
    held = getattr(state, "key", None)
    if getattr(held, "shape", None) != fresh.shape or getattr(held, "dtype", None) != fresh.dtype:
        return state
    return state._replace(key=fresh) if hasattr(state, "_replace") else dataclasses.replace(state, key=fresh)


def _first_axis(spec: Any) -> int:
    return int(spec.shape[0]) if getattr(spec, "shape", ()) else 0
