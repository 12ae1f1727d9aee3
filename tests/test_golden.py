"""Agreement with the published implementation of Sable and MAT (the arrays are described in golden/README.md)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiler import optimised_jit
from golden_weights import Weights, golden_params, load, named_leaves

from sable.config import ModelConfig, PPOConfig
from sable.networks.encoder_decoder import NetworkCarry
from sable.policies.builders import build_mat, build_memoryless_sable, build_sable
from sable.policies.encoder_decoder_policy import EncoderDecoderPolicy
from sable.training import ppo
from sable.training.losses import normalise
from sable.types import Observation, Space

TOLERANCE = 2e-5
B, T, N, F, A = 2, 4, 3, 5, 4
PREFIX = "params/params/"
FORMS = [("parallel", 1), ("chunkwise", 1), ("chunkwise", 2), ("chunkwise", 3), ("recurrent", 1), ("factored", 1)]


@pytest.fixture(scope="module")
def sable_weights() -> Weights:
    return load("sable_h1.npz")


@pytest.fixture(scope="module")
def mat_weights() -> Weights:
    return load("mat_h1.npz")


@functools.cache
def sable_policy(mode: str, chunk: int, encoded: int = 0) -> EncoderDecoderPolicy:
    """One policy per form, so that what is compiled for one case serves the others."""
    config = ModelConfig(embed_dim=16, heads=1, mode=mode, chunk=chunk, timestep_encoding=bool(encoded))
    return build_sable(config, Space(N, F, A))


def observation_of(weights: Weights, case: str) -> Observation:
    return Observation(
        jnp.asarray(weights["in/obs"].reshape(B, T, N, F)),
        jnp.asarray(weights["in/legal"].reshape(B, T, N, A)),
        jnp.asarray(weights[f"{case}/in/step_count"].reshape(B, T, N)[:, :, 0]),
    )


def resets_of(weights: Weights, case: str) -> jax.Array:
    return jnp.asarray(weights[f"{case}/in/dones"].reshape(B, T, N)[:, :, 0])


def carry_of(arrays: dict[str, Any], prefix: str) -> NetworkCarry:
    """Published states (…, heads, blocks, d, d) as ours: one (…, heads, d, d) per block."""
    names = ("hs_encoder", "hs_decoder_self", "hs_decoder_cross")
    return NetworkCarry(*((jnp.asarray(arrays[prefix + name][..., 0, :, :]),) for name in names))


def assert_close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours).reshape(theirs.shape), theirs, atol=TOLERANCE)


@functools.cache
def forward(policy: EncoderDecoderPolicy) -> Callable[..., Any]:
    """Everything that the training forward computes, compiled."""

    @optimised_jit
    def run(params: Any, observation: Observation, actions: Any, resets: Any, carry: NetworkCarry) -> Any:
        network = policy.network(params)
        rep, _, encoder = network.encode(observation, resets, carry.encoder)
        logits, after = network.decode(rep, actions, observation.step_count, resets, carry)
        evaluation = policy.evaluate(params, observation, actions, resets, carry)
        return evaluation, rep, logits, after._replace(encoder=encoder)

    return run


@functools.cache
def act_with_noise(policy: EncoderDecoderPolicy) -> Callable[..., Any]:
    """`policy.act` with the sampler's noise given instead of drawn, compiled."""

    @optimised_jit
    def run(params: Any, observation: Observation, reset: Any, carry: Any, noise: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.random, "gumbel", lambda key, shape: noise)
            return policy.act(params, observation, reset, carry, jax.random.key(0))

    return run


def noise_for(actions: np.ndarray) -> jax.Array:
    """Noise so strong on the recorded actions (B, N) that they win: (N, B, A), as the sampler draws it."""
    return 1e6 * jax.nn.one_hot(actions, A).swapaxes(0, 1)


