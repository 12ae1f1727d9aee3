"""Attention against softmax written out, and one agent at a time against all at once."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from graphs import largest_array
from hypothesis import given, settings
from hypothesis import strategies as st
from mixing import make_loud, random_streams, step_by_step

from sable.config import ModelConfig
from sable.mixers import attention
from sable.mixers.blockwise_attention import blockwise
from sable.mixers.fused_attention import fused
from sable.models import build_policy
from sable.types import Space


def random_tokens(shape: tuple[int, ...], seed: int = 0) -> list[jax.Array]:
    """q, k and v."""
    return [jax.random.normal(key, shape) for key in jax.random.split(jax.random.key(seed), 3)]


def outputs_and_gradients(form: attention.AttentionForm, tokens: list[jax.Array], *, causal: bool) -> list[jax.Array]:
    """y, and the gradients of q, k and v of a function of it."""

    def scalar(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = form(q, k, v, causal=causal)
        return jnp.sum(jnp.sin(y)), y

    gradients, y = jax.jit(jax.grad(scalar, argnums=(0, 1, 2), has_aux=True))(*tokens)
    return [y, *gradients]


@pytest.mark.parametrize("causal", [False, True])
def test_dense_is_softmax_attention(causal: bool) -> None:
    q, k, v = random_tokens((2, 5, 2, 4))
    y = attention.dense(q, k, v, causal=causal)
    for b in range(2):
        for h in range(2):
            for i in range(5):
                seen = slice(0, i + 1 if causal else 5)
                scores = np.asarray(k[b, seen, h] @ q[b, i, h]) / 2.0
                weights = np.exp(scores) / np.exp(scores).sum()
                np.testing.assert_allclose(y[b, i, h], weights @ np.asarray(v[b, seen, h]), atol=1e-6)


SHAPES = [
    (1, 1, 1, 1, 4),
    (1, 1, 2, 1, 4),
    (2, 1, 3, 2, 4),
    (1, 2, 4, 1, 8),
    (1, 1, 5, 4, 4),
    (2, 3, 7, 2, 4),
    (1, 1, 8, 1, 2),
    (1, 2, 9, 3, 4),
    (1, 1, 12, 2, 8),
    (3, 1, 13, 1, 4),
    (1, 1, 31, 2, 16),
    (1, 1, 33, 1, 4),
]


@settings(max_examples=12, deadline=None)
@given(
    shape=st.sampled_from(SHAPES), block=st.sampled_from([1, 3, 4, 16]), causal=st.booleans(), seed=st.integers(0, 3)
)
def test_blockwise_is_dense(shape: tuple[int, ...], block: int, causal: bool, seed: int) -> None:
    tokens = random_tokens(shape, seed)
    ours = outputs_and_gradients(partial(blockwise, block=block), tokens, causal=causal)
    for our, their in zip(ours, outputs_and_gradients(attention.dense, tokens, causal=causal), strict=True):
        np.testing.assert_allclose(our, their, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_blockwise_is_finite_whatever_the_scores(causal: bool) -> None:
    """With padding in the last block, and scores beyond what exp can take."""
    q, k, v = random_tokens((1, 1, 5, 2, 4))
    for y in outputs_and_gradients(partial(blockwise, block=3), [1e3 * q, 1e3 * k, v], causal=causal):
        assert bool(jnp.isfinite(y).all())


@pytest.mark.parametrize("causal", [False, True])
def test_blockwise_holds_no_array_that_grows_as_the_square(causal: bool) -> None:
    def largest(form: attention.AttentionForm, agents: int) -> int:
        tokens = jax.ShapeDtypeStruct((1, 2, agents, 2, 16), jnp.float32)
        return largest_array(
            jax.grad(lambda *qkv: form(*qkv, causal=causal).sum(), argnums=(0, 1, 2)), tokens, tokens, tokens
        )

    assert largest(blockwise, 2048) <= 4 * largest(blockwise, 512)
    assert largest(attention.dense, 2048) == 16 * largest(attention.dense, 512)


@pytest.mark.parametrize("causal", [False, True])
def test_fused_is_dense_in_half_precision(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own function, asked for its portable implementation instead of the kernel."""
    library = jax.nn.dot_product_attention
    asked = []

    def portable(*arguments: Any, implementation: str, **options: Any) -> jax.Array:
        inspect.signature(library).bind(*arguments, implementation=implementation, **options)
        asked.append((implementation, {x.dtype for x in arguments}))
        y: jax.Array = library(*arguments, implementation="xla", **options)
        return y

    monkeypatch.setattr(jax.nn, "dot_product_attention", portable)
    q, k, v = random_tokens((2, 3, 5, 2, 8))
    y = fused(q, k, v, causal=causal)
    assert asked == [("cudnn", {jnp.dtype("bfloat16")})]
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, attention.dense(q, k, v, causal=causal), atol=3e-2)


def test_fused_says_what_it_lacks() -> None:
    space = Space(2, 3, 4)
    config = ModelConfig(model="mat", mode="fused", dtype="bfloat16")
    for platform in (None, "cpu", "tpu"):
        lacks = rf"^mode fused needs an NVIDIA GPU with cuDNN, not {platform or 'cpu'}: use dense or blockwise"
        with pytest.raises(ValueError, match=lacks):
            build_policy(config, space, platform=platform)
    build_policy(config, space, platform="gpu")
    with pytest.raises(ValueError, match=r"^mode fused computes in bfloat16, dtype is float32: use bfloat16"):
        build_policy(replace(config, dtype="float32"), space, platform="gpu")
    with pytest.raises(ValueError, match=r"^mode fused needs heads of 8, 16, … 128 channels, embed_dim / heads is 4:"):
        build_policy(replace(config, heads=16), space, platform="gpu")


def test_the_cache_gives_what_the_whole_matrix_gives() -> None:
    mixer = attention.Attention(8, 2, form=attention.dense, causal=True, dtype="float32", rngs=nnx.Rngs(0))
    make_loud(mixer)
    streams, resets = random_streams((2, 1, 6, 8)), jnp.zeros((2, 1), dtype=bool)
    (together, carry), (stepped, after) = mixer(*streams, resets, ()), step_by_step(mixer, *streams, resets, ())
    np.testing.assert_allclose(stepped, together, atol=1e-5)
    assert carry == after == ()
