"""Blocks of agents, for causal mixers without a matrix of all pairs of agents.

    y_i = q_i Σ_{j≤i} k_jᵀ v_j = q_i (Σ_{blocks before i's} k_jᵀ v_j + Σ_{j≤i in i's block} k_jᵀ v_j)

Only the last sum compares agents with each other (`within`), in one small matrix per block: O(N) time and memory.
N need not be a multiple of the block's size: padding with zeros adds nothing to the sums.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def split(x: Float[Array, "*batch N H d"], block: int) -> Float[Array, "*batch H blocks block d"]:
    """Tokens by blocks of at most `block` agents, padded with zeros."""
    *batch, agents, heads, channels = x.shape
    block = min(block, agents)
    count = -(-agents // block)
    x = jnp.pad(x, [(0, 0)] * len(batch) + [(0, count * block - agents), (0, 0), (0, 0)])
    return jnp.moveaxis(x.reshape(*batch, count, block, heads, channels), -2, -4)


def join(y: Float[Array, "*batch H blocks block d"], agents: int) -> Float[Array, "*batch N H d"]:
    """The inverse of `split` for N agents."""
    y = jnp.moveaxis(y, -4, -2)
    return y.reshape(*y.shape[:-4], -1, *y.shape[-2:])[..., :agents, :, :]


@jax.named_scope("sums")
def sums(
    k: Float[Array, "*batch H blocks block d"], v: Float[Array, "*batch H blocks block e"]
) -> Float[Array, "*batch H blocks d e"]:
    """Σ kᵀv of every block."""
    return jnp.einsum("...nd,...ne->...de", k, v)


@jax.named_scope("within_blocks")
def within(
    q: Float[Array, "*batch H blocks block d"],
    k: Float[Array, "*batch H blocks block d"],
    v: Float[Array, "*batch H blocks block e"],
) -> Float[Array, "*batch H blocks block e"]:
    """q_i Σ kᵀv over the agents up to i of i's own block."""
    scores = jnp.einsum("...nd,...md->...nm", q, k)
    seen = jax.lax.broadcast_to_rank(jnp.tri(q.shape[-2], dtype=bool), scores.ndim)
    scores = jnp.where(seen, scores, 0.0)
    return jnp.einsum("...nm,...me->...ne", scores, v)
