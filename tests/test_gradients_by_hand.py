"""The layers whose gradients are written by hand, against what autodiff says of the same formula."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sable.linear import Linear, token_product
from sable.norms import head_norm, rms_norm
from sable.types import Params


@pytest.mark.parametrize("tokens", [(), (7,), (2, 3, 5)])
def test_product_of_tokens(tokens: tuple[int, ...]) -> None:
    x = jax.random.normal(jax.random.key(0), (*tokens, 6))
    kernel = jax.random.normal(jax.random.key(1), (6, 4))
    ours = jax.jit(jax.grad(lambda *a: jnp.sin(token_product(*a)).sum(), argnums=(0, 1)))(x, kernel)
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
        return normed.reshape(x.shape) * scale + bias

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
        return scale * x / jnp.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)

    np.testing.assert_allclose(rms_norm(x, scale), written_out(x, scale), atol=1e-5)
    ours = jax.jit(jax.grad(lambda *a: jnp.sin(rms_norm(*a)).sum(), argnums=(0, 1)))(x, scale)
    theirs = jax.jit(jax.grad(lambda *a: jnp.sin(written_out(*a)).sum(), argnums=(0, 1)))(x, scale)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_linear_layer_in_bfloat16_keeps_its_parameters_and_their_gradients_in_float32() -> None:
    layer = Linear(4, 3, bias=True, dtype="bfloat16", rngs=nnx.Rngs(0))
    graph, params = nnx.split(layer)

    def total(params: Params, x: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(x).astype(jnp.float32).sum()

    x = jnp.ones((5, 4))
    assert nnx.merge(graph, params)(x).dtype == jnp.bfloat16
    grads = jax.tree.leaves(jax.grad(total)(params, x))
    assert [leaf.dtype for leaf in grads] == [jnp.float32] * 2
    np.testing.assert_allclose(grads[1], 5.0)
