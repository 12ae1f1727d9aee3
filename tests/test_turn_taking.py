"""Turn taking: who scores, that agents cannot be told apart, and that the two optima hold exactly at every size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs import largest_array

from scenarios import make_environment, make_scenario
from scenarios.checks import check
from scenarios.configs import TurnTakingConfig
from scenarios.turn_taking import TurnTaking


def rewards(actions: list[int] | np.ndarray, **options: Any) -> np.ndarray:
    """What the agents receive for their actions in one step."""
    environment = TurnTaking(len(actions), TurnTakingConfig(**options))
    state, _ = environment.reset(jax.random.key(0), jnp.zeros(()))
    return np.asarray(environment.step(state, jnp.asarray(actions, dtype=jnp.int32), jax.random.key(1)).reward)


@pytest.mark.parametrize(
    ("actions", "scores"),
    [
        ([0, 1], [1, 1]),
        ([1, 1], [0, 0]),
        ([0, 1, 1, 0, 0], [1, 1, 0, 1, 0]),
        ([0, 0, 1, 0], [0, 0, 1, 1]),
    ],
)
def test_who_differs_from_the_one_before_scores(actions: list[int], scores: list[int]) -> None:
    np.testing.assert_array_equal(rewards(actions), scores)
    np.testing.assert_allclose(rewards(actions, reward="shared"), np.full(len(actions), np.mean(scores)), rtol=1e-6)


@pytest.mark.parametrize("agents", [2, 3, 8, 9])
def test_to_alternate_is_the_optimum_of_odd_teams_too(agents: int) -> None:
    np.testing.assert_array_equal(rewards(np.arange(agents) % 2), np.ones(agents))


@pytest.mark.parametrize("agents", [2, 3, 5])
@pytest.mark.parametrize("p", [0.5, 0.3])
def test_independent_agents_have_no_more_than_half(agents: int, p: float) -> None:
    """The mean over all joint actions, each weighed by its probability, is 2p(1 − p) for every agent."""
    joint = (np.arange(2**agents)[:, None] >> np.arange(agents)) & 1
    weights = np.where(joint == 1, p, 1 - p).prod(axis=1)
    environment = TurnTaking(agents, TurnTakingConfig())
    state, _ = environment.reset(jax.random.key(0), jnp.zeros(()))
    keys = jax.random.split(jax.random.key(0), len(joint))
    steps = jax.vmap(environment.step, in_axes=(None, 0, 0))(state, jnp.asarray(joint), keys)
    expected = weights @ np.asarray(steps.reward, dtype=np.float64)
    np.testing.assert_allclose(expected, np.full(agents, 2 * p * (1 - p)))


def test_agents_see_the_same_and_nothing_of_what_was_done() -> None:
    environment = TurnTaking(4, TurnTakingConfig(horizon=4))
    state, first = environment.reset(jax.random.key(0), jnp.zeros(()))
    np.testing.assert_array_equal(first.features, [[1, 0]] * 4)
    one, other = (environment.step(state, jnp.asarray(a), jax.random.key(0)) for a in ([0, 1, 0, 1], [1, 1, 1, 1]))
    np.testing.assert_array_equal(one.observation.features, [[1, 0.25]] * 4)
    np.testing.assert_array_equal(one.observation.features, other.observation.features)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), one.state, other.state))
    assert one.observation.action_mask.all()


def test_an_episode_is_a_termination_after_its_horizon_and_starts_are_staggered() -> None:
    scenario = make_scenario("turn-taking", 2, {"horizon": 4}, 4)
    state, observation = scenario.reset(jax.random.key(0))
    np.testing.assert_array_equal(observation.step_count, [0, 1, 2, 3])
    step, ends = jax.jit(scenario.step), []
    for t in range(4):
        result = step(state, jnp.array([[0, 1]] * 4, dtype=jnp.int32), jax.random.key(t))
        state = result.state
        ends.append(result.ended)
        np.testing.assert_array_equal(result.discount, 1.0 - result.ended)
    np.testing.assert_array_equal(ends, np.eye(4)[::-1])
    np.testing.assert_array_equal(state.statistics.last_return, [4, 0, 0, 0])


def test_sixteen_thousand_agents() -> None:
    few, many = (make_environment("turn-taking", agents, {}) for agents in (1024, 16_384))
    assert few.space.features == many.space.features == 2
    for environment in (few, many):
        state, _ = jax.eval_shape(environment.reset, jax.random.key(0), jnp.zeros(()))
        actions = jax.ShapeDtypeStruct((environment.space.num_agents,), jnp.int32)
        largest = largest_array(environment.step, state, actions, jax.random.key(0))
        assert largest == 2 * environment.space.num_agents
    assert check(many, 16_384) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_environment("turn-taking", 1, {}), "agents is 1: scenario turn-taking takes 2 to"),
        (lambda: TurnTakingConfig(horizon=0), "horizon is 0: it must be a whole number of at least 1"),
        (lambda: TurnTakingConfig(reward="team"), "reward is 'team': it must be one of shared, individual"),
        (lambda: TurnTakingConfig(task="same"), "task is 'same': it must be one of differ"),
    ],
)
def test_bad_options(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
