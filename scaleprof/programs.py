"""The compiled programs of one point: the seam between tool and library. Imports jax; only children import it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sable import ppo
from sable.matching import match_parameters
from sable.models import build_policy
from sable.types import Params, TrainState
from scaleprof.grid import Point
from scenarios import make_environment
from scenarios.wrappers import Batched


class Programs:
    """act, rollout and learn of a point, compiled ahead of time from shapes alone, without any array in memory."""

    reference_parameters: int | None
    """Parameters of the model that this one's width was matched to, if it was."""

    def __init__(self, point: Point) -> None:
        config = point.ppo_config()
        scenario = Batched(make_environment(point.scenario, point.agents, point.scenario_options()), point.envs)
        model, self.reference_parameters = point.model_config(), None
        if point.match:
            model, self.reference_parameters = match_parameters(model, scenario.space)
        self.embed_dim = model.embed_dim
        policy = build_policy(model, scenario.space)
        init = functools.partial(ppo.init_train_state, policy, scenario, config)
        self._functions: dict[str, Callable[..., Any]] = {
            "init": init,
            "act": functools.partial(ppo.act, policy),
            "rollout": functools.partial(ppo.rollout, policy, scenario, config),
            "learn": functools.partial(ppo.learn, policy, config),
        }
        self._compiled: dict[str, jax.stages.Compiled] = {}
        self._key = jax.eval_shape(lambda: jax.random.key(0))
        self._state = jax.eval_shape(init, self._key)

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self._state.params))

    def compile(self, name: str) -> jax.stages.Compiled:
        """Trace, lower and compile one of init, act, rollout and learn; the state is donated where it is replaced."""
        function = self._functions[name]
        arguments: tuple[Any, ...] = (self._state,)
        if name == "init":
            arguments = (self._key,)
        elif name == "learn":
            arguments = jax.eval_shape(self._functions["rollout"], self._state)
        jitted = jax.jit(function, donate_argnums=0) if name in ("rollout", "learn") else jax.jit(function)
        self._compiled[name] = jitted.lower(*arguments).compile()
        return self._compiled[name]

    @staticmethod
    def key(seed: int) -> jax.Array:
        """The random key of a seed, computed."""
        key: jax.Array = jax.block_until_ready(jax.random.key(seed))
        return key

    def init(self, key: jax.Array) -> TrainState:
        """The state at the start of training, computed."""
        state: TrainState = jax.block_until_ready(self._compiled["init"](key))
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

    @staticmethod
    def distance(before: Params, after: Params) -> float:
        """L2 distance between two sets of parameters."""
        squares = [jnp.sum((a - b) ** 2) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]
        return math.sqrt(float(sum(squares)))

    @staticmethod
    def episode_return(state: TrainState) -> float | None:
        """Mean return per agent of the last whole episodes; None before any environment finished one."""
        statistics = state.env_state.statistics
        finished = statistics.episodes > 0
        if not bool(finished.any()):
            return None
        return float(jnp.sum(statistics.last_return * finished) / finished.sum())
