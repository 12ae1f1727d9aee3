"""IPPO, MAPPO and recurrent IPPO: what each agent sees, and what it remembers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import Array
from worlds import Counter, tiny_policy, tiny_ppo

from sable.config import ModelConfig
from sable.networks.actor_critic import Recurrent, own_and_pooled_observations
from sable.training import ppo
from sable.types import Evaluation, Observation, Policy, Space
from scenarios.wrappers import Batched

INDEPENDENT = ["ippo", "mappo", "ippo-gru"]
SPACE = Space(num_agents=3, features=4, actions=5)
T = 4


def randomised(tree: Any, seed: int = 7) -> Any:
    """The same arrays with noise on them, so that no bias and no memory is zero."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), max(len(leaves), 1))
    noisy = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=False)]
    return jax.tree.unflatten(structure, noisy)


def evaluator(model: str, reset_at: int | None = None) -> Any:
    """From the features of one environment (T, N, F) to the evaluation of action 1, taken by everyone."""
    policy = tiny_policy(model, "", SPACE)
    params, carry = randomised(policy.init(jax.random.key(0))), randomised(policy.init_carry(1))
    mask = jnp.ones((1, T, SPACE.num_agents, SPACE.actions), dtype=bool)
    actions = jnp.ones((1, T, SPACE.num_agents), dtype=jnp.int32)
    resets = jnp.arange(T)[None] == (-1 if reset_at is None else reset_at)

    @jax.jit
    def evaluate(features: Array) -> Evaluation:
        observation = Observation(features[None], mask, jnp.arange(T)[None])
        return Evaluation(*(x[0] for x in policy.evaluate(params, observation, actions, resets, carry)))

    return evaluate


def features() -> Array:
    return jax.random.normal(jax.random.key(1), (T, SPACE.num_agents, SPACE.features))


