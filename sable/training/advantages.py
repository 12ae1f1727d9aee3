"""Generalised advantage estimation (Schulman et al., arXiv 1506.02438, section 3), with truncations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sable.types import Trajectory


def gae(
    reward: Float[Array, "B T N"],
    value: Float[Array, "B T N"],
    next_value: Float[Array, "B T N"],
    discount: Float[Array, "B T"],
    ended: Bool[Array, "B T"],
    *,
    gamma: float,
    gae_lambda: float,
) -> Float[Array, "B T N"]:
    """A_t = δ_t + γλ(1 − ended_t) A_{t+1} with δ_t = r_t + γ · discount_t · V_{t+1} − V_t and A_T = 0.

    `discount` is 0 at a termination and 1 elsewhere; `ended` is true at terminations and at truncations. At a
    truncation `next_value` is the value of the observation that ended the episode.
    """
    delta = reward + gamma * discount[..., None] * next_value - value
    keep = gamma * gae_lambda * (1.0 - ended[..., None].astype(jnp.float32))

    def backwards(
        advantage: Float[Array, "B N"], xs: tuple[Float[Array, "B N"], Float[Array, "B 1"]]
    ) -> tuple[Float[Array, "B N"], Float[Array, "B N"]]:
        delta_t, keep_t = xs
        advantage = delta_t + keep_t * advantage
        return advantage, advantage

    xs = (jnp.moveaxis(delta, 1, 0), jnp.moveaxis(keep, 1, 0))
    _, advantages = jax.lax.scan(backwards, jnp.zeros_like(value[:, 0]), xs, reverse=True)
    return jnp.moveaxis(advantages, 0, 1)


@jax.named_scope("advantages")
def trajectory_advantages(
    trajectory: Trajectory, *, gamma: float, gae_lambda: float
) -> tuple[Float[Array, "B T N"], Float[Array, "B T N"]]:
    """Advantages and value targets (advantage + value) of a rollout."""
    steps = trajectory.transitions
    following = jnp.concatenate([steps.value[:, 1:], trajectory.last_value[:, None]], axis=1)
    next_value = jnp.where(steps.ended[..., None], steps.terminal_value, following)
    advantages = gae(
        steps.reward, steps.value, next_value, steps.discount, steps.ended, gamma=gamma, gae_lambda=gae_lambda
    )
    return advantages, advantages + steps.value
