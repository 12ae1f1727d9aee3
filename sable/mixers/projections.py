"""The projections of multi-head mixers: tokens to queries, keys and values, and heads back to tokens."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float

from sable.layers.linear import Linear


class Projections(nnx.Module):
    """Query, key, value and output layers with biases, as in the Multi-Agent Transformer (Wen et al., 2022)."""

    def __init__(self, embed_dim: int, heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        def projection() -> Linear:
            init = nnx.initializers.orthogonal(0.01)
            return Linear(embed_dim, embed_dim, bias=True, kernel_init=init, dtype=dtype, rngs=rngs)

        self.heads = heads
        self.head_dim = embed_dim // heads
        self.query, self.key, self.value, self.output = projection(), projection(), projection(), projection()

    @jax.named_scope("query_key_value")
    def project(
        self, query: Float[Array, "*tokens E"], key: Float[Array, "*tokens E"]
    ) -> tuple[Float[Array, "*tokens H d"], Float[Array, "*tokens H d"], Float[Array, "*tokens H d"]]:
        """q from the query stream, k and v from the key stream, by head, in float32."""
        return self._heads(self.query(query)), self._heads(self.key(key)), self._heads(self.value(key))

    @jax.named_scope("output")
    def merge(self, y: Float[Array, "*tokens H d"]) -> Float[Array, "*tokens E"]:
        """The heads' outputs as one token."""
        return self.output(y.reshape(*y.shape[:-2], self.heads * self.head_dim)).astype(jnp.float32)

    def _heads(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens H d"]:
        return x.astype(jnp.float32).reshape(*x.shape[:-1], self.heads, self.head_dim)