def changed(model: str, at: tuple[int, int], reset_at: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where log-probabilities and values (T, N) change if what one agent observes at one timestep does."""
    evaluate = evaluator(model, reset_at)
    before, after = evaluate(features()), evaluate(features().at[at].add(1.0))
    return np.abs(after.log_prob - before.log_prob) > 1e-6, np.abs(after.value - before.value) > 1e-6


def only(timesteps: slice | int, agents: slice | int) -> np.ndarray:
    where = np.zeros((T, SPACE.num_agents), dtype=bool)
    where[timesteps, agents] = True
    return where


@pytest.mark.parametrize(
    ("model", "log_prob", "value"),
    [
        ("ippo", only(1, 2), only(1, 2)),
        ("mappo", only(1, 2), only(1, slice(None))),
        ("ippo-gru", only(slice(1, None), 2), only(slice(1, None), 2)),
    ],
)
def test_an_observation_is_seen_by_its_agent_and_by_a_central_critic(
    model: str, log_prob: np.ndarray, value: np.ndarray
) -> None:
    """What agent 2 observes at timestep 1 matters from then on where there is memory, else then only."""
    for ours, expected in zip(changed(model, (1, 2)), (log_prob, value), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_reset_clears_the_memory() -> None:
    for ours in changed("ippo-gru", (1, 2), reset_at=3):
        np.testing.assert_array_equal(ours, only(slice(1, 3), 2))


def test_pooled_observations() -> None:
    own = np.array([[1.0, 0.0], [3.0, -2.0], [2.0, 8.0]])
    pooled = [[2.0, 2.0, 3.0, 8.0]] * 3
    np.testing.assert_allclose(own_and_pooled_observations(jnp.array(own)), np.concatenate([own, pooled], axis=-1))


def test_the_pooled_critic_does_not_know_the_order_of_the_others() -> None:
    evaluate = evaluator("mappo")
    ours, theirs = evaluate(features()), evaluate(features()[:, jnp.array([0, 2, 1])])
    np.testing.assert_allclose(ours.value[:, 0], theirs.value[:, 0], atol=1e-6)
    assert (np.abs(ours.value[:, 1] - theirs.value[:, 1]) > 1e-3).all()


@pytest.mark.parametrize("model", INDEPENDENT)
def test_parameters_do_not_grow_with_the_team(model: str) -> None:
    def shapes(agents: int) -> list[tuple[int, ...]]:
        policy = tiny_policy(model, "", SPACE._replace(num_agents=agents))
        return [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(policy.init, jax.random.key(0)))]

    assert shapes(2) == shapes(50)


@pytest.mark.parametrize(
    ("model", "actor", "critic"),
    [
        ("ippo", [(4, 8), (8, 8)], [(4, 8), (8, 8)]),
        ("mappo", [(4, 8), (8, 8)], [(12, 8), (8, 8)]),
        ("ippo-gru", [(4, 8), (8, 8), (8, 24), (8, 24), (8, 8), (8, 8)], None),
    ],
)
def test_blocks_are_hidden_layers(
    model: str, actor: list[tuple[int, int]], critic: list[tuple[int, int]] | None
) -> None:
    params = jax.eval_shape(tiny_policy(model, "", SPACE, blocks=2).init, jax.random.key(0))
    for torso, expected in (("actor", actor), ("critic", critic or actor)):
        kernels = [leaf.shape for leaf in jax.tree.leaves(params[torso]) if len(leaf.shape) == 2]
        assert sorted(kernels) == sorted(expected)


def test_recurrent_torso_is_the_recurrence_written_out() -> None:
    """Two environments, of which the second starts an episode at timestep 2; heads need not divide the width."""
    config = ModelConfig(model="ippo-gru", mode="", embed_dim=8, heads=3)
    graph, fresh = nnx.split(Recurrent(4, config, nnx.Rngs(0)))
    params = randomised(fresh)
    x = jax.random.normal(jax.random.key(1), (2, 5, 3, 4))
    carry = jax.random.normal(jax.random.key(2), (2, 3, 8))
    resets = np.zeros((2, 5), dtype=bool)
    resets[1, 2] = True
    outputs, memory = jax.jit(nnx.merge(graph, params))(x, jnp.array(resets), carry)

    def hidden(x: Any, layers: Any) -> Any:
        weights = layers["layers"][0]["linear"]
        return np.maximum(x @ np.asarray(weights["kernel"][...]) + np.asarray(weights["bias"][...]), 0)

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    cell, h = jax.tree.map(np.asarray, nnx.to_pure_dict(params["cell"])), np.asarray(carry)
    for t in range(5):
        h = np.where(resets[:, t, None, None], 0.0, h)
        given = hidden(np.asarray(x[:, t]), params["before"]) @ cell["dense_i"]["kernel"] + cell["dense_i"]["bias"]
        given_r, given_z, given_n = np.split(given, 3, axis=-1)
        kept_r, kept_z, kept_n = np.split(h @ cell["dense_h"]["kernel"], 3, axis=-1)
        r, z = sigmoid(given_r + kept_r), sigmoid(given_z + kept_z)
        h = (1 - z) * np.tanh(given_n + r * kept_n) + z * h
        np.testing.assert_allclose(outputs[:, t], hidden(h, params["after"]), atol=1e-5)
    np.testing.assert_allclose(memory, h, atol=1e-5)


def test_memories_stay_with_their_agents_when_these_are_permuted() -> None:
    scenario = Batched(Counter(4, limit=4), 4)
    policy, config = tiny_policy("ippo-gru", "", scenario.space), tiny_ppo()
    params, carry = randomised(policy.init(jax.random.key(0))), randomised(policy.init_carry(4))

    @jax.jit
    def run(key: Array) -> Any:
        state = ppo.init_train_state(policy, scenario, config, key)._replace(params=params, carry=carry)
        steps, carry_before, _ = ppo.rollout(policy, scenario, config, state._replace(reset=jnp.zeros(4, bool)))[1]
        batch = ppo.Batch(
            steps.observation,
            steps.actions,
            steps.reset,
            steps.log_prob,
            steps.value,
            steps.value,
            steps.value,
            carry_before,
        )
        permuted = ppo.permute_agents(policy, params, batch, jax.random.key(2))
        evaluation = policy.evaluate(params, permuted.observation, permuted.actions, permuted.resets, permuted.carry)
        return batch, permuted, evaluation

    batch, permuted, evaluation = run(jax.random.key(0))
    order = jax.random.permutation(jax.random.key(2), 4)
    assert not np.array_equal(order, np.arange(4))
    np.testing.assert_allclose(permuted.old_log_prob, batch.old_log_prob[:, :, order], atol=1e-5)
    np.testing.assert_allclose(evaluation.value, permuted.old_value, atol=1e-5)


@pytest.mark.parametrize("model", INDEPENDENT)
def test_bfloat16_is_for_products_only(model: str) -> None:
    observation = Observation(features()[0][None], jnp.ones((1, 3, 5), dtype=bool), jnp.zeros(1, jnp.int32))
    exact, rough = (tiny_policy(model, "", SPACE, dtype=dtype) for dtype in ("float32", "bfloat16"))
    params, carry = exact.init(jax.random.key(0)), randomised(exact.init_carry(1))

    def act(policy: Policy) -> Any:
        return jax.jit(policy.act)(params, observation, jnp.zeros(1, dtype=bool), carry, jax.random.key(3))

    ours, theirs = act(rough), act(exact)
    assert {x.dtype for x in jax.tree.leaves((rough.init(jax.random.key(0)), ours.carry))} == {jnp.dtype("float32")}
    assert ours.value.dtype == ours.log_prob.dtype == jnp.float32
    assert not np.array_equal(ours.value, theirs.value), "the option must change the arithmetic"
    np.testing.assert_allclose(ours.value, theirs.value, atol=2e-2)
    for rounded, whole in zip(jax.tree.leaves(ours.carry), jax.tree.leaves(theirs.carry), strict=True):
        np.testing.assert_allclose(rounded, whole, atol=2e-2)


def test_one_scan_over_time() -> None:
    """One for the actor's memory and one for the critic's, at any length; without memory there is none."""
    assert [str(graph_of(model)).count(" scan[") for model in INDEPENDENT] == [0, 0, 2]


def graph_of(model: str) -> Any:
    return jax.make_jaxpr(evaluator(model))(features())
