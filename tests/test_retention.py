"""Every form of retention against the recurrence written out in NumPy, and against the reference form."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs import largest_array
from hypothesis import given, settings
from hypothesis import strategies as st

from sable.mixers import retention

FORMS: dict[str, retention.Form] = {
    "parallel": retention.parallel,
    "chunkwise-1": partial(retention.chunkwise, chunk=1),
    "chunkwise-2": partial(retention.chunkwise, chunk=2),
    "chunkwise-3": partial(retention.chunkwise, chunk=3),
    "chunkwise-99": partial(retention.chunkwise, chunk=99),
    "recurrent": retention.recurrent,
    "factored": retention.factored,
    "factored-2": partial(retention.factored, block=2),
    "factored-4": partial(retention.factored, block=4),
}


class Case(NamedTuple):
    """Inputs of one retention."""

    q: jax.Array
    k: jax.Array
    v: jax.Array
    decay: jax.Array
    resets: jax.Array
    state: jax.Array


def make_case(shape: tuple[int, int, int, int, int], resets: list[int], seed: int = 0) -> Case:
    """Random inputs of shape (B, T, N, H, d); environment 0 starts an episode at the timesteps in `resets`."""
    envs, timesteps, _, heads, channels = shape
    generator = np.random.default_rng(seed)
    flags = np.zeros((envs, timesteps), dtype=bool)
    flags[0, resets] = True
    q, k, v = (jnp.asarray(generator.normal(size=shape) / channels**0.5, dtype=float) for _ in range(3))
    state = jnp.asarray(generator.normal(size=(envs, heads, channels, channels)), dtype=float)
    return Case(q, k, v, retention.head_decays(heads, 0.8), jnp.asarray(flags), state)


def written_out(case: Case, *, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """The recurrence of the module's docstring, token by token, in float64."""
    q, k, v, decay, resets, state = (np.asarray(x, dtype=np.float64) for x in case)
    envs, timesteps, agents, heads, _ = q.shape
    y = np.zeros_like(q)
    for b in range(envs):
        for h in range(heads):
            s = state[b, h]
            for t in range(timesteps):
                s = decay[h] * (1 - resets[b, t]) * s
                for i in range(agents):
                    s = s + np.outer(k[b, t, i, h], v[b, t, i, h])
                    if causal:
                        y[b, t, i, h] = q[b, t, i, h] @ s
                if not causal:
                    y[b, t, :, h] = q[b, t, :, h] @ s
            state[b, h] = s
    return y, state


@cache
def compiled(form: str, causal: bool) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """One compilation per form, shared by the tests."""
    return jax.jit(partial(FORMS[form], causal=causal))


def difference(a: jax.Array, b: jax.Array) -> float:
    """max|a − b| / max|b|."""
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("resets", [[], [0], [2], [4], [0, 1, 2, 3, 4], [1, 3]])
def test_form_is_the_recurrence(form: str, causal: bool, resets: list[int]) -> None:
    case = make_case((2, 5, 3, 2, 4), resets)
    y, state = compiled(form, causal)(*case)
    expected_y, expected_state = written_out(case, causal=causal)
    np.testing.assert_allclose(y, expected_y, atol=1e-5)
    np.testing.assert_allclose(state, expected_state, atol=1e-5)


SHAPES = st.sampled_from(
    [(1, 1, 1, 1, 4), (2, 3, 5, 2, 4), (1, 7, 3, 4, 8), (2, 4, 7, 1, 16), (1, 5, 9, 2, 32), (3, 2, 1, 4, 4)]
)


