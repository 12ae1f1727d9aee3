"""The norm of every head's output, with a gradient written by hand.

Averages over a head's channels are products with a small matrix: on a CPU XLA sums short rows one number after the
other. The gradient keeps the input alone and computes the statistics again; autodiff kept six arrays of its size.
`benchmarks/retention.py` shows what that is worth.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

EPSILON = 1e-6
"""As in the published group norm."""


class HeadNorm(nnx.Module):
    """Group norm (Wu and He, 2018) of single tokens with one group per head."""

    def __init__(self, embed_dim: int, heads: int) -> None:
        self.heads = heads
        self.scale = nnx.Param(jnp.ones(embed_dim))
        self.bias = nnx.Param(jnp.zeros(embed_dim))

    def __call__(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens E"]:
        """Give every head of every token mean 0 and variance 1, then scale and shift."""
        return head_norm(x, self.scale[...], self.bias[...], self.heads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def head_norm(
    x: Float[Array, "*tokens E"], scale: Float[Array, " E"], bias: Float[Array, " E"], heads: int
) -> Float[Array, "*tokens E"]:
    """scale · (x − mean) / √(variance + ε) + bias, with mean and variance over the channels of each head."""
    centred, inverse = _statistics(x, heads)
    return centred * inverse * scale + bias


def _forward(x: Array, scale: Array, bias: Array, heads: int) -> tuple[Array, tuple[Array, Array]]:
    return head_norm(x, scale, bias, heads), (x, scale)


def _backward(heads: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array, Array]:
    x, scale = saved
    centred, inverse = _statistics(x, heads)
    normed, inner = centred * inverse, gradient * scale
    to_x = inverse * (inner - _head_mean(inner, heads) - normed * _head_mean(inner * normed, heads))
    tokens = tuple(range(x.ndim - 1))
    return to_x, (gradient * normed).sum(tokens), gradient.sum(tokens)


head_norm.defvjp(_forward, _backward)


def _statistics(x: Array, heads: int) -> tuple[Array, Array]:
    """x − mean, and 1 / √(variance + ε), both of x's shape."""
    centred = x - _head_mean(x, heads)
    return centred, jax.lax.rsqrt(_head_mean(centred**2, heads) + EPSILON)


def _head_mean(x: Array, heads: int) -> Array:
    """The mean over each head's channels, in place of each of them."""
    channels = x.shape[-1] // heads
    average = jnp.kron(jnp.eye(heads, dtype=x.dtype), jnp.full((channels, 1), 1 / channels, dtype=x.dtype))
    means = jnp.matmul(x, average, precision=jax.lax.Precision.HIGHEST)
    return jnp.broadcast_to(means[..., None], (*means.shape, channels)).reshape(x.shape)
