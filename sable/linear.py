"""The linear layer of every network: Flax's, with a gradient of its weights that XLA does not lay out anew.

Autodiff writes the weights' gradient as (gᵀx)ᵀ, for which XLA on a CPU first copies the gradient of every layer into
another layout; written as xᵀg there is nothing to copy. `benchmarks/retention.py` shows what that is worth.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float

LECUN_NORMAL = nnx.initializers.lecun_normal()


@jax.custom_vjp
def token_product(x: Float[Array, "*tokens in"], kernel: Float[Array, "in out"]) -> Float[Array, "*tokens out"]:
    """x W for every token."""
    return x @ kernel


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    flat = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    return gradient @ kernel.T, jnp.einsum("ti,to->io", *flat)


token_product.defvjp(_forward, _backward)


def linear(
    inputs: int,
    outputs: int,
    *,
    bias: bool,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
    kernel_init: nnx.Initializer = LECUN_NORMAL,
) -> nnx.Linear:
    """A linear layer (*tokens, inputs) to (*tokens, outputs) that computes in `dtype`; its parameters are float32."""

    def dot_general(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
        return token_product(x, kernel)

    return nnx.Linear(
        inputs, outputs, use_bias=bias, kernel_init=kernel_init, dtype=dtype, dot_general=dot_general, rngs=rngs
    )
