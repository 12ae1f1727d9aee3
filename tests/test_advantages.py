"""Generalised advantage estimation against hand-written numbers."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from sable.training.advantages import gae, trajectory_advantages
from sable.types import Observation, Trajectory, Transition


def column(*values: float) -> jnp.ndarray:
    """One environment, one agent: (1, T, 1)."""
    return jnp.asarray(values, dtype=jnp.float32).reshape(1, -1, 1)


def row(*values: float) -> jnp.ndarray:
    """One environment: (1, T)."""
    return jnp.asarray(values, dtype=jnp.float32).reshape(1, -1)


def test_without_an_end() -> None:
    advantages = gae(
        column(1, 1), column(0.5, 0.2), column(0.2, 0.4), row(1, 1), row(0, 0).astype(bool), gamma=0.5, gae_lambda=0.5
    )
    # δ = 1 + 0.1 − 0.5, 1 + 0.2 − 0.2; A_1 = 1.0; A_0 = 0.6 + 0.25 · 1.0
    np.testing.assert_allclose(advantages[0, :, 0], [0.85, 1.0], rtol=1e-6)


def test_a_termination_cuts_the_value_and_the_sum() -> None:
    advantages = gae(
        column(1, 1), column(0.5, 0.2), column(9, 0.4), row(0, 1), row(1, 0).astype(bool), gamma=0.5, gae_lambda=0.5
    )
    np.testing.assert_allclose(advantages[0, :, 0], [0.5, 1.0], rtol=1e-6)


def test_a_truncation_cuts_the_sum_but_keeps_the_value() -> None:
    advantages = gae(
        column(1, 1), column(0.5, 0.2), column(2, 0.4), row(1, 1), row(1, 0).astype(bool), gamma=0.5, gae_lambda=0.5
    )
    np.testing.assert_allclose(advantages[0, :, 0], [1.5, 1.0], rtol=1e-6)


def test_a_trajectory_bootstraps_from_the_right_values() -> None:
    """Step 0 goes on, step 1 is truncated (terminal value 7), step 2 ends the rollout (last value 3)."""
    shape = (1, 3, 1)
    observation = Observation(jnp.zeros((*shape, 1)), jnp.ones((*shape, 2), dtype=bool), jnp.zeros((1, 3), dtype=int))
    transition = Transition(
        observation=observation,
        actions=jnp.zeros(shape, dtype=int),
        log_prob=jnp.zeros(shape),
        value=column(10, 20, 30),
        decoder_steps=jnp.ones((1, 3), dtype=int),
        reward=column(1, 2, 3),
        discount=row(1, 1, 1),
        ended=row(0, 1, 0).astype(bool),
        reset=row(0, 0, 1).astype(bool),
        terminal_value=column(0, 7, 0),
    )
    trajectory = Trajectory(transition, (), jnp.asarray([[3.0]]))
    advantages, targets = trajectory_advantages(trajectory, gamma=1.0, gae_lambda=0.0)
    np.testing.assert_allclose(advantages[0, :, 0], [1 + 20 - 10, 2 + 7 - 20, 3 + 3 - 30], rtol=1e-6)
    np.testing.assert_allclose(targets[0, :, 0], [21, 9, 6], rtol=1e-6)
