"""Softmax attention over the agents of one timestep, as in the Multi-Agent Transformer (Wen et al., 2022).

    y_i = Σ_j softmax_j(q_i · k_j / √d) v_j          full: over all agents     causal: over agents j ≤ i

There is no memory between timesteps: the carry is `()`. `dense` is the reference; the other forms return the same
outputs and gradients, and differ in time and memory only.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, DTypeLike, Float, Int

from sable.mixers.base import TimestepState
from sable.mixers.memoryless import Memoryless
from sable.types import Carry

AttentionForm = Callable[..., Array]


def dense(
    q: Float[Array, "... N H d"], k: Float[Array, "... N H d"], v: Float[Array, "... N H d"], *, causal: bool
) -> Float[Array, "... N H d"]:
    """Attention by the whole matrix of scores: O(N²) time and memory."""
    with jax.named_scope("scores"):
        scores = jnp.einsum("...nhd,...mhd->...hnm", q, k) / jnp.sqrt(q.shape[-1])
        if causal:
            agents = jnp.arange(q.shape[-3])
            seen = agents[:, None] >= agents[None, :]
            scores = jnp.where(jax.lax.broadcast_to_rank(seen, scores.ndim), scores, -jnp.inf)
    with jax.named_scope("softmax"):
        weights = jax.nn.softmax(scores, axis=-1)
    with jax.named_scope("weighted_values"):
        return jnp.einsum("...hnm,...mhd->...nhd", weights, v)


class Attention(Memoryless):
    """Multi-head attention with biases. Acting keeps the keys and values of earlier agents (a KV cache)."""

    def __init__(
        self, embed_dim: int, heads: int, *, form: AttentionForm, causal: bool, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        super().__init__(embed_dim, heads, causal=causal, dtype=dtype, rngs=rngs)
        self.form = form

    def attend(
        self, q: Float[Array, "B T N H d"], k: Float[Array, "B T N H d"], v: Float[Array, "B T N H d"]
    ) -> Float[Array, "B T N H d"]:
        """Attention by this mixer's form."""
        return self.form(q, k, v, causal=self.causal)

    def begin_timestep(self, carry: Carry, reset: Bool[Array, " B"], num_agents: int) -> TimestepState:
        """An empty cache of keys and values, (B, H, N, d) each."""
        empty = jnp.zeros((reset.shape[0], self.heads, num_agents, self.head_dim))
        return empty, empty

    @jax.named_scope("attention")
    def step(
        self, query: Float[Array, "B E"], key: Float[Array, "B E"], agent: Int[Array, ""], state: TimestepState
    ) -> tuple[Float[Array, "B E"], TimestepState]:
        """Cache one agent's key and value, then attend over those cached so far: O(N) work."""
        q, k, v = self.project(query, key)
        keys = jax.lax.dynamic_update_index_in_dim(state[0], k, agent, axis=2)
        values = jax.lax.dynamic_update_index_in_dim(state[1], v, agent, axis=2)
        scores = jnp.einsum("bhd,bhmd->bhm", q, keys) / jnp.sqrt(self.head_dim)
        scores = jnp.where((jnp.arange(keys.shape[2]) <= agent)[None, None], scores, -jnp.inf)
        y = jnp.einsum("bhm,bhmd->bhd", jax.nn.softmax(scores, axis=-1), values)
        return self.merge(y), (keys, values)
