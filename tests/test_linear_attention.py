"""Linear attention against its formula written out, and one agent at a time against all at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from graphs import largest_array
from mixing import make_loud, random_streams, step_by_step

from sable.mixers import linear_attention
from sable.mixers.linear_attention import LinearAttention

Form = Callable[..., jax.Array]


def written_out(q: jax.Array, k: jax.Array, v: jax.Array, *, causal: bool) -> jax.Array:
    """The formula with its matrix of all pairs of agents."""
    q, k = (jnp.where(x > 0, x + 1, jnp.exp(x)) for x in (q, k))
    weights = jnp.einsum("btnhd,btmhd->bthnm", q, k)
    if causal:
        weights = jnp.where(jnp.tri(q.shape[2], dtype=bool), weights, 0.0)
    return jnp.einsum("bthnm,btmhd->btnhd", weights / weights.sum(axis=-1, keepdims=True), v)


@pytest.mark.parametrize("block", [None, 1, 3, 4, 16])
@pytest.mark.parametrize("agents", [1, 4, 7])
def test_forms_are_the_formula(agents: int, block: int | None) -> None:
    """Outputs and gradients, with and without padding in the last block; None is the full form."""
    form = linear_attention.full if block is None else partial(linear_attention.causal, block=block)
    tokens = [jax.random.normal(key, (2, 3, agents, 2, 4)) for key in jax.random.split(jax.random.key(agents), 3)]

    def scalar(attend: Form, q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = attend(q, k, v)
        return jnp.sum(jnp.sin(y)), y

    ours, theirs = (
        jax.jit(jax.grad(partial(scalar, attend), argnums=(0, 1, 2), has_aux=True))(*tokens)
        for attend in (form, partial(written_out, causal=block is not None))
    )
    for our, their in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(our, their, atol=1e-5)


def test_it_is_finite_where_no_feature_is_left() -> None:
    q = jnp.full((1, 1, 3, 1, 4), -200.0)
    for form in (linear_attention.full, partial(linear_attention.causal, block=2)):
        y, gradient = form(q, q, q), jax.grad(lambda q, form=form: form(q, q, q).sum())(q)
        for x in (y, gradient):
            assert bool(jnp.isfinite(x).all())


@pytest.mark.parametrize("form", [linear_attention.full, linear_attention.causal])
def test_no_array_grows_as_the_square(form: Form) -> None:
    def largest(agents: int) -> int:
        tokens = jax.ShapeDtypeStruct((1, 2, agents, 2, 4), jnp.float32)
        return largest_array(jax.grad(lambda *qkv: form(*qkv).sum(), argnums=(0, 1, 2)), tokens, tokens, tokens)

    assert largest(1024) <= 4 * largest(256)


def test_the_sums_give_what_all_agents_at_once_give() -> None:
    mixer = LinearAttention(8, 2, causal=True, dtype="float32", rngs=nnx.Rngs(0))
    make_loud(mixer)
    streams, resets = random_streams((2, 1, 6, 8)), jnp.zeros((2, 1), dtype=bool)
    (together, carry), (stepped, after) = mixer(*streams, resets, ()), step_by_step(mixer, *streams, resets, ())
    np.testing.assert_allclose(stepped, together, atol=1e-5)
    assert carry == after == ()