@pytest.mark.parametrize(("mode", "chunk"), FORMS)
@pytest.mark.parametrize("encoded", [0, 1])
@pytest.mark.parametrize("case", ["case0", "case1"])
def test_training_forward(sable_weights: Weights, case: str, encoded: int, mode: str, chunk: int) -> None:
    policy = sable_policy(mode, chunk, encoded)
    params = golden_params(policy, sable_weights, PREFIX, "sable")
    actions = jnp.asarray(sable_weights["in/action"].reshape(B, T, N))
    expected = f"{case}/pe{encoded}/chunkNone/"
    evaluation, rep, logits, carry = forward(policy)(
        params,
        observation_of(sable_weights, case),
        actions,
        resets_of(sable_weights, case),
        carry_of(sable_weights, "in/"),
    )
    for name in ("value", "log_prob", "entropy"):
        assert_close(getattr(evaluation, name), sable_weights[expected + name])

    assert_close(rep, sable_weights[expected + "obs_rep"])
    assert_close(logits, sable_weights[expected + "logits_unmasked"])
    final = carry_of(sable_weights, expected + "final_")
    for ours, theirs in zip(jax.tree.leaves(carry), jax.tree.leaves(final), strict=True):
        assert_close(ours, np.asarray(theirs))


@pytest.mark.parametrize("mode", ["parallel", "chunkwise", "recurrent"])
@pytest.mark.parametrize("encoded", [0, 1])
@pytest.mark.parametrize("case", ["case0", "case1"])
def test_acting(sable_weights: Weights, case: str, encoded: int, mode: str) -> None:
    """Acting step by step, made to choose the recorded actions, gives their log-probabilities, values and states."""
    policy = sable_policy(mode, 1, encoded)
    params = golden_params(policy, sable_weights, PREFIX, "sable")
    observation, resets = observation_of(sable_weights, case), resets_of(sable_weights, case)
    carry = carry_of(sable_weights, "in/")
    prefix = f"{case}/pe{encoded}/act/"
    for t in range(T):
        chosen = sable_weights[prefix + "action"][:, t]
        seen = Observation(*(x[:, t] for x in observation))
        action = act_with_noise(policy)(params, seen, resets[:, t], carry, noise_for(chosen))
        carry = action.carry
        np.testing.assert_array_equal(action.actions, chosen)
        assert_close(action.log_prob, sable_weights[prefix + "log_prob"][:, t])
        assert_close(action.value, sable_weights[prefix + "value"][:, t])
        expected = carry_of({name: x[:, t] for name, x in sable_weights.items() if name.startswith(prefix)}, prefix)
        for ours, theirs in zip(jax.tree.leaves(carry), jax.tree.leaves(expected), strict=True):
            assert_close(ours, np.asarray(theirs))


value_and_grad = optimised_jit(jax.value_and_grad(ppo.loss, argnums=2, has_aux=True), static_argnums=(0, 1))


@pytest.mark.parametrize(("mode", "chunk"), FORMS)
@pytest.mark.parametrize("case", ["case0", "case1"])
def test_loss_and_gradients(sable_weights: Weights, case: str, mode: str, chunk: int) -> None:
    policy = sable_policy(mode, chunk)
    params = golden_params(policy, sable_weights, PREFIX, "sable")
    inputs = {
        name: jnp.asarray(sable_weights[f"loss_in/{name}"].reshape(B, T, N))
        for name in ("adv", "target", "old_value", "old_log_prob")
    }
    batch = ppo.Batch(
        observation=observation_of(sable_weights, case),
        actions=jnp.asarray(sable_weights["in/action"].reshape(B, T, N)),
        resets=resets_of(sable_weights, case),
        old_log_prob=inputs["old_log_prob"],
        old_value=inputs["old_value"],
        advantages=normalise(inputs["adv"]),
        targets=inputs["target"],
        carry=carry_of(sable_weights, "in/"),
    )
    config = PPOConfig(seq_len=T, envs=B)
    (total, parts), grads = value_and_grad(policy, config, params, batch)
    expected_total, expected_actor, expected_entropy, expected_value = sable_weights[f"{case}/loss_chunkNone"]
    policy_loss, value_loss, entropy = parts
    np.testing.assert_allclose(
        [total, policy_loss, entropy, value_loss],
        [expected_total, expected_actor, expected_entropy, expected_value],
        atol=TOLERANCE,
    )
    if case == "case1":
        ours = named_leaves(grads, f"{case}/grad/params/", "sable")
        assert sorted(ours) == sorted(name for name in sable_weights if name.startswith(f"{case}/grad/"))
        for name, gradient in ours.items():
            assert_close(gradient, sable_weights[name])


