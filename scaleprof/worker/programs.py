"""The compiled programs of one point: the seam between tool and library. Imports jax; only children import it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from sable.matching import count_numbers, match_parameters
from sable.models import build_policy
from sable.policies.cost_hints import cost_hints
from sable.training import ppo
from sable.training.training_programs import TrainingPrograms
from sable.tuning import default_platform
from sable.types import Observation, Params, Scenario, TrainState
from scaleprof.points.point import Point
from scenarios import make_scenario


class Programs(TrainingPrograms):
    """A point's training programs and `environment`, all compiled ahead of time."""

    reference_parameters: int | None
    """Parameters of the model whose size this one was matched to, if any."""

    def __init__(
        self,
        point: Point,
        batching: str = "",
        place: jax.sharding.Sharding | None = None,
        platform: str | None = None,
    ) -> None:
        """`place` is the device to compile for, and `platform` its platform, if it is not jax's own."""
        platform = platform or default_platform()
        tuning = point.tuning(platform)
        config = dataclasses.replace(point.ppo_config(), tuning=tuning)
        self.batching = batching or point.batching
        scenario = make_scenario(
            point.scenario,
            point.agents,
            point.scenario_options(),
            point.envs,
            batching=self.batching,
            reset=point.reset,
        )
        model = dataclasses.replace(point.model_config(), platform=platform, tuning=tuning)
        self.reference_parameters = None
        if point.match:
            model, self.reference_parameters = match_parameters(model, scenario.space)
        self.embed_dim = model.embed_dim
        policy = build_policy(model, scenario.space)
        envs, *sequence = config.envs // config.minibatches, config.seq_len, point.agents
        self.learn_groups = ppo.accumulation_groups(config, envs, *sequence)
        """Gradient groups: groups of environments that a minibatch is learned from, one after the other."""
        hints = cost_hints(policy, envs // self.learn_groups, *sequence)
        self.segment_timesteps = hints.segment_timesteps
        """Timesteps whose activations learning keeps at once; None if the policy does not tell."""
        self.while_trips = hints.while_trips
        """Mean iterations of while loops with a length that only the data decides."""
        super().__init__(policy, scenario, config, place)
        self.functions["environment"] = functools.partial(random_play, scenario, config.seq_len)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return count_numbers(self.state_shapes.params)

    def facts(self) -> dict[str, int | str | None]:
        """What a record holds of the programs before any is compiled."""
        return {
            "batched_by": self.batching,
            "learn_groups": self.learn_groups,
            "segment_timesteps": self.segment_timesteps,
            "parameters": self.parameters,
            "matched_embed_dim": None if self.reference_parameters is None else self.embed_dim,
            "reference_parameters": self.reference_parameters,
            **self.part_bytes(),
        }

    def part_bytes(self) -> dict[str, int]:
        """Bytes of the parts of the training state, and of one rollout."""
        state, trajectory = self.rollout_shapes
        return {
            "state_parameters_bytes": _bytes_of(state.params),
            "state_optimiser_bytes": _bytes_of(state.opt_state),
            "state_environment_bytes": _bytes_of((state.env_state, state.observation, state.reset, state.carry)),
            "trajectory_bytes": _bytes_of(trajectory),
        }

    def program(self, name: str) -> Callable[..., Any]:
        """The compiled program: nothing may compile while it is being measured."""
        return self._compiled[name]

    @property
    def environment(self) -> Callable[..., Any]:
        """The environment steps of a rollout without a model."""
        return self.program("environment")

    @staticmethod
    def to_host(params: Params) -> Params:
        """A copy that survives the donation of the arrays."""
        return jax.device_get(params)

    @staticmethod
    def distance(before: Params, after: Params) -> float:
        """L2 distance between two sets of parameters, computed on the host so that nothing compiles."""
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(jax.device_get(after)), strict=True)
        return math.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in pairs))


def _bytes_of(shapes: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def random_play(scenario: Scenario, seq_len: int, state: TrainState) -> PyTree:
    """T steps of all environments under random legal actions; returns the last state, the observation and all rewards.

    The noise is drawn once and rolled over the agents at every step, so that drawing it costs next to nothing.
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
