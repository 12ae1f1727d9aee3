"""The parts of the PPO loss against numbers worked out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sable.distributions import Categorical
from sable.layers.blocks import previous_actions, timestep_encoding
from sable.training.losses import clipped_policy_loss, clipped_value_loss, normalise


def test_policy_loss_clips_only_where_the_ratio_gained() -> None:
    old = jnp.zeros(4)
    log_prob = jnp.log(jnp.array([1.5, 1.5, 0.5, 0.5]))
    advantages = jnp.array([1.0, -1.0, 1.0, -1.0])
    # min(r·A, clip(r)·A): 1.2, −1.5, 0.5, −0.8
    assert clipped_policy_loss(log_prob, old, advantages, clip=0.2) == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)


def test_policy_loss_has_no_gradient_beyond_the_clip() -> None:
    def loss(log_prob: jax.Array) -> jax.Array:
        return clipped_policy_loss(log_prob, jnp.zeros(2), jnp.array([1.0, -1.0]), clip=0.2)

    gradient = jax.grad(loss)(jnp.log(jnp.array([1.5, 1.5])))
    assert gradient[0] == 0.0
    assert gradient[1] == pytest.approx(0.75)


def test_value_loss_takes_the_worse_of_clipped_and_free() -> None:
    value, old, targets = jnp.array([1.0, 0.1]), jnp.zeros(2), jnp.array([1.0, 1.0])
    # free errors 0 and 0.81; clipped values 0.2 and 0.1 give 0.64 and 0.81
    assert clipped_value_loss(value, old, targets, clip=0.2) == pytest.approx(0.5 * (0.64 + 0.81) / 2)


def test_normalised_advantages() -> None:
    normalised = normalise(jnp.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(normalised, np.array([-1.0, 0.0, 1.0]) * np.sqrt(1.5), rtol=1e-6)


def test_every_agent_is_given_the_action_before_its_own() -> None:
    tokens = Categorical(3).tokens(jnp.array([[2, 0, 1]]))
    np.testing.assert_array_equal(previous_actions(tokens)[0], np.eye(4)[[0, 3, 1]])


def test_timestep_encoding_is_the_transformers() -> None:
    encoding = timestep_encoding(jnp.array([0, 3]), 4)
    np.testing.assert_allclose(encoding, [[0, 1, 0, 1], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)]], atol=1e-6)
