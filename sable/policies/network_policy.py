"""The common part of policies with a Flax NNX network: parameters, memory, and learning in segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, PRNGKeyArray

from sable.layers.tuned import tune
from sable.policies.segments import Segmentation, in_segments
from sable.tuning import Tuning
from sable.types import ActionSequence, Carry, Evaluation, Observation, Params


@runtime_checkable
class WithMemory(Protocol):
    """A network with a memory."""

    def init_carry(self, envs: int) -> Carry:
        """The memory of B environments before their first timestep."""
        ...


Network = TypeVar("Network", bound=WithMemory)
Memory = TypeVar("Memory")


class NetworkPolicy(ABC, Generic[Network, Memory]):
    """The part of `sable.types.Policy` that is common to all networks."""

    def __init__(self, build: Callable[[nnx.Rngs], Network], *, segmentation: Segmentation, tuning: Tuning) -> None:

        def tuned(rngs: nnx.Rngs) -> Network:
            return tune(build(rngs), tuning)

        self._build = tuned
        self._segmentation = segmentation
        self._tuning = tuning
        self._shapes = nnx.eval_shape(lambda: tuned(nnx.Rngs(0)))
        self._graph, _ = nnx.split(self._shapes)

    def init(self, key: PRNGKeyArray) -> Params:
        """Fresh parameters."""
        return nnx.state(self._build(nnx.Rngs(key)))

    def init_carry(self, envs: int) -> Memory:
        """The empty memory of B environments."""
        carry: Memory = self._shapes.init_carry(envs)
        return carry

    def evaluate(
        self,
        params: Params,
        observation: Observation,
        actions: ActionSequence,
        resets: Bool[Array, "B T"],
        carry: Memory,
    ) -> Evaluation:
        """Apply the network to whole sequences, segment by segment."""
        network = self.network(params)

        def segment(carry: Memory, sequence: tuple[Observation, ActionSequence, Array]) -> tuple[Memory, Evaluation]:
            return self._evaluate_segment(network, *sequence, carry)

        length = self.segment_timesteps(*observation.features.shape[:3])
        return in_segments(segment, (observation, actions, resets), carry, length)

    def segment_timesteps(self, envs: int, timesteps: int, agents: int) -> int:
        """Timesteps whose activations `evaluate` keeps at once for sequences of this size."""
        return self._segmentation.timesteps(envs, timesteps, agents)

    def network(self, params: Params) -> Network:
        """The network with these parameters."""
        return nnx.merge(self._graph, params)

    @abstractmethod
    def _evaluate_segment(
        self,
        network: Network,
        observation: Observation,
        actions: ActionSequence,
        resets: Bool[Array, "B T"],
        carry: Memory,
    ) -> tuple[Memory, Evaluation]:
        """The memory after a segment, and the evaluation of its actions."""


def as_sequence(observation: Observation) -> Observation:
    """One timestep as a sequence of length 1."""
    return Observation(*(jnp.expand_dims(x, 1) for x in observation))
