"""The compiled programs of one point: the seam between tool and library. Imports jax; only children import it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from sable.matching import count_numbers, match_parameters
from sable.mixers.blockwise_attention import BLOCK
from sable.models import build_policy
from sable.policies.network_policy import NetworkPolicy
from sable.training import ppo
from sable.types import Observation, Params, Scenario, TrainState, Trajectory
from scaleprof.points.point import Point
from scenarios import make_scenario
from scenarios.wrappers import Batched


class Programs:
    """act, rollout and learn of a point, compiled ahead of time from shapes alone, without any array in memory."""

    reference_parameters: int | None
    """Parameters of the model that this one's width was matched to, if it was."""

    def __init__(self, point: Point, batching: str = "") -> None:
        config = point.ppo_config()
        self.batching = batching or point.batching
        scenario = make_scenario(
            point.scenario,
            point.agents,
            point.scenario_options(),
            point.envs,
            batching=self.batching,
            reset=point.reset,
        )
        self.pool_size = scenario.pool_size
        model, self.reference_parameters = point.model_config(), None
        if point.match:
            model, self.reference_parameters = match_parameters(model, scenario.space)
        self.embed_dim = model.embed_dim
        self._agents, self._mode = point.agents, point.mode
        policy = build_policy(model, scenario.space)
        envs, *sequence = config.envs // config.minibatches, config.seq_len, point.agents
        self.learn_groups = ppo.accumulation_groups(config, envs, *sequence)
        """Groups of environments that a minibatch is learned from, one after the other."""
        self.segment_timesteps: int | None = None
        """Timesteps of which learning keeps the activations at once; not known of a model of somebody's own."""
        if isinstance(policy, NetworkPolicy):
            self.segment_timesteps = policy.segment_timesteps(envs // self.learn_groups, *sequence)

        def init(seed: jax.Array, repeat: jax.Array) -> TrainState:
            key = jax.random.fold_in(jax.random.key(seed), repeat)
            return ppo.init_train_state(policy, scenario, config, key)

        self._functions: dict[str, Callable[..., Any]] = {
            "init": init,
            "act": functools.partial(ppo.act, policy),
            "rollout": functools.partial(ppo.rollout, policy, scenario, config),
            "learn": functools.partial(ppo.learn, policy, config),
            "environment": functools.partial(random_play, scenario, config.seq_len),
            "refresh": functools.partial(refresh, scenario),
            "inspect": inspect,
        }
        self._compiled: dict[str, jax.stages.Compiled] = {}
        self._seeds = (jax.ShapeDtypeStruct((), np.uint32), jax.ShapeDtypeStruct((), np.uint32))
        self._state = jax.eval_shape(init, *self._seeds)

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return count_numbers(self._state.params)

    @property
    def while_trips(self) -> float:
        """How often, on average, the loops run whose length only their data tells.

        Those of blockwise attention stop at an agent's own block, which is half of all blocks on average. Fixed-point
        acting is counted as if its first pass were its last, so that its figure is a lower bound.
        """
        blocks = math.ceil(self._agents / BLOCK)
        return (blocks + 1) / 2 if self._mode == "blockwise" else 1.0

    def trace(self, name: str) -> jax.stages.Traced:
        """Trace one of init, act, rollout, learn and environment; the state is donated where it is replaced."""
        function = self._functions[name]
        arguments: tuple[Any, ...] = (self._state,)
        if name == "init":
            arguments = self._seeds
        elif name in ("learn", "inspect"):
            after, trajectory = jax.eval_shape(self._functions["rollout"], self._state)
            arguments = (after, trajectory) if name == "learn" else (trajectory,)
        jitted = jax.jit(function, donate_argnums=0) if name in ("rollout", "learn", "refresh") else jax.jit(function)
        return jitted.trace(*arguments)

    def compile(self, name: str, lowered: jax.stages.Lowered) -> jax.stages.Compiled:
        """Compile what was traced and lowered under this name, to be called by it from now on."""
        self._compiled[name] = lowered.compile()
        return self._compiled[name]

    def init(self, seed: int, repeat: int) -> TrainState:
        """The state at the start of training, computed; every repeat of a seed starts from another one."""
        state: TrainState = jax.block_until_ready(self._compiled["init"](np.uint32(seed), np.uint32(repeat)))
        return state

    @staticmethod
    def to_host(params: Params) -> Params:
        """A copy that outlives the arrays' donation."""
        return jax.device_get(params)

    @property
    def act(self) -> Callable[..., Any]:
        """One step's actions of all agents in all environments, the policy alone."""
        return self._compiled["act"]

    @property
    def rollout(self) -> Callable[..., Any]:
        """A rollout; donates the state."""
        return self._compiled["rollout"]

    @property
    def learn(self) -> Callable[..., Any]:
        """All epochs and minibatches on one rollout; donates the state."""
        return self._compiled["learn"]

    @property
    def environment(self) -> Callable[..., Any]:
        """The environment steps of a rollout without any model."""
        return self._compiled["environment"]

    @property
    def refresh(self) -> Callable[..., TrainState]:
        """The same state with a new pool of starts; donates the state."""
        return self._compiled["refresh"]

    def defects(self, trajectory: Trajectory) -> str:
        """What the environments did in a rollout that no model can act in or learn from: a line, or nothing."""
        if not np.asarray(self._compiled["inspect"](trajectory)).any():
            return ""
        observation, reward, discount = jax.device_get(
            (trajectory.transitions.observation, trajectory.transitions.reward, trajectory.transitions.discount)
        )
        for found, text in (
            (~np.isfinite(observation.features), "feature {3} of agent {2} is not finite"),
            (~observation.action_mask.any(axis=-1), "agent {2} has no legal action"),
            (~np.isfinite(reward), "the reward of agent {2} is not finite"),
        ):
            if found.any():
                where = np.argwhere(found)[0]
                return f"{text.format(*where)} in environment {where[0]} at timestep {where[1]} of a rollout"
        env, timestep = np.argwhere(_no_discount(discount))[0]
        value = discount[env, timestep]
        return f"discount is {value:g}, not 0 to 1, in environment {env} at timestep {timestep} of a rollout"

    @staticmethod
    def distance(before: Params, after: Params) -> float:
        """L2 distance between two sets of parameters, computed on the host so that nothing is compiled for it."""
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(jax.device_get(after)), strict=True)
        return math.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in pairs))

    @staticmethod
    def episode_return(state: TrainState) -> float | None:
        """Mean return per agent of the last whole episodes; None before any environment finished one."""
        statistics = jax.device_get(state.env_state.statistics)
        finished = statistics.episodes > 0
        return float(statistics.last_return[finished].mean()) if finished.any() else None

    @staticmethod
    def episode_length(state: TrainState) -> float | None:
        """Mean timesteps of the last whole episodes; None before any environment finished one."""
        statistics = jax.device_get(state.env_state.statistics)
        finished = statistics.episodes > 0
        return float(statistics.last_length[finished].mean()) if finished.any() else None


