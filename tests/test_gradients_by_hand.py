"""The layers whose gradients are written by hand, against what autodiff says of the same formula."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sable.layers.linear import Linear, token_product
from sable.layers.norms import head_norm, rms_norm
from sable.types import Params


@pytest.mark.parametrize("tokens", [(), (7,), (2, 3, 5)])
def test_product_of_tokens(tokens: tuple[int, ...]) -> None:
    x = jax.random.normal(jax.random.key(0), (*tokens, 6))
    kernel = jax.random.normal(jax.random.key(1), (6, 4))
    ours = jax.jit(jax.grad(lambda *a: jnp.sin(token_product(*a, jnp.float32)).sum(), argnums=(0, 1)))(x, kernel)
    theirs = jax.jit(jax.grad(lambda x, w: jnp.sin(x @ w).sum(), argnums=(0, 1)))(x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (8, 2), (12, 4), (12, 3)])
def test_norm_of_heads(width: int, heads: int) -> None:
    keys = jax.random.split(jax.random.key(2), 3)
    x = 3.0 * jax.random.normal(keys[0], (5, 2, width)) + 1.0
    scale, bias = jax.random.normal(keys[1], (width,)), jax.random.normal(keys[2], (width,))

    def written_out(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        by_head = x.reshape(5, 2, heads, -1)
        centred = by_head - by_head.mean(axis=-1, keepdims=True)
        normed = centred / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
        return normed.reshape(x.shape) * scale[None, None] + bias[None, None]

    np.testing.assert_allclose(head_norm(x, scale, bias, heads), written_out(x, scale, bias), atol=1e-5)
    ours = jax.jit(jax.grad(lambda *a: jnp.sin(head_norm(*a, heads)).sum(), argnums=(0, 1, 2)))(x, scale, bias)
    theirs = jax.jit(jax.grad(lambda *a: jnp.sin(written_out(*a)).sum(), argnums=(0, 1, 2)))(x, scale, bias)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("tokens", [(), (7,), (2, 3, 5)])
def test_root_mean_square_norm(tokens: tuple[int, ...]) -> None:
    x = 3.0 * jax.random.normal(jax.random.key(0), (*tokens, 8)) + 1.0
    scale = jax.random.normal(jax.random.key(1), (8,))

    def written_out(x: jax.Array, scale: jax.Array) -> jax.Array:
        return jax.lax.broadcast_to_rank(scale, x.ndim) * x / jnp.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)

    np.testing.assert_allclose(rms_norm(x, scale), written_out(x, scale), atol=1e-5)
    ours = jax.jit(jax.grad(lambda *a: jnp.sin(rms_norm(*a)).sum(), argnums=(0, 1)))(x, scale)
    theirs = jax.jit(jax.grad(lambda *a: jnp.sin(written_out(*a)).sum(), argnums=(0, 1)))(x, scale)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_linear_layer_in_bfloat16_sums_its_gradients_in_float32() -> None:
    layers = {dtype: Linear(4, 3, bias=True, dtype=dtype, rngs=nnx.Rngs(0)) for dtype in ("bfloat16", "float32")}
    x = jax.random.normal(jax.random.key(0), (4096, 4)).astype(jnp.bfloat16)
    weights = jax.random.normal(jax.random.key(1), (4096, 3)).astype(jnp.bfloat16).astype(jnp.float32)

    def gradients(layer: Linear) -> list[jax.Array]:
        graph, params = nnx.split(layer)

        def total(params: Params) -> jax.Array:
            return (nnx.merge(graph, params)(x).astype(jnp.float32) * weights).sum()

        return jax.tree.leaves(jax.grad(total)(params))

    assert layers["bfloat16"](x).dtype == jnp.bfloat16
    for rough, exact in zip(gradients(layers["bfloat16"]), gradients(layers["float32"]), strict=True):
        assert rough.dtype == jnp.float32
        np.testing.assert_allclose(rough, exact, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("norm", ["rms", "head"])
def test_norms_of_bfloat16_are_those_of_the_same_numbers_in_float32(norm: str) -> None:
    """Far from zero and close together, where statistics in bfloat16 would be wrong by several percent."""
    x = (3.0 + 0.05 * jax.random.normal(jax.random.key(0), (7, 8))).astype(jnp.bfloat16)
    scale, bias = jnp.linspace(0.5, 2.0, 8), jnp.linspace(-1.0, 1.0, 8)

    def apply(x: jax.Array) -> jax.Array:
        return rms_norm(x, scale) if norm == "rms" else head_norm(x, scale, bias, 2)

    np.testing.assert_allclose(apply(x), apply(x.astype(jnp.float32)), rtol=1e-6)
    rough, exact = (jax.grad(lambda x: jnp.sin(apply(x)).sum())(y) for y in (x, x.astype(jnp.float32)))
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(jnp.float32), exact, rtol=1e-2, atol=1e-3)
