"""The losses of proximal policy optimisation (Schulman et al., arXiv 1707.06347), each a mean over its batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def normalise(advantages: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """(A − mean) / (standard deviation + 1e-8)."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


@jax.named_scope("loss")
def clipped_policy_loss(
    log_prob: Float[Array, "*batch"],
    old_log_prob: Float[Array, "*batch"],
    advantages: Float[Array, "*batch"],
    *,
    clip: float,
) -> Float[Array, ""]:
    """−E[min(r·A, clip(r, 1 − ε, 1 + ε)·A)] with r = π(a) / π_old(a) (equation 7)."""
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -jnp.minimum(ratio * advantages, clipped * advantages).mean()


@jax.named_scope("loss")
def clipped_value_loss(
    value: Float[Array, "*batch"],
    old_value: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    *,
    clip: float,
) -> Float[Array, ""]:
    """½ E[max((V − G)², (V_old + clip(V − V_old, −ε, ε) − G)²)], as in OpenAI Baselines' ppo2 and published Sable."""
    clipped = old_value + jnp.clip(value - old_value, -clip, clip)
    return 0.5 * jnp.maximum((value - targets) ** 2, (clipped - targets) ** 2).mean()
