"""Attention against softmax written out, and one agent at a time against all at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sable.mixers import attention


@pytest.mark.parametrize("causal", [False, True])
def test_dense_is_softmax_attention(causal: bool) -> None:
    q, k, v = (jax.random.normal(key, (2, 5, 2, 4)) for key in jax.random.split(jax.random.key(0), 3))
    y = attention.dense(q, k, v, causal=causal)
    for b in range(2):
        for h in range(2):
            for i in range(5):
                seen = slice(0, i + 1 if causal else 5)
                scores = np.asarray(k[b, seen, h] @ q[b, i, h]) / 2.0
                weights = np.exp(scores) / np.exp(scores).sum()
                np.testing.assert_allclose(y[b, i, h], weights @ np.asarray(v[b, seen, h]), atol=1e-6)


def test_the_cache_gives_what_the_whole_matrix_gives() -> None:
    mixer = attention.Attention(8, 2, form=attention.dense, causal=True, dtype="float32", rngs=nnx.Rngs(0))
    for layer in (mixer.query, mixer.key, mixer.value, mixer.output):
        layer.kernel[...] = layer.kernel[...] * 100.0
    query, key = (jax.random.normal(k, (2, 1, 6, 8)) for k in jax.random.split(jax.random.key(1)))
    together, carry = mixer(query, key, jnp.zeros((2, 1), dtype=bool), ())
    state = mixer.begin_timestep((), jnp.zeros(2, dtype=bool), 6)
    for agent in range(6):
        y, state = mixer.step(query[:, 0, agent], key[:, 0, agent], jnp.asarray(agent), state)
        np.testing.assert_allclose(y, together[:, 0, agent], atol=1e-5)
    assert carry == ()
    assert mixer.end_timestep(state) == ()