@settings(max_examples=20, deadline=None)
@given(
    shape=SHAPES,
    form=st.sampled_from([name for name in FORMS if name != "parallel"]),
    causal=st.booleans(),
    resets=st.sampled_from(["nowhere", "first", "middle", "last", "everywhere"]),
    seed=st.integers(0, 3),
)
def test_forms_agree_on_outputs_state_and_gradients(
    shape: tuple[int, int, int, int, int], form: str, causal: bool, resets: str, seed: int
) -> None:
    last = shape[1] - 1
    where: dict[str, list[int]] = {
        "nowhere": [],
        "first": [0],
        "middle": [last // 2],
        "last": [last],
        "everywhere": list(range(last + 1)),
    }
    case = make_case(shape, where[resets], seed)
    check_agreement(case, form, causal, tolerance=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    shape=SHAPES,
    form=st.sampled_from([name for name in FORMS if name != "parallel"]),
    causal=st.booleans(),
    resets=st.sampled_from([[], [0], [1]]),
)
def test_forms_agree_to_the_last_digits_in_float64(
    shape: tuple[int, int, int, int, int], form: str, causal: bool, resets: list[int]
) -> None:
    with jax.enable_x64(True):
        case = make_case(shape, [t for t in resets if t < shape[1]])
        assert case.q.dtype == case.state.dtype == jnp.float64
        check_agreement(case, form, causal, tolerance=1e-10)


def check_agreement(case: Case, form: str, causal: bool, *, tolerance: float) -> None:
    """Outputs, final state and all gradients of a form against the reference's: max|a − b| / max|reference|."""

    reference = outputs_and_gradients("parallel", causal)(*case)
    for ours, theirs in zip(outputs_and_gradients(form, causal)(*case), reference, strict=True):
        assert ours.dtype == theirs.dtype
        assert np.max(np.abs(ours - theirs)) <= tolerance * max(float(np.max(np.abs(theirs))), 1e-2)


@cache
def outputs_and_gradients(form: str, causal: bool) -> Callable[..., list[np.ndarray]]:
    """Outputs, final state and gradients of q, k, v and the state; compiled once per shape and type."""

    def scalar(
        q: jax.Array, k: jax.Array, v: jax.Array, decay: jax.Array, resets: jax.Array, state: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        y, final = FORMS[form](q, k, v, decay, resets, state, causal=causal)
        return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.cos(final)), (y, final)

    run = jax.jit(jax.grad(scalar, argnums=(0, 1, 2, 5), has_aux=True))

    def call(*case: jax.Array) -> list[np.ndarray]:
        gradients, outputs = run(*case)
        return [np.asarray(x) for x in (*outputs, *gradients)]

    return call


def largest_in_gradient(agents: int, timesteps: int, causal: bool) -> int:
    """Elements of the largest array in the gradient of `factored`."""
    tokens = jax.ShapeDtypeStruct((1, timesteps, agents, 2, 4), jnp.float32)
    state = jax.ShapeDtypeStruct((1, 2, 4, 4), jnp.float32)
    resets = jax.ShapeDtypeStruct((1, timesteps), jnp.bool_)
    decay = jax.ShapeDtypeStruct((2,), jnp.float32)

    def scalar(q: jax.Array, k: jax.Array, v: jax.Array, d: jax.Array, r: jax.Array, s: jax.Array) -> jax.Array:
        y, final = retention.factored(q, k, v, d, r, s, causal=causal)
        return y.sum() + final.sum()

    return largest_array(jax.grad(scalar, argnums=(0, 1, 2, 5)), tokens, tokens, tokens, decay, resets, state)


@pytest.mark.parametrize("causal", [False, True])
def test_factored_holds_no_array_that_grows_as_the_square(causal: bool) -> None:
    assert largest_in_gradient(1024, 4, causal) <= 4 * largest_in_gradient(256, 4, causal)
    assert largest_in_gradient(64, 64, causal) <= 4 * largest_in_gradient(64, 16, causal)


def test_decays_are_the_published_ones() -> None:
    np.testing.assert_allclose(retention.head_decays(1, 1.0), [31 / 32], rtol=1e-6)
    np.testing.assert_allclose(retention.head_decays(2, 0.8), [0.8 * 31 / 32, 0.8 * 511 / 512], rtol=1e-6)


def test_decay_matrix_stops_at_a_reset() -> None:
    matrix = retention.decay_matrix(jnp.array([0.5]), jnp.array([[False, False, True, False]]), jnp.arange(1, 5))
    expected = np.array([[1, 0, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0.5, 1]])
    np.testing.assert_allclose(matrix[0, 0], expected, rtol=1e-6)


def test_decay_of_zero_forgets_at_once() -> None:
    case = make_case((1, 3, 2, 1, 4), [])._replace(decay=jnp.zeros(1))
    for form in FORMS:
        _, state = compiled(form, True)(*case)
        np.testing.assert_allclose(state, jnp.einsum("bnhd,bnhe->bhde", case.k[:, -1], case.v[:, -1]), atol=1e-6)


def test_padding_of_the_last_chunk_adds_no_time() -> None:
    case = make_case((1, 4, 2, 1, 4), [])
    _, padded = retention.chunkwise(*case, causal=True, chunk=3)
    _, whole = retention.chunkwise(*case, causal=True, chunk=2)
    assert difference(padded, whole) < 1e-6
