"""The trainer: what one update does, and what it must not do."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from worlds import MODES, ONE_MODE_EACH, Aim, Counter, neom, tiny_policy, tiny_ppo

from sable.config import PPOConfig
from sable.training import ppo
from sable.training.advantages import trajectory_advantages
from sable.tuning import CPU
from sable.types import Action, Evaluation, Observation, Policy, TrainState, Trajectory, Transition
from scenarios.wrappers import Batched


def started(policy: Policy, scenario: Batched, config: PPOConfig) -> tuple[TrainState, Trajectory]:
    """A state after one rollout, and that rollout."""

    @jax.jit
    def run(key: jax.Array) -> tuple[TrainState, Trajectory]:
        state = ppo.init_train_state(policy, scenario, config, key)
        return ppo.rollout(policy, scenario, config, state)

    state, trajectory = run(jax.random.key(0))
    return state, trajectory


@pytest.mark.parametrize(("model", "mode"), MODES)
def test_every_parameter_moves_in_one_update(model: str, mode: str) -> None:
    """From the default initialisation no parameter is dead, except softmax key biases, whose gradient is zero."""
    check_every_parameter_moves(model, mode, neom(3, 4, reward="individual"))


@pytest.mark.parametrize(("model", "mode"), ONE_MODE_EACH)
def test_every_parameter_moves_in_one_update_with_continuous_actions(model: str, mode: str) -> None:
    check_every_parameter_moves(model, mode, Batched(Aim(3, limit=4), 4))


def check_every_parameter_moves(model: str, mode: str, scenario: Batched) -> None:
    policy, config = tiny_policy(model, mode, scenario.space), tiny_ppo(max_grad_norm=1e9)
    state, trajectory = started(policy, scenario, config)
    batch = batch_of(trajectory, config)
    grads = jax.jit(jax.grad(partial(ppo.loss, policy, config), has_aux=True))(state.params, batch)[0]
    for path, gradient in jax.tree_util.tree_flatten_with_path(grads)[0]:
        name = jax.tree_util.keystr(path)
        largest = float(jnp.max(jnp.abs(gradient)))
        if model.startswith("mat") and "key" in name and "bias" in name:
            assert largest < 1e-6, name
        else:
            assert largest > 0, name


def batch_of(trajectory: Trajectory, config: PPOConfig) -> ppo.Batch:
    """The whole rollout as one batch with arbitrary advantages."""
    steps = trajectory.transitions
    return ppo.Batch(
        observation=steps.observation,
        actions=steps.actions,
        resets=steps.reset,
        old_log_prob=steps.log_prob,
        old_value=steps.value,
        advantages=jnp.asarray(np.random.default_rng(5).normal(size=steps.value.shape), dtype=jnp.float32),
        targets=steps.value + 1.0,
        carry=trajectory.carry,
    )


def test_first_ratio_is_one() -> None:
    """Before any step the loss's ratio is 1: the policy loss of raw advantages is minus their mean."""
    scenario = Batched(Counter(3, limit=4), 4)
    config = tiny_ppo(normalise_advantages=False)
    policy = tiny_policy("sable", "chunkwise", scenario.space)
    state, trajectory = started(policy, scenario, config)
    batch = batch_of(trajectory, config)
    _, (policy_loss, value_loss, entropy) = jax.jit(partial(ppo.loss, policy, config))(state.params, batch)
    assert policy_loss == pytest.approx(-float(batch.advantages.mean()), abs=1e-5)
    assert value_loss == pytest.approx(0.5, abs=1e-5)
    assert 0 < entropy <= np.log(3) + 1e-6


