"""Softmax attention over the agents of the last W timesteps: the Multi-Agent Transformer with a sliding window.

    y_{t,i} = Σ_{(s,j)} softmax_{(s,j)}(q_{t,i} · k_{s,j} / √d) v_{s,j}        t − W < s ≤ t, in t's episode

over all agents j of earlier timesteps s < t; of its own timestep an agent sees all agents (full) or agents j ≤ i
(causal). With W = 1 this is `attention.dense`. Keys carry no timestep unless time is encoded in the tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, DTypeLike, Float, Int

from sable.mixers.projections import Projections


class Window(NamedTuple):
    """Keys and values of W timesteps, oldest first, and which of them belong to the current episode."""

    keys: Float[Array, "B W N H d"]
    values: Float[Array, "B W N H d"]
    seen: Bool[Array, "B W"]


def windowed(
    q: Float[Array, "B T N H d"],
    k: Float[Array, "B T N H d"],
    v: Float[Array, "B T N H d"],
    resets: Bool[Array, "B T"],
    before: Window,
    *,
    causal: bool,
) -> tuple[Float[Array, "B T N H d"], Window]:
    """Attention of T timesteps after the W − 1 of `before`; returns the outputs and the last W − 1 timesteps.

    Timestep by timestep, with O(W N²) memory each; a gradient recomputes the scores.
    """
    earlier, timesteps, agents = before.seen.shape[1], q.shape[1], q.shape[2]
    keys, values = jnp.concatenate([before.keys, k], axis=1), jnp.concatenate([before.values, v], axis=1)
    # Episodes by number, 0 is the current one; −1 marks keys of earlier episodes.
    episode = jnp.concatenate([jnp.where(before.seen, 0, -1), jnp.cumsum(resets, axis=1)], axis=1)
    own = jnp.tri(agents, dtype=bool) if causal else jnp.ones((agents, agents), dtype=bool)
    others = jnp.ones((earlier, *own.shape), dtype=bool)
    of_agents = jnp.concatenate([others, own[None]])

    @jax.checkpoint
    def timestep(xs: tuple[Array, Array]) -> Array:
        t, q_t = xs
        k_t, v_t, episodes = (jax.lax.dynamic_slice_in_dim(x, t, earlier + 1, axis=1) for x in (keys, values, episode))
        seen = (episodes == episodes[:, -1:])[:, :, None, None] & of_agents[None]
        return attend(q_t, k_t, v_t, seen)

    y = jax.lax.map(timestep, (jnp.arange(timesteps), jnp.moveaxis(q, 1, 0)))
    seen = episode[:, timesteps:] == episode[:, -1:]
    return jnp.moveaxis(y, 0, 1), Window(keys[:, timesteps:], values[:, timesteps:], seen)


def attend(
    q: Float[Array, "B n H d"],
    k: Float[Array, "B W N H d"],
    v: Float[Array, "B W N H d"],
    seen: Bool[Array, "B W n N"],
) -> Float[Array, "B n H d"]:
    """Attention of some agents over a window; each sees the keys in `seen`, at least one."""
    with jax.named_scope("scores"):
        scores = jnp.einsum("bnhd,bwmhd->bhnwm", q, k) / jnp.sqrt(q.shape[-1])
        scores = jnp.where(jnp.moveaxis(seen, 1, 2)[:, None], scores, -jnp.inf)
    with jax.named_scope("softmax"):
        weights = jax.nn.softmax(scores, axis=(-2, -1))
    with jax.named_scope("weighted_values"):
        return jnp.einsum("bhnwm,bwmhd->bnhd", weights, v)


class TemporalAttention(Projections):
    """Multi-head attention over a window of timesteps, with biases. Acting keeps keys and values (a KV cache)."""

    def __init__(
        self,
        embed_dim: int,
        heads: int,
        *,
        window: int,
        num_agents: int,
        causal: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        super().__init__(embed_dim, heads, dtype=dtype, rngs=rngs)
        self.window = window
        self.num_agents = num_agents
        self.causal = causal

    def init_carry(self, envs: int) -> Window:
        """W − 1 unseen timesteps."""
        empty = jnp.zeros((envs, self.window - 1, self.num_agents, self.heads, self.head_dim))
        return Window(empty, empty, jnp.zeros((envs, self.window - 1), dtype=bool))

    @jax.named_scope("attention")
    def __call__(
        self, query: Float[Array, "B T N E"], key: Float[Array, "B T N E"], resets: Bool[Array, "B T"], carry: Window
    ) -> tuple[Float[Array, "B T N E"], Window]:
        """Attention of the agents of every timestep over the window that ends there."""
        y, carry = windowed(*self.project(query, key), resets, carry, causal=self.causal)
        return self.merge(y), carry

    def timestep(
        self, query: Float[Array, "B 1 N E"], key: Float[Array, "B 1 N E"], resets: Bool[Array, "B 1"], carry: Window
    ) -> tuple[Float[Array, "B 1 N E"], Window]:
        """The same as `__call__`, which computes timestep by timestep."""
        return self(query, key, resets, carry)

    def begin_timestep(self, carry: Window, reset: Bool[Array, " B"], num_agents: int) -> Window:
        """The window with an empty timestep appended; where an episode starts, no earlier timestep is seen."""

        def extended(x: Array) -> Array:
            return jnp.pad(x, [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0)])

        seen = jnp.pad(carry.seen & ~reset[:, None], [(0, 0), (0, 1)], constant_values=True)
        return Window(extended(carry.keys), extended(carry.values), seen)

    @jax.named_scope("attention")
    def step(
        self, query: Float[Array, "B E"], key: Float[Array, "B E"], agent: Int[Array, ""], state: Window
    ) -> tuple[Float[Array, "B E"], Window]:
        """Cache one agent's key and value, then attend over those of the window so far: O(W N) work."""
        q, k, v = self.project(query, key)
        keys, values = state.keys.at[:, -1, agent].set(k), state.values.at[:, -1, agent].set(v)
        timesteps, agents = keys.shape[1:3]
        earlier, so_far = jnp.arange(timesteps) < timesteps - 1, jnp.arange(agents) <= agent
        seen = state.seen[:, :, None] & (earlier[:, None] | so_far[None])[None]
        y = attend(q[:, None], keys, values, seen[:, :, None])
        return self.merge(y[:, 0]), Window(keys, values, state.seen)

    def end_timestep(self, state: Window) -> Window:
        """The oldest timestep leaves the window."""
        return Window(*(x[:, 1:] for x in state))
