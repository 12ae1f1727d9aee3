"""The linear layer of every network: Flax's, with a gradient of the weights that is fast on a CPU.

Autodiff computes the gradient of the weights as (gᵀx)ᵀ, for which XLA on a CPU first copies the gradient of every layer
into another layout; xᵀg needs no copy. `benchmarks/retention.py` measures the gain.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float

from sable.tuning import Tuned

LECUN_NORMAL = nnx.initializers.lecun_normal()


class Linear(Tuned, nnx.Linear):
    """x W [+ b] for every token, computed in `dtype`; parameters and their gradients are float32."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        kernel_init: nnx.Initializer = LECUN_NORMAL,
    ) -> None:
        super().__init__(inputs, outputs, use_bias=bias, kernel_init=kernel_init, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "*tokens in"], out_sharding: None = None) -> Float[Array, "*tokens out"]:
        """Apply the layer to every token; `out_sharding` is not supported."""
        y = token_product(x if self.tuning.float32_inputs else x.astype(self.dtype), self.kernel[...], self.dtype)
        if self.bias is None:
            return y
        bias = jax.lax.broadcast_to_rank(self.bias[...], y.ndim)
        return (y.astype(jnp.float32) + bias).astype(self.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def token_product(
    x: Float[Array, "*tokens in"], kernel: Float[Array, "in out"], dtype: DTypeLike
) -> Float[Array, "*tokens out"]:
    """x W for every token, in `dtype`; the gradient of W is summed over tokens in float32 at least."""
    return x.astype(dtype) @ kernel.astype(dtype)


def _product(x: Array, kernel: Array, dtype: DTypeLike) -> tuple[Array, tuple[Array, Array]]:
    return token_product(x, kernel, dtype), (x, kernel)


def _product_gradient(dtype: DTypeLike, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    flat = x.astype(dtype).reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    to_kernel = jnp.einsum("ti,to->io", *flat, preferred_element_type=kernel.dtype)
    return (gradient @ kernel.astype(dtype).T).astype(x.dtype), to_kernel


token_product.defvjp(_product, _product_gradient)


def dot_general(x: Float[Array, "*tokens in"], kernel: Float[Array, "in out"], *_: Any, **__: Any) -> Array:
    """`token_product` for Flax's layers; their further arguments (axes, precision) are ignored."""
    return token_product(x, kernel, x.dtype)
