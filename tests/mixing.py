"""Mixers, one agent after the other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sable.mixers.base import Mixer
from sable.mixers.projections import Projections
from sable.types import Carry


def make_loud(mixer: Projections) -> None:
    """Weights a hundred times as large, so that what is mixed tells."""
    for layer in (mixer.query, mixer.key, mixer.value, mixer.output):
        layer.kernel[...] = layer.kernel[...] * 100.0


def step_by_step(
    mixer: Mixer, query: Float[Array, "B T N E"], key: Float[Array, "B T N E"], resets: Bool[Array, "B T"], carry: Carry
) -> tuple[Float[Array, "B T N E"], Carry]:
    """What `mixer(query, key, resets, carry)` should be, by its steps."""
    envs, timesteps, agents, _ = query.shape
    tokens = []
    for t in range(timesteps):
        state = mixer.begin_timestep(carry, resets[:, t], agents)
        for agent in range(agents):
            y, state = mixer.step(query[:, t, agent], key[:, t, agent], jnp.asarray(agent), state)
            tokens.append(y)
        carry = mixer.end_timestep(state)
    return jnp.stack(tokens, axis=1).reshape(envs, timesteps, agents, -1), carry


def random_streams(shape: tuple[int, int, int, int]) -> tuple[jax.Array, jax.Array]:
    """A query stream and a key stream of (B, T, N, E)."""
    query, key = (jax.random.normal(k, shape) for k in jax.random.split(jax.random.key(1)))
    return query, key
