"""Counting the episodes of every environment."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sable.types import EpisodeStatistics


def start(step_count: Int[Array, " B"]) -> EpisodeStatistics:
    """Empty statistics for episodes that have lasted `step_count` timesteps; those at 0 will be counted."""
    return EpisodeStatistics(
        running_return=jnp.zeros(step_count.shape),
        whole=step_count == 0,
        last_return=jnp.zeros(step_count.shape),
        last_length=jnp.zeros(step_count.shape, dtype=jnp.int32),
        episodes=jnp.zeros(step_count.shape, dtype=jnp.int32),
    )


def count(
    before: EpisodeStatistics, reward: Float[Array, "B N"], ended: Bool[Array, " B"], step_count: Int[Array, " B"]
) -> EpisodeStatistics:
    """The statistics after one more step; `step_count` is that of its terminal observation."""
    running = before.running_return + reward.mean(axis=-1)
    counted = ended & before.whole
    return EpisodeStatistics(
        running_return=jnp.where(ended, 0.0, running),
        whole=before.whole | ended,
        last_return=jnp.where(counted, running, before.last_return),
        last_length=jnp.where(counted, step_count, before.last_length),
        episodes=before.episodes + counted,
    )
