"""The layers of Sable and the Multi-Agent Transformer.

Every layer maps (..., in) to (..., out), computes matrix products in `dtype` and returns float32; parameters are
float32. GELU is the tanh approximation, norms have ε = 1e-6, as in the published implementation of both.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float, Int

from sable.layers.linear import Linear

NormFactory = Callable[[int], nnx.Module]

HIDDEN_INIT = nnx.initializers.orthogonal(2**0.5)
HEAD_INIT = nnx.initializers.orthogonal(0.01)


class SwiGLU(nnx.Module):
    """(swish(x W_gate) ⊙ x W_linear) W_output, no biases.

    The published code initialises all three to zero, so that their gradients stay zero; here they are LeCun normal.
    """

    def __init__(self, embed_dim: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        def square() -> Linear:
            return Linear(embed_dim, embed_dim, bias=False, dtype=dtype, rngs=rngs)

        self.gate, self.linear, self.output = square(), square(), square()

    @jax.named_scope("feed_forward")
    def __call__(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens E"]:
        """Apply the layer to every token."""
        return self.output(nnx.swish(self.gate(x)) * self.linear(x)).astype(jnp.float32)


class MLP(nnx.Module):
    """GELU(x W_1 + b_1) W_2 + b_2."""

    def __init__(self, embed_dim: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.hidden = Linear(embed_dim, embed_dim, bias=True, kernel_init=HIDDEN_INIT, dtype=dtype, rngs=rngs)
        self.output = Linear(embed_dim, embed_dim, bias=True, kernel_init=HEAD_INIT, dtype=dtype, rngs=rngs)

    @jax.named_scope("feed_forward")
    def __call__(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens E"]:
        """Apply the layer to every token."""
        return self.output(nnx.gelu(self.hidden(x))).astype(jnp.float32)


class ObservationEmbedding(nnx.Module):
    """GELU(norm(x) W [+ b]): one agent's observation to its token."""

    def __init__(
        self, features: int, embed_dim: int, *, norm: NormFactory, bias: bool, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.norm = norm(features)
        self.linear = Linear(features, embed_dim, bias=bias, kernel_init=HIDDEN_INIT, dtype=dtype, rngs=rngs)

    @jax.named_scope("observation_embedding")
    def __call__(self, features: Float[Array, "*tokens F"]) -> Float[Array, "*tokens E"]:
        """Embed every observation."""
        return nnx.gelu(self.linear(self.norm(features))).astype(jnp.float32)


class ActionEmbedding(nnx.Module):
    """GELU(x W) of an action token's A + 1 channels: channel 0 is 1 in the start token, the others hold an action."""

    def __init__(self, actions: int, embed_dim: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.linear = Linear(actions + 1, embed_dim, bias=False, kernel_init=HIDDEN_INIT, dtype=dtype, rngs=rngs)

    @jax.named_scope("action_embedding")
    def __call__(self, tokens: Float[Array, "*tokens channels"]) -> Float[Array, "*tokens E"]:
        """Embed every token."""
        return nnx.gelu(self.linear(tokens)).astype(jnp.float32)


class Head(nnx.Module):
    """norm(GELU(x W_1 + b_1)) W_2 + b_2: a token to a value or to logits."""

    def __init__(self, embed_dim: int, outputs: int, *, norm: NormFactory, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.hidden = Linear(embed_dim, embed_dim, bias=True, kernel_init=HIDDEN_INIT, dtype=dtype, rngs=rngs)
        self.norm = norm(embed_dim)
        self.output = Linear(embed_dim, outputs, bias=True, kernel_init=HEAD_INIT, dtype=dtype, rngs=rngs)

    @jax.named_scope("head")
    def __call__(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens out"]:
        """Apply the head to every token."""
        return self.output(self.norm(nnx.gelu(self.hidden(x)))).astype(jnp.float32)


def timestep_encoding(step_count: Int[Array, "*batch"], embed_dim: int) -> Float[Array, "*batch E"]:
    """pe[2i] = sin(t · 10000^(−2i/E)), pe[2i + 1] = cos(the same), t = step_count (Vaswani et al., 2017, 3.5)."""
    frequencies = 10000.0 ** (-jnp.arange(0, embed_dim, 2) / embed_dim)
    timestep = step_count[..., None].astype(jnp.float32)
    angles = timestep * jax.lax.broadcast_to_rank(frequencies, timestep.ndim)
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(*step_count.shape, embed_dim)


def previous_actions(tokens: Float[Array, "*batch N channels"]) -> Float[Array, "*batch N channels"]:
    """The decoder's input tokens: agent i gets the action token of agent i − 1, agent 0 the start token."""
    start = jnp.broadcast_to(start_token(tokens.shape[-1]), tokens[..., :1, :].shape)
    return jnp.concatenate([start, tokens[..., :-1, :]], axis=-2)


def start_token(channels: int) -> Float[Array, " channels"]:
    """The input of the first agent: 1 in channel 0, which no action uses."""
    return jax.nn.one_hot(0, channels)
