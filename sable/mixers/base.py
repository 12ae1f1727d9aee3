"""The protocol of a sequence mixer, the layer that moves information between tokens.

A mixer is a Flax NNX module. It computes one function in three ways: for whole sequences (`__call__`, in training), for
all agents of one timestep (`timestep`, when the encoder acts) and agent by agent (`begin_timestep`, `step`,
`end_timestep`, in autoregressive acting).

A mixer is *causal* (agent i sees agents up to i of its timestep: the decoder) or *full* (all of them: the encoder).
Only a causal mixer can step agent by agent.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Bool, Float, Int

from sable.types import Carry

TimestepState: TypeAlias = Any
"""A pytree: a mixer's state between the agents of one timestep."""


@runtime_checkable
class Mixer(Protocol):
    """See the module's docstring. `query` and `key` are token streams; values are made from the key stream."""

    def init_carry(self, envs: int) -> Carry:
        """The memory of B environments before their first timestep; `()` without memory."""
        ...

    def __call__(
        self,
        query: Float[Array, "B T N E"],
        key: Float[Array, "B T N E"],
        resets: Bool[Array, "B T"],
        carry: Carry,
    ) -> tuple[Float[Array, "B T N E"], Carry]:
        """Mix T timesteps of N agents; returns the tokens and the memory after the last timestep."""
        ...

    def timestep(
        self,
        query: Float[Array, "B 1 N E"],
        key: Float[Array, "B 1 N E"],
        resets: Bool[Array, "B 1"],
        carry: Carry,
    ) -> tuple[Float[Array, "B 1 N E"], Carry]:
        """The same as `__call__` for a single timestep, in the cheapest form."""
        ...

    def begin_timestep(self, carry: Carry, reset: Bool[Array, " B"], num_agents: int) -> TimestepState:
        """Start a timestep: zero the memory where an episode starts, then decay it once."""
        ...

    def step(
        self,
        query: Float[Array, "B E"],
        key: Float[Array, "B E"],
        agent: Int[Array, ""],
        state: TimestepState,
    ) -> tuple[Float[Array, "B E"], TimestepState]:
        """Mix the token of `agent`, given those of the agents before it."""
        ...

    def end_timestep(self, state: TimestepState) -> Carry:
        """End a timestep: the memory after it."""
        ...
