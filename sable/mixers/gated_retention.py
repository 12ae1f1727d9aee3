"""The retention layer of Sable: projections, retention in one of its forms, a norm and a gate."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, DTypeLike, Float, Int

from sable.layers.linear import Linear
from sable.layers.norms import HeadNorm
from sable.mixers.base import TimestepState
from sable.mixers.retention import Form, factored, head_decays, open_timestep
from sable.tuning import Tuned


class GatedRetention(Tuned, nnx.Module):
    """Multi-head retention with a swish gate: y = (swish(key·W_g) ⊙ GroupNorm(retention(q, k, v))) W_o.

    q comes from the query stream, k, v and the gate from the key stream. The norm is per token and head, ε = 1e-6.
    """

    def __init__(
        self,
        embed_dim: int,
        heads: int,
        *,
        form: Form,
        causal: bool,
        decay_scaling: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        def projection() -> Linear:
            init = nnx.initializers.normal(1.0 / embed_dim)
            return Linear(embed_dim, embed_dim, bias=False, kernel_init=init, dtype=dtype, rngs=rngs)

        self.heads = heads
        self.head_dim = embed_dim // heads
        self.form = form
        self.causal = causal
        self.decay_scaling = decay_scaling
        self.query, self.key, self.value = projection(), projection(), projection()
        self.gate, self.output = projection(), projection()
        self.norm = HeadNorm(embed_dim, heads)

    def init_carry(self, envs: int) -> Float[Array, "B H d d"]:
        """A state of zeros."""
        return jnp.zeros((envs, self.heads, self.head_dim, self.head_dim))

    def __call__(
        self,
        query: Float[Array, "B T N E"],
        key: Float[Array, "B T N E"],
        resets: Bool[Array, "B T"],
        carry: Float[Array, "B H d d"],
    ) -> tuple[Float[Array, "B T N E"], Float[Array, "B H d d"]]:
        """Retention over T timesteps of N agents by this mixer's form."""
        return self._mix(self.form, query, key, resets, carry)

    def timestep(
        self,
        query: Float[Array, "B 1 N E"],
        key: Float[Array, "B 1 N E"],
        resets: Bool[Array, "B 1"],
        carry: Float[Array, "B H d d"],
    ) -> tuple[Float[Array, "B 1 N E"], Float[Array, "B H d d"]]:
        """One timestep from its d×d state: O(N) in every mode."""
        form = functools.partial(factored, block=self.tuning.agent_block)
        return self._mix(form, query, key, resets, carry)

    def begin_timestep(
        self, carry: Float[Array, "B H d d"], reset: Bool[Array, " B"], num_agents: int
    ) -> TimestepState:
        """The state at the start of a timestep, before its first agent."""
        return open_timestep(carry, self._decay(), reset)

    @jax.named_scope("retention")
    def step(
        self, query: Float[Array, "B E"], key: Float[Array, "B E"], agent: Int[Array, ""], state: TimestepState
    ) -> tuple[Float[Array, "B E"], TimestepState]:
        """Add one agent's key and value to the state, then query it."""
        q, k, v = self._heads(self.query(query)), self._heads(self.key(key)), self._heads(self.value(key))
        state = state + k[..., :, None] * v[..., None, :]
        return self._gated(jnp.einsum("bhd,bhde->bhe", q, state), key), state

    def end_timestep(self, state: TimestepState) -> Float[Array, "B H d d"]:
        """The running state after the last agent."""
        carry: Array = state
        return carry

    @jax.named_scope("retention")
    def _mix(
        self,
        form: Form,
        query: Float[Array, "B T N E"],
        key: Float[Array, "B T N E"],
        resets: Bool[Array, "B T"],
        carry: Float[Array, "B H d d"],
    ) -> tuple[Float[Array, "B T N E"], Float[Array, "B H d d"]]:
        with jax.named_scope("query_key_value"):
            q, k, v = self._heads(self.query(query)), self._heads(self.key(key)), self._heads(self.value(key))
        y, carry = form(q, k, v, self._decay(), resets, carry, causal=self.causal)
        return self._gated(y, key), carry

    def _decay(self) -> Float[Array, " H"]:
        return head_decays(self.heads, self.decay_scaling)

    def _heads(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens H d"]:
        return x.astype(jnp.float32).reshape(*x.shape[:-1], self.heads, self.head_dim)

    @jax.named_scope("gate")
    def _gated(self, y: Float[Array, "*tokens H d"], key: Float[Array, "*tokens E"]) -> Float[Array, "*tokens E"]:
        return self.output(nnx.swish(self.gate(key)) * self.norm(y.reshape(key.shape))).astype(jnp.float32)
