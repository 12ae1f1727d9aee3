"""Distributions over actions, given a decoder's output: categorical, or a Gaussian squashed by tanh.

Noise is drawn for every agent before decoding, and an action is a function of the head's output and its agent's noise.
Both ways of acting (`sable.policies.acting`) therefore give the same actions for the same key.

A continuous action is stored as the Gaussian's sample u. Only the environment (`environment_actions`) and the decoder
(`tokens`) receive tanh(u): tanh saturates in float32, so u could not be recovered from it.
"""

from __future__ import annotations

import math
from typing import Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sable.types import Actions, Space

AgentActions: TypeAlias = Int[Array, "*batch"] | Float[Array, "*batch A"]
"""An action's index, or the Gaussian sample u of A dimensions."""

MIN_STD = 1e-3
"""Added to the standard deviation, as in the published Sable."""
SETTLED = 1e-6
"""Smallest change of a squashed action that counts as a change."""
ENTROPY_NODES = 32
"""Nodes of the quadrature of `TanhGaussian`'s entropy."""


@runtime_checkable
class Distribution(Protocol):
    """The distribution of one agent's action, given the head's output for that agent; A is `Space.actions`."""

    def draw_noise(self, key: PRNGKeyArray, action_mask: Bool[Array, "B N A"]) -> Float[Array, "N B A"]:
        """Noise for every agent, environment and action."""
        ...

    def sample(
        self, output: Float[Array, "*batch A"], action_mask: Bool[Array, "*batch A"], noise: Float[Array, "*batch A"]
    ) -> AgentActions:
        """The action that the noise selects."""
        ...

    def log_prob_and_entropy(
        self, output: Float[Array, "*batch A"], action_mask: Bool[Array, "*batch A"], actions: AgentActions
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """log p(action), and the entropy."""
        ...

    def tokens(self, actions: AgentActions) -> Float[Array, "*batch channels"]:
        """The token of an action for the next agent: A + 1 channels, of which channel 0 (the start token's) is 0."""
        ...

    def changed(self, actions: AgentActions, before: AgentActions) -> Bool[Array, "*batch"]:
        """Whether an action differs from the one before."""
        ...


class Categorical(nnx.Module):
    """One of A actions, given logits; illegal actions have probability 0."""

    def __init__(self, actions: int) -> None:
        self.actions = actions

    def draw_noise(self, key: PRNGKeyArray, action_mask: Bool[Array, "B N A"]) -> Float[Array, "N B A"]:
        """Gumbel noise."""
        envs, agents, actions = action_mask.shape
        return jax.random.gumbel(key, (agents, envs, actions))

    def sample(
        self, logits: Float[Array, "*batch A"], action_mask: Bool[Array, "*batch A"], noise: Float[Array, "*batch A"]
    ) -> Int[Array, "*batch"]:
        """argmax(logits + noise), which is a sample if the noise is Gumbel."""
        return jnp.argmax(mask_logits(logits, action_mask) + noise, axis=-1)

    def log_prob_and_entropy(
        self, logits: Float[Array, "*batch A"], action_mask: Bool[Array, "*batch A"], actions: Int[Array, "*batch"]
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """log p(action) and −Σ p log p."""
        log_probs = jax.nn.log_softmax(mask_logits(logits, action_mask))
        chosen = jnp.take_along_axis(log_probs, actions[..., None], axis=-1)[..., 0]
        probs = jnp.exp(log_probs)
        return chosen, -jnp.sum(jnp.where(probs > 0, probs * log_probs, 0.0), axis=-1)

    def tokens(self, actions: Int[Array, "*batch"]) -> Float[Array, "*batch channels"]:
        """onehot(action + 1)."""
        return jax.nn.one_hot(actions + 1, self.actions + 1)

    def changed(self, actions: Int[Array, "*batch"], before: Int[Array, "*batch"]) -> Bool[Array, "*batch"]:
        """Whether the index differs."""
        return actions != before


class TanhGaussian(nnx.Module):
    """a = tanh(u) in (−1, 1)^A with u ~ N(mean, std²), independent dimensions; the mean is given.

    std = softplus(raw_std) + 1e-3 is a separate parameter, the same for every agent and state, and 0.69 at the start
    (as in the published Sable). All actions are legal: `action_mask` is ignored.
    """

    def __init__(self, actions: int) -> None:
        self.raw_std = nnx.Param(jnp.zeros(actions))

    @property
    def std(self) -> Float[Array, " A"]:
        """Standard deviation of u in every dimension."""
        return jax.nn.softplus(self.raw_std[...]) + MIN_STD

    def draw_noise(self, key: PRNGKeyArray, action_mask: Bool[Array, "B N A"]) -> Float[Array, "N B A"]:
        """Standard normal noise."""
        envs, agents, actions = action_mask.shape
        return jax.random.normal(key, (agents, envs, actions))

    def sample(
        self, mean: Float[Array, "*batch A"], action_mask: Bool[Array, "*batch A"], noise: Float[Array, "*batch A"]
    ) -> Float[Array, "*batch A"]:
        """u = mean + std · noise."""
        return mean + jax.lax.broadcast_to_rank(self.std, mean.ndim) * noise

    def log_prob_and_entropy(
        self, mean: Float[Array, "*batch A"], action_mask: Bool[Array, "*batch A"], actions: Float[Array, "*batch A"]
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """Of a = tanh(u), by the change of variables |da/du| = 1 − tanh² u:

            log p(a) = Σ [log N(u; mean, std²) − log(1 − tanh² u)]
            entropy  = Σ [½ log(2πe std²) + E_u log(1 − tanh² u)]

        Sums are over dimensions. The expectation is a Gauss-Hermite quadrature with `ENTROPY_NODES` nodes, which is
        within 1e-6 of the integral for std ≤ 1, 2e-5 for std ≤ 1.5, 2e-4 for std ≤ 2 and 3e-3 for std ≤ 3, whatever
        the mean.
        """
        std = jax.lax.broadcast_to_rank(self.std, mean.ndim)
        gaussian = -0.5 * ((actions - mean) / std) ** 2 - jnp.log(std) - 0.5 * math.log(2.0 * math.pi)
        entropy = 0.5 * math.log(2.0 * math.pi * math.e) + jnp.log(std) + _mean_log_slope(mean, std)
        return jnp.sum(gaussian - log_slope(actions), axis=-1), jnp.sum(entropy, axis=-1)

    def tokens(self, actions: Float[Array, "*batch A"]) -> Float[Array, "*batch channels"]:
        """0 and tanh(u)."""
        return jnp.concatenate([jnp.zeros_like(actions[..., :1]), jnp.tanh(actions)], axis=-1)

    def changed(self, actions: Float[Array, "*batch A"], before: Float[Array, "*batch A"]) -> Bool[Array, "*batch"]:
        """Whether tanh(u) differs by `SETTLED` or more in any dimension."""
        return jnp.any(jnp.abs(jnp.tanh(actions) - jnp.tanh(before)) >= SETTLED, axis=-1)


def distribution_of(space: Space) -> Distribution:
    """The distribution for the actions of a space."""
    return TanhGaussian(space.actions) if space.continuous else Categorical(space.actions)


def environment_actions(space: Space, actions: Actions) -> Actions:
    """The actions passed to an environment: indices, or tanh(u) in [−1, 1]."""
    return jnp.tanh(actions) if space.continuous else actions


def mask_logits(logits: Float[Array, "*batch A"], mask: Bool[Array, "*batch A"]) -> Float[Array, "*batch A"]:
    """Set the logits of illegal actions to the minimum of the dtype."""
    return jnp.where(mask, logits, float(np.finfo(logits.dtype).min))


def log_slope(u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)), which neither overflows nor reaches log 0."""
    return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))


def _mean_log_slope(mean: Float[Array, "*batch A"], std: Float[Array, "... A"]) -> Float[Array, "*batch A"]:
    """E log(1 − tanh² u) over u ~ N(mean, std²)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(ENTROPY_NODES)
    at, weight = (
        jax.lax.broadcast_to_rank(jnp.asarray(x, mean.dtype), mean.ndim + 1) for x in (nodes, weights / weights.sum())
    )
    return jnp.sum(log_slope(mean[..., None] + std[..., None] * at) * weight, axis=-1)
