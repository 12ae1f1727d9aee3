"""Linear attention over the agents of one timestep (Katharopoulos et al., arXiv 2006.16236), φ(x) = elu(x) + 1.

    y_i = φ(q_i) Σ_j φ(k_j)ᵀ v_j / (φ(q_i) · Σ_j φ(k_j))      full: over all agents     causal: over agents j ≤ i

With a 1 appended to every v, both sums are one sum of (d, d + 1), and y's last channel is the denominator. Time and
memory are O(N). It has no memory between timesteps: its carry is `()`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, DTypeLike, Float, Int

from sable.mixers.base import TimestepState
from sable.mixers.projections import Projections
from sable.types import Carry

BLOCK = 32
"""Agents that are compared with each other at once in a causal timestep."""
EPSILON = 1e-6
"""Added to the denominator, as in the published code: φ may be 0 in float32."""


def features(x: Float[Array, "*tokens d"]) -> Float[Array, "*tokens d"]:
    """φ(x) = elu(x) + 1, which is never negative."""
    return jax.nn.elu(x) + 1.0


def with_one(v: Float[Array, "*tokens d"]) -> Float[Array, "*tokens d1"]:
    """A 1 behind the last channel."""
    return jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)


def divided(y: Float[Array, "*tokens d1"]) -> Float[Array, "*tokens d"]:
    """All channels but the last, divided by the last."""
    return y[..., :-1] / (y[..., -1:] + EPSILON)


def full(
    q: Float[Array, "... N H d"], k: Float[Array, "... N H d"], v: Float[Array, "... N H d"]
) -> Float[Array, "... N H d"]:
    """Every agent sees all agents: one sum."""
    sums = jnp.einsum("...nhd,...nhe->...hde", features(k), with_one(v))
    return divided(jnp.einsum("...nhd,...hde->...nhe", features(q), sums))


def causal(
    q: Float[Array, "... N H d"],
    k: Float[Array, "... N H d"],
    v: Float[Array, "... N H d"],
    *,
    block: int = BLOCK,
) -> Float[Array, "... N H d"]:
    """Agents see those up to themselves: small matrices within blocks of `block` agents, a running sum before each.

    N need not be a multiple of `block`: padding adds nothing to the sums, and is cut off before the division.
    """
    *batch, agents, heads, _ = q.shape
    block = min(block, agents)
    count = -(-agents // block)

    def split(x: Array) -> Array:
        """(…, N, H, d) to (…, H, N / block, block, d)."""
        x = jnp.moveaxis(x, -3, -2)
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, count * block - agents), (0, 0)])
        return x.reshape(*batch, heads, count, block, x.shape[-1])

    query, key, value = split(features(q)), split(features(k)), split(with_one(v))
    sums = jnp.einsum("...nd,...ne->...de", key, value)
    before = jnp.cumsum(sums, axis=-3) - sums
    scores = jnp.where(jnp.tri(block, dtype=bool), jnp.einsum("...nd,...md->...nm", query, key), 0.0)
    y = jnp.einsum("...nm,...me->...ne", scores, value) + jnp.einsum("...nd,...de->...ne", query, before)
    y = y.reshape(*batch, heads, count * block, y.shape[-1])[..., :agents, :]
    return divided(jnp.moveaxis(y, -3, -2))


class LinearAttention(Projections):
    """Multi-head linear attention with biases. Acting keeps the sums over earlier agents."""

    def __init__(self, embed_dim: int, heads: int, *, causal: bool, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        super().__init__(embed_dim, heads, dtype=dtype, rngs=rngs)
        self.causal = causal

    def init_carry(self, envs: int) -> Carry:
        """No memory."""
        return ()

    def __call__(
        self,
        query: Float[Array, "B T N E"],
        key: Float[Array, "B T N E"],
        resets: Bool[Array, "B T"],
        carry: Carry,
    ) -> tuple[Float[Array, "B T N E"], Carry]:
        """Attention among the N agents of every timestep."""
        attend = causal if self.causal else full
        return self.merge(attend(*self.project(query, key))), carry

    def timestep(
        self,
        query: Float[Array, "B 1 N E"],
        key: Float[Array, "B 1 N E"],
        resets: Bool[Array, "B 1"],
        carry: Carry,
    ) -> tuple[Float[Array, "B 1 N E"], Carry]:
        """Attention among the agents of one timestep: timesteps do not mix, so this is nothing special."""
        return self(query, key, resets, carry)

    def begin_timestep(self, carry: Carry, reset: Bool[Array, " B"], num_agents: int) -> TimestepState:
        """The sums over no agents, (B, H, d, d + 1)."""
        return jnp.zeros((reset.shape[0], self.heads, self.head_dim, self.head_dim + 1))

    def step(
        self, query: Float[Array, "B E"], key: Float[Array, "B E"], agent: Int[Array, ""], state: TimestepState
    ) -> tuple[Float[Array, "B E"], TimestepState]:
        """Add one agent's key and value to the sums, then query them: the same work for every agent."""
        q, k, v = self.project(query, key)
        state = state + features(k)[..., :, None] * with_one(v)[..., None, :]
        return self.merge(divided(jnp.einsum("bhd,bhde->bhe", features(q), state))), state

    def end_timestep(self, state: TimestepState) -> Carry:
        """Nothing is remembered."""
        return ()
