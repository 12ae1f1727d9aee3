"""Linear attention over the agents of one timestep (Katharopoulos et al., arXiv 2006.16236), φ(x) = elu(x) + 1.

    y_i = φ(q_i) Σ_j φ(k_j)ᵀ v_j / (φ(q_i) · Σ_j φ(k_j))      full: over all agents     causal: over agents j ≤ i

With a 1 appended to every v, both sums become one sum of (d, d + 1), and y's last channel is the denominator. Time and
memory are O(N). There is no memory between timesteps: the carry is `()`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sable.mixers import agent_blocks
from sable.mixers.base import TimestepState
from sable.mixers.memoryless import Memoryless
from sable.tuning import CPU, Tuned
from sable.types import Carry

EPSILON = 1e-6
"""Added to the denominator, as in the published code: φ may be 0 in float32."""


@jax.named_scope("features")
def features(x: Float[Array, "*tokens d"]) -> Float[Array, "*tokens d"]:
    """φ(x) = elu(x) + 1, which is never negative."""
    return jax.nn.elu(x) + 1.0


def with_one(v: Float[Array, "*tokens d"]) -> Float[Array, "*tokens d1"]:
    """Append a channel of ones."""
    return jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)


def divided(y: Float[Array, "*tokens d1"]) -> Float[Array, "*tokens d"]:
    """All channels but the last, divided by the last."""
    return y[..., :-1] / (y[..., -1:] + EPSILON)


def full(
    q: Float[Array, "... N H d"], k: Float[Array, "... N H d"], v: Float[Array, "... N H d"]
) -> Float[Array, "... N H d"]:
    """Every agent sees all agents: one sum."""
    sums = jnp.einsum("...nhd,...nhe->...hde", features(k), with_one(v))
    return divided(jnp.einsum("...nhd,...hde->...nhe", features(q), sums))


def causal(
    q: Float[Array, "... N H d"],
    k: Float[Array, "... N H d"],
    v: Float[Array, "... N H d"],
    *,
    block: int = CPU.agent_block,
) -> Float[Array, "... N H d"]:
    """Every agent sees the agents up to itself: a small matrix within each block, a running sum before it.

    The padding of the last block is removed before the division.
    """
    query, key, value = (agent_blocks.split(x, block) for x in (features(q), features(k), with_one(v)))
    sums = agent_blocks.sums(key, value)
    before = jnp.cumsum(sums, axis=-3) - sums
    y = agent_blocks.within(query, key, value) + jnp.einsum("...nd,...de->...ne", query, before)
    return divided(agent_blocks.join(y, q.shape[-3]))


class LinearAttention(Tuned, Memoryless):
    """Multi-head linear attention with biases. Acting keeps the sums over earlier agents."""

    def attend(
        self, q: Float[Array, "B T N H d"], k: Float[Array, "B T N H d"], v: Float[Array, "B T N H d"]
    ) -> Float[Array, "B T N H d"]:
        """Attention by sums of keys and values."""
        return causal(q, k, v, block=self.tuning.agent_block) if self.causal else full(q, k, v)

    def begin_timestep(self, carry: Carry, reset: Bool[Array, " B"], num_agents: int) -> TimestepState:
        """The sums over no agents, (B, H, d, d + 1)."""
        return jnp.zeros((reset.shape[0], self.heads, self.head_dim, self.head_dim + 1))

    @jax.named_scope("attention")
    def step(
        self, query: Float[Array, "B E"], key: Float[Array, "B E"], agent: Int[Array, ""], state: TimestepState
    ) -> tuple[Float[Array, "B E"], TimestepState]:
        """Add one agent's key and value to the sums, then query them: O(1) work per agent."""
        q, k, v = self.project(query, key)
        state = state + features(k)[..., :, None] * with_one(v)[..., None, :]
        return self.merge(divided(jnp.einsum("bhd,bhde->bhe", features(q), state))), state
