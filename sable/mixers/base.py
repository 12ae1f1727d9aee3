"""The protocol of a sequence mixer: what moves information between tokens.

A mixer is a Flax NNX module. It has three entrances that compute the same function: whole sequences (`__call__`, for
training), all agents of one timestep (`timestep`, for acting where the agents' tokens are known: the encoder) and one
agent after the other (`begin_timestep`, `step`, `end_timestep`, for autoregressive acting).

A mixer is *causal* (agent i sees agents up to i of its timestep: the decoder) or *full* (all of them: the encoder).
Only a causal mixer can step agent by agent.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Bool, Float, Int

from sable.types import Carry

TimestepState: TypeAlias = Any
"""A pytree: what a mixer keeps between the agents of one timestep."""


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
        """What `__call__` gives for a single timestep, in the cheapest way, whatever form sequences are computed in."""
        ...

    def begin_timestep(self, carry: Carry, reset: Bool[Array, " B"], num_agents: int) -> TimestepState:
        """Open a timestep: forget where an episode starts, then let time pass once."""
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
        """Close a timestep: what is remembered of it."""
        ...
