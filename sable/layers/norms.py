"""The norms of every network, with handwritten gradients that store only the input and recompute the rest.

Statistics and outputs are at least float32, whatever the input is.

Autodiff would store several arrays of the input's size. Means over channels are products with a small matrix where that
is faster on a CPU, because XLA sums short rows element by element (`Tuning.matrix_means`); elsewhere they are plain
means. `benchmarks/retention.py` measures the gain.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sable.tuning import Tuned

EPSILON = 1e-6
"""As in the published norms."""


class RMSNorm(Tuned, nnx.Module):
    """Root mean square norm (Zhang and Sennrich, 2019)."""

    def __init__(self, embed_dim: int) -> None:
        self.scale = nnx.Param(jnp.ones(embed_dim))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens E"]:
        """Normalise every token to mean square 1, then scale."""
        return rms_norm(x, self.scale[...], self.tuning.matrix_means)


class HeadNorm(Tuned, nnx.Module):
    """Group norm (Wu and He, 2018) of single tokens with one group per head."""

    def __init__(self, embed_dim: int, heads: int) -> None:
        self.heads = heads
        self.scale = nnx.Param(jnp.ones(embed_dim))
        self.bias = nnx.Param(jnp.zeros(embed_dim))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "*tokens E"]) -> Float[Array, "*tokens E"]:
        """Normalise every head of every token to mean 0 and variance 1, then scale and shift."""
        return head_norm(x, self.scale[...], self.bias[...], self.heads, self.tuning.matrix_means)


class LayerNorm(HeadNorm):
    """Layer norm (Ba et al., 2016): a head norm with a single head."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__(embed_dim, heads=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def rms_norm(
    x: Float[Array, "*tokens E"], scale: Float[Array, " E"], matrix_means: bool = True
) -> Float[Array, "*tokens E"]:
    """scale · x / √(mean of x² + ε)."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + EPSILON) * _per_channel(scale, x)


def _rms(x: Array, scale: Array, matrix_means: bool) -> tuple[Array, tuple[Array, Array]]:
    return rms_norm(x, scale, matrix_means), (x, scale)


def _rms_gradient(matrix_means: bool, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    saved_x, scale = saved
    x = saved_x.astype(gradient.dtype)
    inverse = jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + EPSILON)
    normed, inner = x * inverse, gradient * _per_channel(scale, x)
    to_x = inverse * (inner - normed * _head_mean(inner * normed, 1, matrix_means))
    return to_x.astype(saved_x.dtype), _token_sum(gradient * normed)


rms_norm.defvjp(_rms, _rms_gradient)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def head_norm(
    x: Float[Array, "*tokens E"],
    scale: Float[Array, " E"],
    bias: Float[Array, " E"],
    heads: int,
    matrix_means: bool = True,
) -> Float[Array, "*tokens E"]:
    """scale · (x − mean) / √(variance + ε) + bias, with mean and variance over the channels of each head."""
    centred, inverse = _head_statistics(x.astype(jnp.promote_types(x.dtype, jnp.float32)), heads, matrix_means)
    return centred * inverse * _per_channel(scale, x) + _per_channel(bias, x)


def _head(x: Array, scale: Array, bias: Array, heads: int, matrix_means: bool) -> tuple[Array, tuple[Array, Array]]:
    return head_norm(x, scale, bias, heads, matrix_means), (x, scale)


def _head_gradient(
    heads: int, matrix_means: bool, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array, Array]:
    x, scale = saved
    mean = functools.partial(_head_mean, heads=heads, matrix_means=matrix_means)
    centred, inverse = _head_statistics(x.astype(gradient.dtype), heads, matrix_means)
    normed, inner = centred * inverse, gradient * _per_channel(scale, x)
    to_x = inverse * (inner - mean(inner) - normed * mean(inner * normed))
    return to_x.astype(x.dtype), _token_sum(gradient * normed), _token_sum(gradient)


head_norm.defvjp(_head, _head_gradient)


def _head_statistics(x: Array, heads: int, matrix_means: bool) -> tuple[Array, Array]:
    """x − mean, and 1 / √(variance + ε), both of x's shape."""
    centred = x - _head_mean(x, heads, matrix_means)
    return centred, jax.lax.rsqrt(_head_mean(centred**2, heads, matrix_means) + EPSILON)


def _head_mean(x: Array, heads: int, matrix_means: bool) -> Array:
    """The mean over each head's channels, repeated for each of them."""
    channels = x.shape[-1] // heads
    if not matrix_means:
        by_head = x.reshape(*x.shape[:-1], heads, channels)
        return jnp.broadcast_to(by_head.mean(axis=-1, keepdims=True), by_head.shape).reshape(x.shape)
    average = jnp.kron(jnp.eye(heads, dtype=x.dtype), jnp.full((channels, 1), 1 / channels, dtype=x.dtype))
    means = jnp.matmul(x, average, precision=jax.lax.Precision.HIGHEST)
    return jnp.broadcast_to(means[..., None], (*means.shape, channels)).reshape(x.shape)


def _per_channel(parameter: Array, x: Array) -> Array:
    """A parameter of each channel, (1, …, 1, E), for tokens x."""
    return jax.lax.broadcast_to_rank(parameter, x.ndim)


def _token_sum(x: Array) -> Array:
    """The sum over all tokens."""
    return x.sum(axis=tuple(range(x.ndim - 1)))
