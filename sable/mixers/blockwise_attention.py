"""Softmax attention without the matrix of scores: `attention.dense` with O(N) memory forward and backward.

The softmax is computed online over blocks of keys (Rabe and Staats, arXiv 2112.05682; Dao et al., FlashAttention,
arXiv 2205.14135, algorithms 1 and 4). With s_ij = q_i · k_j / √d, after every block J of keys:

    m' = max(m, max_{j∈J} s_ij)     l' = e^{m−m'} l + Σ_{j∈J} e^{s_ij−m'}     y' = e^{m−m'} y + Σ_{j∈J} e^{s_ij−m'} v_j

and in the end y_i = y / l, L_i = m + log l. The gradient stores q, k, v, y and L, and recomputes the scores:

    p_ij = e^{s_ij−L_i}     dv_j = Σ_i p_ij dy_i     ds_ij = p_ij (dy_i · v_j − dy_i · y_i)
    dq_i = Σ_j ds_ij k_j / √d     dk_j = Σ_i ds_ij q_i / √d
"""

from __future__ import annotations

import functools
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sable.tuning import CPU

Blocks: TypeAlias = Float[Array, "blocks G block d"]
"""Tokens by blocks of agents; G = environments × timesteps × heads, which attention does not mix."""
Rows: TypeAlias = Float[Array, "blocks G block"]


def blockwise(
    q: Float[Array, "... N H d"],
    k: Float[Array, "... N H d"],
    v: Float[Array, "... N H d"],
    *,
    causal: bool,
    block: int = CPU.attention_block,
) -> Float[Array, "... N H d"]:
    """Attention by blocks of `block` agents; N need not be a multiple. Time O(N²), memory O(N)."""
    *batch, agents, heads, channels = q.shape
    block = min(block, agents)
    count = -(-agents // block)

    def split(x: Array) -> Array:
        x = jnp.moveaxis(x, -2, -3).reshape(-1, agents, channels)
        x = jnp.pad(x, [(0, 0), (0, count * block - agents), (0, 0)])
        return jnp.moveaxis(x.reshape(-1, count, block, channels), 1, 0)

    y = _attend(split(q / channels**0.5), split(k), split(v), agents, causal)
    y = jnp.moveaxis(y, 0, 1).reshape(-1, count * block, channels)[:, :agents]
    return jnp.moveaxis(y.reshape(*batch, heads, agents, channels), -3, -2)


def while_trips(agents: int, block: int) -> float:
    """Mean iterations of the loops over blocks: causal ones stop at an agent's own block, halfway on average."""
    return (-(-agents // block) + 1) / 2


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _attend(q: Blocks, k: Blocks, v: Blocks, agents: int, causal: bool) -> Blocks:
    """Attention of scaled queries; keys of index `agents` and above are padding."""
    return _online_softmax(q, k, v, agents, causal)[0]


def _forward(
    q: Blocks, k: Blocks, v: Blocks, agents: int, causal: bool
) -> tuple[Blocks, tuple[Blocks, Blocks, Blocks, Blocks, Rows]]:
    y, log_sum = _online_softmax(q, k, v, agents, causal)
    return y, (q, k, v, y, log_sum)


def _online_softmax(q: Blocks, k: Blocks, v: Blocks, agents: int, causal: bool) -> tuple[Blocks, Rows]:
    """y and L of every query.

    Every query, even a padded one, sees a key of the first block, so m is finite after it.
    """

    def of_queries(xs: tuple[Array, Array]) -> tuple[Array, Array]:
        i, q_i = xs

        def add_keys(j: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            y, top, total = state
            scores = _scores(q_i, k[j], i, j, agents, causal)
            higher = jnp.maximum(top, scores.max(axis=-1))
            shrink, weights = jnp.exp(top - higher), jnp.exp(scores - higher[..., None])
            y = y * shrink[..., None] + jnp.einsum("gnm,gmd->gnd", weights, v[j])
            return y, higher, total * shrink + weights.sum(axis=-1)

        total = jnp.zeros(q_i.shape[:-1], dtype=q_i.dtype)
        start = (jnp.zeros_like(q_i), jnp.full_like(total, -jnp.inf), total)
        y, top, total = jax.lax.fori_loop(0, i + 1 if causal else len(k), add_keys, start)
        return y / total[..., None], top + jnp.log(total)

    y, log_sum = jax.lax.map(of_queries, (jnp.arange(len(q)), q))
    return y, log_sum


def _backward(
    agents: int, causal: bool, saved: tuple[Blocks, Blocks, Blocks, Blocks, Rows], gradient: Blocks
) -> tuple[Blocks, Blocks, Blocks]:
    """Gradients of q, k and v: for every block of keys, a loop over the blocks of queries that see it."""
    q, k, v, y, log_sum = saved
    mean = (gradient * y).sum(axis=-1)

    def of_keys(to_q: Array, xs: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        j, k_j, v_j = xs

        def add_queries(i: Array, sums: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            to_q, to_k, to_v = sums
            weights = jnp.exp(_scores(q[i], k_j, i, j, agents, causal) - log_sum[i][..., None])
            to_weights = jnp.einsum("gnd,gmd->gnm", gradient[i], v_j)
            to_scores = weights * (to_weights - mean[i][..., None])
            to_q = to_q.at[i].add(jnp.einsum("gnm,gmd->gnd", to_scores, k_j))
            to_k += jnp.einsum("gnm,gnd->gmd", to_scores, q[i])
            to_v += jnp.einsum("gnm,gnd->gmd", weights, gradient[i])
            return to_q, to_k, to_v

        start = (to_q, jnp.zeros_like(k_j), jnp.zeros_like(v_j))
        to_q, to_k, to_v = jax.lax.fori_loop(j if causal else 0, len(q), add_queries, start)
        return to_q, (to_k, to_v)

    to_q, (to_k, to_v) = jax.lax.scan(of_keys, jnp.zeros_like(q), (jnp.arange(len(k)), k, v))
    return to_q, to_k, to_v


_attend.defvjp(_forward, _backward)


@jax.named_scope("scores")
def _scores(
    q: Float[Array, "G n d"], k: Float[Array, "G m d"], i: Int[Array, ""], j: Int[Array, ""], agents: int, causal: bool
) -> Float[Array, "G n m"]:
    """Scores of query block i and key block j: −∞ where a key is padding or comes later."""
    queries, keys = i * q.shape[1] + jnp.arange(q.shape[1]), j * k.shape[1] + jnp.arange(k.shape[1])
    seen = jnp.broadcast_to((keys < agents)[None], (len(queries), len(keys)))
    if causal:
        seen = seen & (queries[:, None] >= keys[None])
    return jnp.where(seen[None], jnp.einsum("gnd,gmd->gnm", q, k), -jnp.inf)
