"""Attention over a window of timesteps against one masked softmax over all tokens of all timesteps."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from graphs import largest_array
from mixing import make_loud, random_streams, step_by_step
from worlds import tiny_policy

from sable.mixers.attention import dense
from sable.mixers.temporal_attention import TemporalAttention, Window, windowed
from sable.types import Observation, Space

B, N, H, D = 2, 3, 2, 4


class Case(NamedTuple):
    """Inputs of one call."""

    q: jax.Array
    k: jax.Array
    v: jax.Array
    resets: jax.Array
    before: Window


def make_case(window: int, timesteps: int, seed: int) -> Case:
    """Random tokens and resets; the carry's episode goes on in environment 1, and is a timestep shorter in 0."""
    keys = jax.random.split(jax.random.key(seed), 6)
    q, k, v = (jax.random.normal(key, (B, timesteps, N, H, D)) for key in keys[:3])
    old_k, old_v = (jax.random.normal(key, (B, window - 1, N, H, D)) for key in keys[3:5])
    seen = np.ones((B, window - 1), dtype=bool)
    seen[0, :1] = False
    resets = jax.random.bernoulli(keys[5], 0.3, (B, timesteps)).at[1, 0].set(False).at[0, -1].set(True)
    return Case(q, k, v, resets, Window(old_k, old_v, jnp.asarray(seen)))


def mask_of(case: Case, *, causal: bool) -> np.ndarray:
    """Whether (t, i) sees (s, j), the carry's timesteps before 0 included: (B, T, N, W − 1 + T, N)."""
    earlier, timesteps = case.before.seen.shape[1], case.q.shape[1]
    mask = np.zeros((B, timesteps, N, earlier + timesteps, N), dtype=bool)
    for b, t, s in np.ndindex(B, timesteps, earlier + timesteps):
        age = t - (s - earlier)
        goes_on = not any(case.resets[b, max(s - earlier + 1, 0) : t + 1])
        remembered = s >= earlier or bool(case.before.seen[b, s])
        if 0 <= age <= earlier and goes_on and remembered:
            mask[b, t, :, s] = np.tri(N, dtype=bool) if causal and age == 0 else True
    return mask


def written_out(case: Case, mask: np.ndarray) -> jax.Array:
    """One softmax over all tokens."""
    keys = jnp.concatenate([case.before.keys, case.k], axis=1)
    values = jnp.concatenate([case.before.values, case.v], axis=1)
    scores = jnp.einsum("btnhd,bsmhd->bhtnsm", case.q, keys) / D**0.5
    weights = jnp.where(mask[:, None], jnp.exp(scores), 0.0)
    weights = weights / weights.sum(axis=(-2, -1), keepdims=True)
    return jnp.einsum("bhtnsm,bsmhd->btnhd", weights, values)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("window", "timesteps"), [(1, 3), (2, 5), (4, 2), (4, 6)])
def test_it_is_one_masked_softmax(window: int, timesteps: int, causal: bool) -> None:
    case = make_case(window, timesteps, seed=timesteps)
    mask = mask_of(case, causal=causal)

    def ours(tokens: tuple[jax.Array, ...]) -> jax.Array:
        q, k, v, old_k, old_v = tokens
        return windowed(q, k, v, case.resets, Window(old_k, old_v, case.before.seen), causal=causal)[0]

    def theirs(tokens: tuple[jax.Array, ...]) -> jax.Array:
        q, k, v, old_k, old_v = tokens
        return written_out(Case(q, k, v, case.resets, Window(old_k, old_v, case.before.seen)), mask)

    tokens = (case.q, case.k, case.v, case.before.keys, case.before.values)
    results = [
        (jax.jit(form)(tokens), jax.jit(jax.grad(lambda x, form=form: jnp.sin(form(x)).sum()))(tokens))
        for form in (ours, theirs)
    ]
    for our, their in zip(*(jax.tree.leaves(result) for result in results), strict=True):
        np.testing.assert_allclose(our, their, atol=1e-5)


def part(case: Case, when: slice, before: Window) -> Case:
    """Some timesteps of a case, and what was before them."""
    return Case(case.q[:, when], case.k[:, when], case.v[:, when], case.resets[:, when], before)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("cut", [1, 5])
def test_two_calls_are_one(cut: int, causal: bool) -> None:
    case = make_case(window=4, timesteps=6, seed=2)
    whole, after = windowed(*case, causal=causal)
    first, between = windowed(*part(case, slice(cut), case.before), causal=causal)
    second, last = windowed(*part(case, slice(cut, None), between), causal=causal)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, atol=1e-6)
    for ours, theirs in zip(last, after, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("window", [1, 3])
def test_one_agent_at_a_time_gives_what_all_at_once_give(window: int) -> None:
    mixer = TemporalAttention(8, 2, window=window, num_agents=N, causal=True, dtype="float32", rngs=nnx.Rngs(window))
    make_loud(mixer)
    streams = random_streams((B, 5, N, 8))
    resets = jnp.array([[True, False, False, True, False], [False, False, True, False, False]])
    before = make_case(window, 5, 3).before
    (together, carry), (stepped, after) = mixer(*streams, resets, before), step_by_step(mixer, *streams, resets, before)
    np.testing.assert_allclose(stepped, together, atol=1e-5)
    for ours, theirs in zip(carry, after, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_memory_is_that_of_one_timestep(causal: bool) -> None:
    """Four times the timesteps or the window hold at most four times as much; only a timestep is a square."""

    def largest(timesteps: int, window: int) -> int:
        tokens = jax.ShapeDtypeStruct((1, timesteps, 16, 2, 4), jnp.float32)
        old = jax.ShapeDtypeStruct((1, window - 1, 16, 2, 4), jnp.float32)
        seen = jnp.zeros((1, window - 1), dtype=bool)
        resets = jnp.zeros((1, timesteps), dtype=bool)

        def scalar(q: jax.Array, k: jax.Array, v: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
            return windowed(q, k, v, resets, Window(keys, values, seen), causal=causal)[0].sum()

        return largest_array(jax.grad(scalar, argnums=(0, 1, 2)), tokens, tokens, tokens, old, old)

    assert largest(64, 4) <= 4 * largest(16, 4)
    assert largest(64, 16) <= 4 * largest(64, 4)


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_of_one_timestep_is_dense(causal: bool) -> None:
    case = make_case(window=1, timesteps=3, seed=4)
    y, _ = windowed(*case, causal=causal)
    np.testing.assert_allclose(y, dense(case.q, case.k, case.v, causal=causal), atol=1e-6)


def test_mat_temporal_with_a_window_of_one_is_mat() -> None:
    space = Space(N, 3, 4)
    mat = tiny_policy("mat", "dense", space)
    temporal = tiny_policy("mat-temporal", "dense", space, window=1)
    params = mat.init(jax.random.key(0))
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    features = jax.random.normal(jax.random.key(1), (B, 4, N, 3))
    observation = Observation(features, jnp.ones((B, 4, N, 4), dtype=bool), jnp.zeros((B, 4), dtype=jnp.int32))
    actions = jax.random.randint(jax.random.key(2), (B, 4, N), 0, 4)
    resets = jax.random.bernoulli(jax.random.key(3), 0.3, (B, 4))
    ours, theirs = (
        jax.jit(policy.evaluate)(params, observation, actions, resets, policy.init_carry(B))
        for policy in (temporal, mat)
    )
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, atol=1e-6)
