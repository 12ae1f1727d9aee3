"""The distributions of actions: against hand-made numbers, and against numerical integration in float64."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sable.distributions import (
    MIN_STD,
    Categorical,
    Distribution,
    TanhGaussian,
    distribution_of,
    environment_actions,
    mask_logits,
)
from sable.types import Space

GAUSSIANS = [(0.0, 0.05), (0.7, 0.1), (-1.5, 0.3), (0.0, 0.69), (0.4, 1.0), (-3.0, 1.0), (5.0, 0.5)]
"""Mean and standard deviation before squashing, from sharp to wide and from centred to saturated."""
WIDE = [(0.0, 1.5), (2.0, 1.5), (0.3, 2.0), (0.0, 3.0), (-4.0, 3.0)]


def raw(*stds: float) -> jax.Array:
    """The parameter that gives these standard deviations."""
    return jnp.asarray(np.log(np.expm1(np.asarray(stds) - MIN_STD)))


def gaussian(*stds: float) -> TanhGaussian:
    """A distribution with these standard deviations."""
    return with_raw_std(raw(*stds))


def with_raw_std(values: jax.Array) -> TanhGaussian:
    distribution = TanhGaussian(values.size)
    distribution.raw_std[...] = values
    return distribution


def legal(x: jax.Array) -> jax.Array:
    return jnp.ones_like(x, dtype=bool)


def test_the_space_chooses_the_distribution() -> None:
    assert isinstance(distribution_of(Space(2, 3, 4)), Categorical)
    assert isinstance(distribution_of(Space(2, 3, 4, continuous=True)), TanhGaussian)
    for space in (Space(2, 3, 4), Space(2, 3, 4, continuous=True)):
        assert isinstance(distribution_of(space), Distribution)


def test_illegal_actions_have_no_probability_and_leave_the_entropy_finite() -> None:
    logits, mask = jnp.array([[0.0, 0.0, 5.0]]), jnp.array([[True, True, False]])
    log_prob, entropy = Categorical(3).log_prob_and_entropy(logits, mask, jnp.array([1]))
    assert log_prob[0] == pytest.approx(np.log(0.5))
    assert entropy[0] == pytest.approx(np.log(2.0))
    assert np.argmax(mask_logits(logits, mask)) == 0


def test_gradient_through_a_masked_entropy_is_finite() -> None:
    def entropy(logits: jax.Array) -> jax.Array:
        mask = jnp.array([True, True, False])
        return Categorical(3).log_prob_and_entropy(logits, mask, jnp.array(0))[1]

    assert jnp.all(jnp.isfinite(jax.grad(entropy)(jnp.array([1.0, -1.0, 3.0]))))


def squashed_density(mean: float, std: float) -> tuple[np.ndarray, np.ndarray, float]:
    """log p over a grid of u with its weights da = (1 − tanh² u) du, both of float64."""
    with jax.enable_x64(True):
        u = np.linspace(mean - 12.0 * std, mean + 12.0 * std, 20001)
        distribution, points = gaussian(std), jnp.asarray(u)[:, None]
        log_prob, entropy = distribution.log_prob_and_entropy(jnp.full_like(points, mean), legal(points), points)
        return np.asarray(log_prob), np.cosh(u) ** -2.0 * (u[1] - u[0]), float(entropy[0])


@pytest.mark.parametrize(("mean", "std"), GAUSSIANS + WIDE)
def test_density_of_the_squashed_action_integrates_to_one(mean: float, std: float) -> None:
    log_prob, da, _ = squashed_density(mean, std)
    assert np.sum(np.exp(log_prob) * da) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (0.3, 0.2), (-0.5, 0.7)])
def test_density_integrates_to_one_over_a_grid_of_actions(mean: float, std: float) -> None:
    """The same without the change of variables: the density is evaluated at equally spaced actions in (−1, 1)."""
    with jax.enable_x64(True):
        edges = np.linspace(-1.0, 1.0, 200001)
        actions = (edges[1:] + edges[:-1]) / 2
        u = jnp.arctanh(actions)[:, None]
        log_prob, _ = gaussian(std).log_prob_and_entropy(jnp.full_like(u, mean), legal(u), u)
    assert np.exp(log_prob).sum() * (edges[1] - edges[0]) == pytest.approx(1.0, abs=1e-7)


def test_density_is_the_slope_of_the_distribution_function() -> None:
    mean, std, step = 0.4, 0.6, 1e-5
    actions = np.linspace(-0.95, 0.95, 39)
    with jax.enable_x64(True):

        def cumulative(a: np.ndarray) -> jax.Array:
            return jax.scipy.stats.norm.cdf(jnp.arctanh(a), mean, std)

        slope = (cumulative(actions + step) - cumulative(actions - step)) / (2 * step)
        u = jnp.arctanh(actions)[:, None]
        log_prob, _ = gaussian(std).log_prob_and_entropy(jnp.full_like(u, mean), legal(u), u)
    np.testing.assert_allclose(np.exp(log_prob), slope, rtol=1e-7)


@pytest.mark.parametrize(("cases", "tolerance"), [(GAUSSIANS, 1e-6), (WIDE[:2], 2e-5), (WIDE[2:3], 2e-4), (WIDE, 3e-3)])
def test_entropy_is_the_integral(cases: list[tuple[float, float]], tolerance: float) -> None:
    """−∫ p log p da within what `TanhGaussian` states."""
    for mean, std in cases:
        log_prob, da, entropy = squashed_density(mean, std)
        assert entropy == pytest.approx(-np.sum(np.exp(log_prob) * log_prob * da), abs=tolerance), (mean, std)


def test_gradient_of_the_entropy_is_that_of_the_integral() -> None:
    with jax.enable_x64(True):

        def entropy(mean: float, std: float) -> float:
            return squashed_density(mean, std)[2]

        def of_mean(mean: jax.Array) -> jax.Array:
            return gaussian(0.8).log_prob_and_entropy(mean, legal(mean), mean)[1]

        slope = jax.grad(of_mean)(jnp.array([0.5]))[0]
        assert slope == pytest.approx((entropy(0.5 + 1e-4, 0.8) - entropy(0.5 - 1e-4, 0.8)) / 2e-4, abs=1e-6)


def test_dimensions_add_up() -> None:
    means, stds, u = jnp.array([[0.3, -1.0, 2.0]]), (0.2, 0.7, 1.1), jnp.array([[0.1, -2.0, 1.5]])
    together = gaussian(*stds).log_prob_and_entropy(means, legal(u), u)
    columns = [(gaussian(stds[i]), means[:, i : i + 1], u[:, i : i + 1]) for i in range(3)]
    apart = [one.log_prob_and_entropy(mean, legal(column), column) for one, mean, column in columns]
    for total, parts in zip(together, zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(total, sum(parts), rtol=1e-5)


@pytest.mark.parametrize("std", [0.01, 0.69, 3.0])
def test_saturated_actions_have_finite_numbers_and_gradients(std: float) -> None:
    u = jnp.array([-20.0, -10.0, -0.0, 1e-6, 10.0, 20.0])[:, None]

    def total(mean: jax.Array, values: jax.Array, u: jax.Array) -> jax.Array:
        log_prob, entropy = with_raw_std(values).log_prob_and_entropy(mean, legal(u), u)
        return jnp.sum(log_prob) + jnp.sum(entropy)

    for mean in (u, u[::-1], jnp.zeros_like(u)):
        value, grads = jax.value_and_grad(total, argnums=(0, 1, 2))(mean, raw(std), u)
        assert np.isfinite(value)
        assert all(jnp.all(jnp.isfinite(grad)) for grad in grads)


def drawn(draw: Callable[[jax.Array], jax.Array]) -> np.ndarray:
    return np.asarray(jax.jit(draw)(jax.random.key(0)))


def test_samples_have_the_distribution() -> None:
    """Means of many samples, within four standard errors."""
    count, mask = 40000, jnp.ones((40000, 1, 3), dtype=bool).at[..., 1].set(False)
    logits = jnp.broadcast_to(jnp.log(jnp.array([0.2, 0.5, 0.3])), mask.shape)
    categorical, squashed = Categorical(3), gaussian(0.5, 1.0, 0.1)

    def indices(key: jax.Array) -> jax.Array:
        return categorical.sample(logits, mask, categorical.draw_noise(key, mask).swapaxes(0, 1))

    def vectors(key: jax.Array) -> jax.Array:
        return squashed.sample(jnp.full(mask.shape, 0.5), mask, squashed.draw_noise(key, mask).swapaxes(0, 1))

    shares = np.bincount(drawn(indices)[:, 0], minlength=3) / count
    np.testing.assert_allclose(shares, [0.4, 0.0, 0.6], atol=4 * np.sqrt(0.24 / count))
    u = drawn(vectors)[:, 0]
    np.testing.assert_allclose(u.mean(axis=0), [0.5, 0.5, 0.5], atol=4 / np.sqrt(count))
    np.testing.assert_allclose(u.std(axis=0), [0.5, 1.0, 0.1], rtol=4 / np.sqrt(2 * count))


def test_what_the_next_agent_and_the_environment_are_given() -> None:
    u = jnp.array([[[0.5, -30.0], [1e4, 0.0]]])
    np.testing.assert_allclose(TanhGaussian(2).tokens(u), [[[0.0, np.tanh(0.5), -1.0], [0.0, 1.0, 0.0]]], rtol=1e-6)
    given = environment_actions(Space(2, 1, 2, continuous=True), u)
    np.testing.assert_allclose(given, [[[np.tanh(0.5), -1.0], [1.0, 0.0]]], rtol=1e-6)
    everywhere = environment_actions(Space(1, 1, 1, continuous=True), jnp.linspace(-50.0, 50.0, 100001)[:, None, None])
    assert float(jnp.abs(everywhere).max()) <= 1.0
    indices = jnp.array([[2, 0]])
    np.testing.assert_array_equal(environment_actions(Space(2, 1, 3), indices), indices)


def test_an_action_has_changed_where_its_squashed_value_has() -> None:
    before = jnp.array([[0.0, 0.0], [0.0, 0.0], [9.0, 0.0]])
    after = jnp.array([[0.0, 2e-6], [5e-7, 0.0], [12.0, 0.0]])
    np.testing.assert_array_equal(TanhGaussian(2).changed(after, before), [True, False, False])
    np.testing.assert_array_equal(Categorical(3).changed(jnp.array([1, 2]), jnp.array([1, 0])), [False, True])
