"""The programs of a training run, by name: jitted when first called, or compiled ahead of time.

    init      seed, repeat → state             rollout   state → state, trajectory
    act       state → action                   learn     state, trajectory → state, metrics
    refresh   state → state with a new pool    inspect   trajectory → which kinds of defects it has

`rollout`, `learn` and `refresh` donate the state they are given. All programs can be traced and compiled from shapes
alone, before any array exists.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from sable.config import PPOConfig
from sable.training import ppo
from sable.training.rollout_defects import describe_defect, find_defects
from sable.types import CountingScenario, EpisodeStatistics, Policy, PooledScenario, Scenario, TrainState, Trajectory

DONATING = ("rollout", "learn", "refresh")


class TrainingPrograms:
    """See the module's docstring."""

    def __init__(
        self, policy: Policy, scenario: Scenario, config: PPOConfig, place: jax.sharding.Sharding | None = None
    ) -> None:
        """`place` is the device to compile for where it is not jax's own, such as one of a topology."""
        self._scenario, self._place = scenario, place
        self.pool_size = scenario.pool_size if isinstance(scenario, PooledScenario) else 0
        """Episode starts in the scenario's pool; 0 without a pool."""

        def init(seed: jax.Array, repeat: jax.Array) -> TrainState:
            key = jax.random.fold_in(jax.random.key(seed), repeat)
            return ppo.init_train_state(policy, scenario, config, key)

        self.functions: dict[str, Callable[..., Any]] = {
            "init": init,
            "act": functools.partial(ppo.act, policy),
            "rollout": functools.partial(ppo.rollout, policy, scenario, config),
            "learn": functools.partial(ppo.learn, policy, config),
            "refresh": functools.partial(_refresh, scenario),
            "inspect": find_defects,
        }
        self._jitted: dict[str, Callable[..., Any]] = {}
        self._compiled: dict[str, jax.stages.Compiled] = {}
        self._seeds = (jax.ShapeDtypeStruct((), np.uint32), jax.ShapeDtypeStruct((), np.uint32))
        self.state_shapes: TrainState = jax.eval_shape(init, *self._seeds)

    @functools.cached_property
    def rollout_shapes(self) -> tuple[TrainState, Trajectory]:
        """The shapes of the state after a rollout, and of the rollout."""
        shapes: tuple[TrainState, Trajectory] = jax.eval_shape(self.functions["rollout"], self.state_shapes)
        return shapes

    def trace(self, name: str) -> jax.stages.Traced:
        """Trace a program for arguments of the run's shapes."""
        arguments: tuple[Any, ...] = (self.state_shapes,)
        if name == "init":
            arguments = self._seeds
        elif name in ("learn", "inspect"):
            after, trajectory = self.rollout_shapes
            arguments = (after, trajectory) if name == "learn" else (trajectory,)
        if self._place is not None:
            arguments = jax.tree.map(self._placed, arguments)
        traced: jax.stages.Traced = self._jit(name).trace(*arguments)
        return traced

    def _placed(self, shape: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=self._place)

    def compile(
        self, name: str, lowered: jax.stages.Lowered, options: Mapping[str, Any] | None = None
    ) -> jax.stages.Compiled:
        """Compile a lowered program with XLA's `options`, and call it by this name from now on."""
        self._compiled[name] = lowered.compile(None if options is None else dict(options))
        return self._compiled[name]

    def program(self, name: str) -> Callable[..., Any]:
        """The compiled program, or the jitted function if it was not compiled ahead of time."""
        if name in self._compiled:
            return self._compiled[name]
        if name not in self._jitted:
            self._jitted[name] = self._jit(name)
        return self._jitted[name]

    def _jit(self, name: str) -> Any:
        return jax.jit(self.functions[name], donate_argnums=0 if name in DONATING else ())

    def init(self, seed: int, repeat: int = 0) -> TrainState:
        """The computed state at the start of training; each repeat of a seed starts from different random numbers."""
        state: TrainState = jax.block_until_ready(self.program("init")(np.uint32(seed), np.uint32(repeat)))
        return state

    @property
    def act(self) -> Callable[..., Any]:
        """One action of every agent in every environment, without an environment step."""
        return self.program("act")

    @property
    def rollout(self) -> Callable[..., Any]:
        """A rollout; donates the state."""
        return self.program("rollout")

    @property
    def learn(self) -> Callable[..., Any]:
        """All epochs and minibatches of one rollout; donates the state."""
        return self.program("learn")

    @property
    def refresh(self) -> Callable[..., Any]:
        """The state with a new pool of episode starts; donates the state."""
        return self.program("refresh")

    def defects(self, trajectory: Trajectory) -> str:
        """Describe an environment defect that no model can act in or learn from; empty if there is none."""
        return describe_defect(trajectory) if np.asarray(self.program("inspect")(trajectory)).any() else ""

    def episode_statistics(self, state: TrainState) -> EpisodeStatistics | None:
        """Statistics of every environment's episodes, on the host; None if the scenario does not count them."""
        if not isinstance(self._scenario, CountingScenario):
            return None
        statistics: EpisodeStatistics = jax.device_get(self._scenario.episode_statistics(state.env_state))
        return statistics


def _refresh(scenario: Scenario, state: TrainState) -> TrainState:
    assert isinstance(scenario, PooledScenario)
    key, pool_key = jax.random.split(state.key)
    return state._replace(env_state=scenario.refresh(state.env_state, pool_key), key=key)
