"""What is counted of every environment's episodes while they run."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class EpisodeStatistics(NamedTuple):
    """What is known of each environment's episodes."""

    running_return: Float[Array, " B"]
    """Reward per agent, summed over the episode so far."""
    whole: Bool[Array, " B"]
    """False for a first episode that started late: its return and its length say nothing."""
    last_return: Float[Array, " B"]
    """Return of the last whole episode; 0 before there was one."""
    last_length: Int[Array, " B"]
    """Timesteps of the last whole episode; 0 before there was one."""
    episodes: Int[Array, " B"]
    """Whole episodes that have ended."""


def start(step_count: Int[Array, " B"]) -> EpisodeStatistics:
    """Nothing is known yet of episodes that have lasted `step_count` timesteps; those at 0 will count."""
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
    """The statistics after one more step; `step_count` is the timestep of its terminal observation."""
    running = before.running_return + reward.mean(axis=-1)
    counted = ended & before.whole
    return EpisodeStatistics(
        running_return=jnp.where(ended, 0.0, running),
        whole=before.whole | ended,
        last_return=jnp.where(counted, running, before.last_return),
        last_length=jnp.where(counted, step_count, before.last_length),
        episodes=before.episodes + counted,
    )