def refresh(scenario: Batched, state: TrainState) -> TrainState:
    """The state with a new pool of starts for the episodes to come."""
    key, pool_key = jax.random.split(state.key)
    return state._replace(env_state=scenario.refresh(state.env_state, pool_key), key=key)


def inspect(trajectory: Trajectory) -> Bool[Array, "4"]:
    """Whether anywhere in a rollout features, masks, rewards and discounts are what they must not be."""
    seen = trajectory.transitions
    return jnp.stack(
        [
            ~jnp.isfinite(seen.observation.features).all(),
            ~seen.observation.action_mask.any(axis=-1).all(),
            ~jnp.isfinite(seen.reward).all(),
            _no_discount(seen.discount).any(),
        ]
    )


def _no_discount(discount: Any) -> Any:
    return ~((discount >= 0) & (discount <= 1))


def random_play(scenario: Scenario, seq_len: int, state: TrainState) -> PyTree:
    """T steps of all environments under random legal actions; returns their last state, observation and all rewards.

    The random numbers are drawn once and given to other agents at every step, so that they cost next to nothing.
    """
    space = scenario.space
    draw = jax.random.uniform if not space.continuous else functools.partial(jax.random.uniform, minval=-1.0)
    noise = draw(state.key, (scenario.envs, space.num_agents, space.actions))

    def step(carry: tuple[PyTree, Observation], t: jax.Array) -> tuple[tuple[PyTree, Observation], jax.Array]:
        env_state, observation = carry
        actions = jnp.roll(noise, t, axis=-2)
        if not space.continuous:
            actions = jnp.argmax(jnp.where(observation.action_mask, actions, -1.0), axis=-1)
        result = scenario.step(env_state, actions, jax.random.fold_in(state.key, t))
        return (result.state, result.observation), result.reward

    return jax.lax.scan(step, (state.env_state, state.observation), jnp.arange(seq_len))