def test_advantages_are_normalised_as_published() -> None:
    advantages = jnp.asarray([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_allclose(normalise(advantages), (np.asarray(advantages) - 3.0) / np.sqrt(3.5), rtol=1e-6)


def mat_inputs(weights: Weights) -> tuple[EncoderDecoderPolicy, Any, Observation]:
    policy = build_mat(ModelConfig(model="mat", mode="dense", embed_dim=16, heads=1), Space(4, F, A))
    params = golden_params(policy, weights, "mat_params/params/", "mat")
    features, legal = jnp.asarray(weights["in/obs"]), jnp.asarray(weights["in/legal"])
    return policy, params, Observation(features, legal, jnp.zeros(3, dtype=jnp.int32))


def test_mat_training_forward(mat_weights: Weights) -> None:
    policy, params, observation = mat_inputs(mat_weights)
    sequence = Observation(*(x[:, None] for x in observation))
    actions = jnp.asarray(mat_weights["in/action"])[:, None]
    evaluation = optimised_jit(policy.evaluate)(
        params, sequence, actions, jnp.zeros((3, 1), dtype=bool), policy.init_carry(3)
    )
    for name in ("value", "log_prob", "entropy"):
        assert_close(getattr(evaluation, name), mat_weights[f"mat/{name}"])


def test_mat_acting_with_its_cache(mat_weights: Weights) -> None:
    policy, params, observation = mat_inputs(mat_weights)
    noise = noise_for(mat_weights["mat/act/action"])
    action = act_with_noise(policy)(params, observation, jnp.zeros(3, dtype=bool), policy.init_carry(3), noise)
    np.testing.assert_array_equal(action.actions, mat_weights["mat/act/action"])
    assert_close(action.log_prob, mat_weights["mat/act/log_prob"])
    assert_close(action.value, mat_weights["mat/act/value"])


@pytest.mark.parametrize(("mode", "chunk"), FORMS)
def test_sable_without_memory(mat_weights: Weights, mode: str, chunk: int) -> None:
    """The published arrays are of three environments; as three timesteps after a filled state they must be the same."""
    config = ModelConfig(model="sable-memoryless", embed_dim=16, heads=1, mode=mode, chunk=chunk)
    policy = build_memoryless_sable(config, Space(4, F, A))
    params = golden_params(policy, mat_weights, "sable_params/params/", "sable")
    features, legal, actions = (jnp.asarray(mat_weights[f"in/{name}"]) for name in ("obs", "legal", "action"))
    resets = jnp.zeros((1, 3), dtype=bool)
    carry = jax.tree.map(jnp.ones_like, policy.init_carry(1))
    sequence = Observation(features[None], legal[None], jnp.arange(3)[None])
    evaluation = optimised_jit(policy.evaluate)(params, sequence, actions[None], resets, carry)
    for name in ("value", "log_prob", "entropy"):
        assert_close(getattr(evaluation, name), mat_weights[f"ff/chunkNone/{name}"])
    noise = noise_for(mat_weights["ff/chunkNone/act/action"])
    timestep = Observation(features, legal, jnp.zeros(3, dtype=jnp.int32))
    carry = jax.tree.map(jnp.ones_like, policy.init_carry(3))
    action = act_with_noise(policy)(params, timestep, jnp.zeros(3, dtype=bool), carry, noise)
    np.testing.assert_array_equal(action.actions, mat_weights["ff/chunkNone/act/action"])
    assert_close(action.log_prob, mat_weights["ff/chunkNone/act/log_prob"])
    assert_close(action.value, mat_weights["ff/chunkNone/act/value"])
