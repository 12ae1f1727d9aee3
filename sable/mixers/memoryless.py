"""The common part of mixers within a timestep, which have no memory between timesteps: the carry is `()`."""

from __future__ import annotations

from abc import abstractmethod

import jax
from flax import nnx
from jaxtyping import Array, Bool, DTypeLike, Float

from sable.mixers.base import TimestepState
from sable.mixers.projections import Projections
from sable.types import Carry


class Memoryless(Projections):
    """Multi-head attention of any kind among the agents of each timestep, with biases.

    A subclass implements `attend` for whole timesteps, and `begin_timestep` and `step` for agent by agent, as in
    `sable.mixers.base.Mixer`.
    """

    def __init__(self, embed_dim: int, heads: int, *, causal: bool, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        super().__init__(embed_dim, heads, dtype=dtype, rngs=rngs)
        self.causal = causal

    @abstractmethod
    def attend(
        self, q: Float[Array, "B T N H d"], k: Float[Array, "B T N H d"], v: Float[Array, "B T N H d"]
    ) -> Float[Array, "B T N H d"]:
        """The heads' outputs over all agents of a timestep, or over the agents up to each if the mixer is causal."""

    def init_carry(self, envs: int) -> Carry:
        """No memory."""
        return ()

    @jax.named_scope("attention")
    def __call__(
        self,
        query: Float[Array, "B T N E"],
        key: Float[Array, "B T N E"],
        resets: Bool[Array, "B T"],
        carry: Carry,
    ) -> tuple[Float[Array, "B T N E"], Carry]:
        """Attention among the N agents of each timestep."""
        return self.merge(self.attend(*self.project(query, key))), carry

    def timestep(
        self,
        query: Float[Array, "B 1 N E"],
        key: Float[Array, "B 1 N E"],
        resets: Bool[Array, "B 1"],
        carry: Carry,
    ) -> tuple[Float[Array, "B 1 N E"], Carry]:
        """The same as `__call__`: timesteps do not mix."""
        return self(query, key, resets, carry)

    def end_timestep(self, state: TimestepState) -> Carry:
        """No memory."""
        return ()