def test_learn_is_one_gradient_step_per_minibatch() -> None:
    """One epoch of one minibatch equals the gradient step written out."""
    scenario = neom(3, 4)
    policy = tiny_policy("sable", "recurrent", scenario.space)
    config = tiny_ppo(minibatches=1)
    state, trajectory = started(policy, scenario, config)
    learned, metrics = jax.jit(partial(ppo.learn, policy, config))(state, trajectory)

    advantages, targets = trajectory_advantages(trajectory, gamma=config.gamma, gae_lambda=config.gae_lambda)
    batch = batch_of(trajectory, config)._replace(advantages=advantages, targets=targets)
    grads, parts = jax.jit(partial(ppo.gradients, policy, config))(state.params, batch)
    updates, _ = ppo.optimiser(config).update(grads, state.opt_state, state.params)
    expected = optax.apply_updates(state.params, updates)
    for ours, theirs in zip(jax.tree.leaves(learned.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert metrics.policy_loss == pytest.approx(float(parts[0]), abs=1e-5)
    assert metrics.grad_norm == pytest.approx(float(optax.tree.norm(grads)), rel=1e-4)
    assert metrics.mean_return == pytest.approx(float(metrics.mean_reward) * config.seq_len)


@pytest.mark.parametrize("groups", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_minibatch(groups: int) -> None:
    scenario = Batched(Counter(3, limit=4), 4)
    policy = tiny_policy("sable", "factored", scenario.space)
    whole, cut = tiny_ppo(minibatches=1, accumulate=1), tiny_ppo(minibatches=1, accumulate=groups)
    state, trajectory = started(policy, scenario, whole)
    batch = batch_of(trajectory, whole)
    expected, expected_parts = jax.jit(partial(ppo.gradients, policy, whole))(state.params, batch)
    grads, parts = jax.jit(partial(ppo.gradients, policy, cut))(state.params, batch)
    np.testing.assert_allclose(parts, expected_parts, atol=1e-6)
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        assert float(jnp.max(jnp.abs(ours - theirs))) <= 1e-5 * float(jnp.max(jnp.abs(theirs)))


def test_open_number_of_groups_keeps_groups_small() -> None:
    assert ppo.accumulation_groups(tiny_ppo(accumulate=0), 4, 5, 3) == 1
    assert ppo.accumulation_groups(tiny_ppo(accumulate=0), 12, 16, CPU.group_tokens // 32) == 6
    huge = (12, 16, CPU.group_tokens)
    assert ppo.accumulation_groups(tiny_ppo(accumulate=0), *huge) == 12
    assert ppo.accumulation_groups(tiny_ppo(accumulate=2), *huge) == 2
    assert ppo.accumulation_groups(tiny_ppo(accumulate=1), *huge) == 1


class Recorder:
    """A policy whose evaluation says how far an environment's observation is from the carry it is given."""

    def init(self, key: jax.Array) -> Any:
        return {"w": jnp.ones(())}

    def init_carry(self, envs: int) -> Any:
        return jnp.arange(envs, dtype=jnp.float32)

    def permute_carry(self, carry: Any, order: Any) -> Any:
        return carry

    def act(self, params: Any, observation: Any, reset: Any, carry: Any, key: jax.Array) -> Any:
        ids = observation.features[:, :, 0]
        zeros = jnp.zeros_like(ids)
        return Action(zeros.astype(jnp.int32), zeros, zeros, carry, zeros[:, 0].astype(jnp.int32))

    def value(self, params: Any, observation: Any, reset: Any, carry: Any) -> Any:
        return jnp.zeros_like(observation.features[:, :, 0])

    def evaluate(self, params: Any, observation: Any, actions: Any, resets: Any, carry: Any) -> Any:
        ids = observation.features[:, :, :, 0]
        mismatch = jnp.abs(ids - carry[:, None, None])
        return Evaluation(params["w"] * mismatch, mismatch, params["w"] * mismatch)


def uneventful(policy: Policy, config: PPOConfig, reward: float = 0.0) -> tuple[TrainState, Trajectory]:
    """A rollout of two agents that observe their environment's number, with fresh parameters."""
    shape = (config.envs, config.seq_len, 2)
    ids = jnp.broadcast_to(jnp.arange(config.envs, dtype=jnp.float32)[:, None, None], shape)
    observation = Observation(ids[..., None], jnp.ones((*shape, 1), dtype=bool), jnp.zeros(shape[:2], dtype=jnp.int32))
    zeros, flags = jnp.zeros(shape), jnp.zeros(shape[:2], dtype=bool)
    whole = flags.astype(jnp.int32)
    steps = Transition(
        observation, zeros.astype(jnp.int32), zeros, zeros, whole, zeros + reward, flags * 1.0, flags, flags, zeros
    )
    trajectory = Trajectory(steps, policy.init_carry(config.envs), zeros[:, 0])
    params = policy.init(jax.random.key(0))
    state = TrainState(params, ppo.optimiser(config).init(params), (), observation, flags[:, 0], (), jax.random.key(1))
    return state, trajectory


def learn(policy: Policy, config: PPOConfig, reward: float = 0.0) -> tuple[TrainState, ppo.Metrics]:
    """`ppo.learn` from such a rollout."""
    learned: tuple[TrainState, ppo.Metrics] = jax.jit(partial(ppo.learn, policy, config))(
        *uneventful(policy, config, reward)
    )
    return learned


def test_carries_stay_with_their_environments_in_every_epoch() -> None:
    policy, config = Recorder(), PPOConfig(envs=6, seq_len=3, epochs=4, minibatches=3, normalise_advantages=False)
    _, metrics = learn(policy, config)
    assert metrics.entropy == 0.0


class Witness(Recorder):
    """Keeps the numbers of the environments of every minibatch that it is asked to evaluate."""

    def __init__(self) -> None:
        self.groups: list[frozenset[int]] = []

    def evaluate(self, params: Any, observation: Any, actions: Any, resets: Any, carry: Any) -> Any:
        jax.debug.callback(lambda ids: self.groups.append(frozenset(ids.tolist())), carry, ordered=True)
        return super().evaluate(params, observation, actions, resets, carry)


def test_every_epoch_sees_all_environments_in_groups_of_its_own() -> None:
    policy, config = Witness(), PPOConfig(envs=8, seq_len=3, epochs=4, minibatches=4)
    learn(policy, config)
    jax.effects_barrier()
    assert len(policy.groups) == 4 * 4
    epochs = [policy.groups[start : start + 4] for start in range(0, 16, 4)]
    for groups in epochs:
        assert [len(group) for group in groups] == [2] * 4
        assert frozenset[int]().union(*groups) == set(range(8))
    assert len({frozenset(groups) for groups in epochs}) == 4


class Slope(Recorder):
    """A policy whose log-probability is 0.6 x + 0.8 y everywhere: its gradient has norm 1."""

    def init(self, key: jax.Array) -> Any:
        return {"x": jnp.zeros(()), "y": jnp.zeros(())}

    def evaluate(self, params: Any, observation: Any, actions: Any, resets: Any, carry: Any) -> Any:
        zeros = jnp.zeros(actions.shape)
        return Evaluation(0.6 * params["x"] + 0.8 * params["y"] + zeros, zeros, zeros)


def slope_config(**options: Any) -> PPOConfig:
    """A trainer that sees the rewards as they are, and no other loss."""
    plain = {"gamma": 0.0, "normalise_advantages": False, "entropy_coef": 0.0, "value_coef": 0.0}
    return PPOConfig(**{"envs": 2, "seq_len": 3, "minibatches": 1, "learning_rate": 0.1} | plain | options)


@pytest.mark.parametrize(("reward", "clipped"), [(10.0, 0.5), (0.3, 0.3)], ids=["beyond the norm", "within it"])
def test_adam_takes_the_gradient_clipped_to_its_global_norm(reward: float, clipped: float) -> None:
    """The gradient is −reward · (0.6, 0.8). Adam's first step is g / (|g| + ε), and ε is large enough to tell."""
    policy, config = Slope(), slope_config(max_grad_norm=0.5, adam_eps=0.25)
    learned, metrics = learn(policy, config, reward)
    assert metrics.grad_norm == pytest.approx(reward)
    for name, share in (("x", 0.6), ("y", 0.8)):
        gradient = clipped * share
        assert learned.params[name] == pytest.approx(0.1 * gradient / (gradient + 0.25), rel=1e-4)


@pytest.mark.parametrize("permute_agents", [False, True])
def test_the_ratio_is_to_the_acting_policy_in_every_epoch(*, permute_agents: bool) -> None:
    """The first of two epochs moves both parameters by the step size: the second's ratio is exp(1.4 · 0.1)."""
    policy, config = Slope(), slope_config(epochs=2, permute_agents=permute_agents)
    _, metrics = learn(policy, config, reward=1.0)
    assert metrics.policy_loss == pytest.approx(-(1.0 + np.exp(0.14)) / 2, rel=1e-4)


@pytest.mark.parametrize("world", [Counter, Aim])
def test_permuted_agents_are_evaluated_again(world: type[Counter] | type[Aim]) -> None:
    """In a new agent order the ratio is 1 again before the first step, for a model that is causal over agents."""
    scenario = Batched(world(4, limit=4), 4)
    policy, config = tiny_policy("mat", "dense", scenario.space), tiny_ppo(normalise_advantages=False)
    state, trajectory = started(policy, scenario, config)
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + 0.3 * generator.normal(size=x.shape).astype(np.float32), state.params)
    batch = batch_of(trajectory, config)
    permuted = jax.jit(partial(ppo.permute_agents, policy))(params, batch, jax.random.key(2))
    order = jax.random.permutation(jax.random.key(2), 4)
    assert not np.array_equal(order, np.arange(4))
    np.testing.assert_array_equal(permuted.actions, batch.actions[:, :, order])
    np.testing.assert_array_equal(permuted.old_value, batch.old_value[:, :, order])
    _, (policy_loss, _, _) = jax.jit(partial(ppo.loss, policy, config))(params, permuted)
    assert policy_loss == pytest.approx(-float(batch.advantages.mean()), abs=1e-5)


def test_learning_with_permuted_agents_runs() -> None:
    scenario = neom(4, 4)
    policy, config = tiny_policy("sable", "chunkwise", scenario.space), tiny_ppo(permute_agents=True, epochs=2)
    state, trajectory = started(policy, scenario, config)
    learned, metrics = jax.jit(partial(ppo.learn, policy, config))(state, trajectory)
    assert np.isfinite(float(metrics.policy_loss))
    assert not np.array_equal(jax.tree.leaves(learned.params)[0], jax.tree.leaves(state.params)[0])


def test_a_truncated_episode_bootstraps_from_its_terminal_observation() -> None:
    scenario = Batched(Counter(2, limit=4), 4)
    policy, config = tiny_policy("sable", "chunkwise", scenario.space), tiny_ppo()
    state = jax.jit(partial(ppo.init_train_state, policy, scenario, config))(jax.random.key(0))
    state = state._replace(params=jax.tree.map(lambda x: x + 0.1, state.params))
    _, trajectory = jax.jit(partial(ppo.rollout, policy, scenario, config))(state)
    steps = trajectory.transitions
    np.testing.assert_array_equal(steps.ended[0], [False, False, False, True, False])
    np.testing.assert_array_equal(steps.reset[0], [True, False, False, False, True])
    assert (steps.discount == 1).all()
    assert (steps.terminal_value[:, :3] == 0).all()
    # The value of the fifth observation of the same episode, had it gone on.
    features = steps.observation.features[:, :4]
    last = features[:, 3:].at[..., 0].set(0.4)
    longer = steps.observation._replace(
        features=jnp.concatenate([features, last], axis=1), step_count=jnp.broadcast_to(jnp.arange(5), (4, 5))
    )
    resets = steps.reset.at[:, 4].set(False)
    evaluation = jax.jit(policy.evaluate)(state.params, longer, steps.actions, resets, trajectory.carry)
    np.testing.assert_allclose(steps.terminal_value[:, 3], evaluation.value[:, 4], atol=1e-5)


def test_update_traces_once() -> None:
    scenario = neom(3, 4)
    policy, config = tiny_policy("sable", "chunkwise", scenario.space), tiny_ppo()
    traces = []

    @jax.jit
    def update(state: TrainState) -> Any:
        traces.append(1)
        return ppo.update(policy, scenario, config, state)

    state = jax.jit(partial(ppo.init_train_state, policy, scenario, config))(jax.random.key(0))
    for _ in range(3):
        state, _ = update(state)
    assert len(traces) == 1
