"""Retention over the agents of many timesteps, in equal forms (Mahjoub et al., arXiv 2410.01706, section 3).

Per environment and head, with decay κ and a state S of (d, d):

    P_t = κ · (1 − reset_t) · S_{t−1}                  S_t = P_t + Σ_j k_{t,j}ᵀ v_{t,j}
    full     y_{t,i} = q_{t,i} S_t                     (every agent sees all agents of its timestep)
    causal   y_{t,i} = q_{t,i} (P_t + Σ_{j≤i} k_{t,j}ᵀ v_{t,j})

Decay is per timestep: agents of one timestep share it. `parallel` is the reference; the other forms return the
same outputs, gradients and final state, and differ in time and memory only.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sable.mixers import agent_blocks
from sable.tuning import CPU

Tokens: TypeAlias = Float[Array, "B T N H d"]
Decay: TypeAlias = Float[Array, " H"]
"""κ of every head."""
Resets: TypeAlias = Bool[Array, "B T"]
"""True at timesteps that start an episode."""
State: TypeAlias = Float[Array, "B H d d"]


@runtime_checkable
class Form(Protocol):
    """One way to compute retention over a whole sequence.

    `decay` holds one κ per head, `resets` is true at timesteps that start an episode, `state` is S before the first
    timestep. Returns the outputs and S after the last timestep.
    """

    def __call__(
        self, q: Tokens, k: Tokens, v: Tokens, decay: Decay, resets: Resets, state: State, *, causal: bool
    ) -> tuple[Tokens, State]: ...


def head_decays(heads: int, scaling: float) -> Float[Array, " H"]:
    """κ_h = (1 − exp(linspace(log 1/32, log 1/512, H))) · scaling: the published code's choice, after RetNet's."""
    return (1.0 - jnp.exp(jnp.linspace(jnp.log(1 / 32), jnp.log(1 / 512), heads))) * scaling


@jax.named_scope("decay_matrix")
def decay_matrix(
    decay: Float[Array, " H"], resets: Bool[Array, "B T"], elapsed: Int[Array, " T"]
) -> Float[Array, "B H T T"]:
    """D[t, s] = κ^(elapsed_t − elapsed_s) where s ≤ t and no episode starts in (s, t], else 0."""
    gap = elapsed[:, None] - elapsed[None, :]
    episode = jnp.cumsum(resets, axis=1)
    seen = (episode[:, :, None] == episode[:, None, :]) & jnp.tril(jnp.ones_like(gap, dtype=bool))[None]
    powers = decay[:, None, None] ** jnp.maximum(gap, 0)[None]
    return jnp.where(seen[:, None], powers[None], 0.0)


def _chunk(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    decay: Decay,
    resets: Resets,
    state: State,
    elapsed: Int[Array, " T"],
    *,
    causal: bool,
) -> tuple[Tokens, State]:
    """Retention of one chunk by its whole token-by-token matrix: O((TN)²) time and memory.

    `elapsed` counts the timesteps that passed in the chunk, 1 at its first; padding repeats the count before it.
    """
    envs, timesteps, agents, heads, channels = q.shape
    length = timesteps * agents

    def flat(x: Array) -> Array:
        return jnp.transpose(x, (0, 3, 1, 2, 4)).reshape(envs, heads, length, channels)

    def per_token(x: Array) -> Array:
        """(B, H, T) to (B, T, 1, H, 1)."""
        return jnp.moveaxis(x, 1, 2)[:, :, None, :, None]

    between = decay_matrix(decay, resets, elapsed)
    weights = jnp.broadcast_to(
        between[:, :, :, None, :, None], (envs, heads, timesteps, agents, timesteps, agents)
    ).reshape(envs, heads, length, length)
    if causal:
        tokens = jnp.arange(length)
        weights = jnp.where((tokens[:, None] >= tokens[None, :])[None, None], weights, 0.0)
    with jax.named_scope("scores"):
        scores = jnp.einsum("bhld,bhmd->bhlm", flat(q), flat(k)) * weights
    inner = jnp.einsum("bhlm,bhmd->bhld", scores, flat(v)).reshape(envs, heads, timesteps, agents, channels)

    # The share of the state left at each timestep: 0 once an episode has started in this chunk.
    untouched = jnp.cumsum(resets, axis=1) == 0
    remaining = jnp.where(untouched[:, None], (decay[:, None] ** elapsed[None])[None], 0.0)
    y = jnp.transpose(inner, (0, 2, 3, 1, 4)) + jnp.einsum("btnhd,bhde->btnhe", q, state) * per_token(remaining)
    added = jnp.einsum("btnhd,btnhe->bhde", k, v * per_token(between[:, :, -1, :]))
    return y, remaining[:, :, -1, None, None] * state + added


def parallel(
    q: Tokens, k: Tokens, v: Tokens, decay: Decay, resets: Resets, state: State, *, causal: bool
) -> tuple[Tokens, State]:
    """The reference form: one (TN)×(TN) decay matrix, O(T²N²) memory."""
    return _chunk(q, k, v, decay, resets, state, jnp.arange(1, q.shape[1] + 1), causal=causal)


def chunkwise(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    decay: Decay,
    resets: Resets,
    state: State,
    *,
    causal: bool,
    chunk: int,
) -> tuple[Tokens, State]:
    """Chunks of `chunk` timesteps, the state carried between them: O(c²N²) memory forward.

    The body is rematerialised, so that a gradient holds one chunk's matrices at a time instead of all of them.
    T need not be a multiple of `chunk`: padding adds no tokens and no time.
    """
    timesteps = q.shape[1]
    chunk = min(chunk, timesteps)
    count = -(-timesteps // chunk)
    padding = count * chunk - timesteps
    elapsed = jnp.minimum(jnp.arange(count * chunk), timesteps - 1) % chunk + 1

    def split(x: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, padding)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(x.shape[0], count, chunk, *x.shape[2:]), 1, 0)

    @jax.checkpoint
    def body(carry: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
        q_c, k_c, v_c, resets_c, elapsed_c = xs
        y, carry = _chunk(q_c, k_c, v_c, decay, resets_c, carry, elapsed_c, causal=causal)
        return carry, y

    xs = (split(q), split(k), split(v), split(resets), elapsed.reshape(count, chunk))
    state, y = jax.lax.scan(body, state, xs)
    y = jnp.moveaxis(y, 0, 1).reshape(q.shape[0], count * chunk, *q.shape[2:])
    return y[:, :timesteps], state


def recurrent(
    q: Tokens, k: Tokens, v: Tokens, decay: Decay, resets: Resets, state: State, *, causal: bool
) -> tuple[Tokens, State]:
    """One token at a time: N·T sequential steps, O(d²) memory forward; a gradient keeps O(TNd²)."""

    def token(carry: Array, xs: tuple[Array, Array, Array]) -> tuple[Array, Array | None]:
        q_i, k_i, v_i = xs
        carry = carry + k_i[..., :, None] * v_i[..., None, :]
        return carry, jnp.einsum("bhd,bhde->bhe", q_i, carry) if causal else None

    def timestep(carry: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
        q_t, k_t, v_t, reset_t = xs
        carry = open_timestep(carry, decay, reset_t)
        carry, y = jax.lax.scan(token, carry, (q_t, k_t, v_t))
        return carry, jnp.einsum("nbhd,bhde->nbhe", q_t, carry) if y is None else y

    def scan_major(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 2)

    state, y = jax.lax.scan(timestep, state, (scan_major(q), scan_major(k), scan_major(v), resets.T))
    return jnp.moveaxis(y, 2, 0), state


def factored(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    decay: Decay,
    resets: Resets,
    state: State,
    *,
    causal: bool,
    block: int = CPU.agent_block,
) -> tuple[Tokens, State]:
    """O(N) time and memory without a matrix over all agents of a timestep; the same function as the other forms.

    The decay is constant within a timestep, so a full timestep is its d×d sum, q_{t,i} S_t. A causal one is cut into
    blocks of `block` agents: within a block a small causal matrix, before it a running d×d sum.
    """
    if not causal:
        sums = jnp.einsum("btnhd,btnhe->bthde", k, v)
        before, state = timestep_states(sums, decay, resets, state)
        return jnp.einsum("btnhd,bthde->btnhe", q, before + sums), state
    agents = q.shape[2]
    q, k, v = (agent_blocks.split(x, block) for x in (q, k, v))
    sums = agent_blocks.sums(k, v)
    running = jnp.cumsum(sums, axis=3)
    before, state = timestep_states(running[:, :, :, -1], decay, resets, state)
    y = agent_blocks.within(q, k, v)
    y += jnp.einsum("...nd,...de->...ne", q, before[:, :, :, None] + running - sums)
    return agent_blocks.join(y, agents), state


@jax.named_scope("states")
def timestep_states(
    sums: Float[Array, "B T H d d"], decay: Decay, resets: Resets, state: State
) -> tuple[Float[Array, "B T H d d"], State]:
    """P_t of every timestep, and S after the last, from each timestep's Σ_j kᵀv: a scan over T."""

    def timestep(carry: Array, xs: tuple[Array, Array]) -> tuple[Array, Array]:
        sum_t, reset_t = xs
        before = open_timestep(carry, decay, reset_t)
        return before + sum_t, before

    state, before = jax.lax.scan(timestep, state, (jnp.moveaxis(sums, 1, 0), resets.T))
    return jnp.moveaxis(before, 0, 1), state


def open_timestep(
    state: Float[Array, "B H d d"], decay: Float[Array, " H"], reset: Bool[Array, " B"]
) -> Float[Array, "B H d d"]:
    """P_t: the state zeroed where an episode starts, decayed once."""
    return jnp.where(reset[:, None, None, None], 0.0, decay[None, :, None, None] * state)
