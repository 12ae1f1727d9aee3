"""The reconstructed scaling task, and the wrapper that batches it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import Counter, neom

import scenarios
from scenarios import SCENARIOS, make_environment
from scenarios.configs import NeomConfig
from scenarios.neom import Neom
from scenarios.wrappers import Batched


def optimal(environment: Neom) -> jax.Array:
    """The action of every agent's target level."""
    return jnp.argmin(jnp.abs(environment.levels[None] - environment.targets()[:, None]), axis=1)


@pytest.mark.parametrize(
    ("task", "targets", "actions"),
    [
        ("simple-sine", [0.5, 0.7, 0.8, 0.7, 0.5, 0.3, 0.2, 0.3, 0.5], 5),
        ("quick-flip", [0.5, 0, -0.5, 0, 0.5, 0, -0.5, 0, 0.5], 3),
        ("half-1-half-(-1)", [1, 1, 1, 1, 1, -1, -1, -1, -1], 2),
    ],
)
def test_targets(task: str, targets: list[float], actions: int) -> None:
    environment = Neom(9, NeomConfig(task=task))
    np.testing.assert_allclose(environment.targets(), targets)
    assert environment.space.actions == actions


@pytest.mark.parametrize("task", SCENARIOS["neom"].tasks)
@pytest.mark.parametrize("agents", [1, 2, 9])
def test_the_optimum_is_one(task: str, agents: int) -> None:
    environment = Neom(agents, NeomConfig(task=task, reward="individual"))
    state, _ = environment.reset(jax.random.key(0), jnp.zeros(()))
    step = environment.step(state, optimal(environment), jax.random.key(1))
    np.testing.assert_allclose(step.reward, np.ones(agents), rtol=1e-6)


def test_score_is_the_distance_in_spans() -> None:
    environment = Neom(4, NeomConfig(reward="individual"))
    assert environment.levels.tolist() == pytest.approx([0.2, 0.3, 0.5, 0.7, 0.8])
    # all choose 0.2; targets 0.5, 0.7, 0.8, 0.7; the span is 0.6
    np.testing.assert_allclose(environment.score(jnp.zeros(4, dtype=int)), [0.5, 1 / 6, 0.0, 1 / 6], atol=1e-6)


def test_shared_reward_is_the_team_mean() -> None:
    shared = Neom(4, NeomConfig())
    own = Neom(4, NeomConfig(reward="individual"))
    state, _ = shared.reset(jax.random.key(0), jnp.zeros(()))
    actions = jnp.array([0, 1, 2, 3])
    rewards = own.step(state, actions, jax.random.key(0)).reward
    np.testing.assert_allclose(shared.step(state, actions, jax.random.key(0)).reward, np.full(4, rewards.mean()))


def test_observation_fields() -> None:
    environment = Neom(16, NeomConfig())
    state, first = environment.reset(jax.random.key(0), jnp.zeros(()))
    assert first.features.shape == (16, environment.space.features) == (16, 15)
    np.testing.assert_array_equal(first.features[:, :7], np.zeros((16, 7)))
    actions = optimal(environment).at[0].set(0)
    second = environment.step(state, actions, jax.random.key(0)).observation
    np.testing.assert_array_equal(second.features[:, 0], [0, *np.ones(15)])
    np.testing.assert_array_equal(second.features[:, 1:6], jax.nn.one_hot(actions, 5))
    np.testing.assert_allclose(second.features[:, 6], np.full(16, 1 / 128))
    assert second.step_count == 1
    # Places in the pattern differ, equal places look equal in the pattern's own wavelength.
    place = np.asarray(first.features[:, [7, 11]])
    np.testing.assert_allclose(place[:8], place[8:], atol=1e-6)
    assert len(np.unique(place[:8].round(4), axis=0)) == 8


def test_an_episode_is_a_termination_after_its_horizon() -> None:
    environment = Neom(2, NeomConfig(horizon=2))
    state, _ = environment.reset(jax.random.key(0), jnp.zeros(()))
    one = environment.step(state, jnp.zeros(2, dtype=int), jax.random.key(0))
    two = environment.step(one.state, jnp.zeros(2, dtype=int), jax.random.key(0))
    assert (bool(one.ended), float(one.discount)) == (False, 1.0)
    assert (bool(two.ended), float(two.discount)) == (True, 0.0)


def test_sixteen_thousand_agents_cost_linear_memory() -> None:
    def temp_and_output(agents: int) -> int:
        scenario = neom(agents, 2)
        state, _ = jax.eval_shape(scenario.reset, jax.random.key(0))
        actions = jax.ShapeDtypeStruct((2, agents), jnp.int32)
        analysis = jax.jit(scenario.step).lower(state, actions, jax.random.key(0)).compile().memory_analysis()
        assert analysis is not None
        return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)

    assert temp_and_output(16384) < 4.4 * temp_and_output(4096)
    scenario = neom(16384, 2)
    state, _ = jax.jit(scenario.reset)(jax.random.key(0))
    step = jax.jit(scenario.step)(state, jnp.zeros((2, 16384), dtype=jnp.int32), jax.random.key(1))
    assert step.observation.features.shape == (2, 16384, 15)
    assert bool(jnp.isfinite(step.reward).all())


def test_starts_are_staggered_and_only_whole_episodes_count() -> None:
    scenario = neom(2, 4, horizon=4)
    state, observation = scenario.reset(jax.random.key(0))
    np.testing.assert_array_equal(observation.step_count, [0, 1, 2, 3])
    step = jax.jit(scenario.step)
    ended = []
    actions = jnp.broadcast_to(optimal(Neom(2, NeomConfig())), (4, 2))
    for t in range(5):
        result = step(state, actions, jax.random.key(t))
        state = result.state
        ended.append(np.asarray(result.ended).tolist())
    assert ended[0] == [False, False, False, True]
    assert ended[3] == [True, False, False, False]
    np.testing.assert_array_equal(state.statistics.episodes, [1, 0, 0, 1])
    np.testing.assert_allclose(state.statistics.last_return, [4, 0, 0, 4], rtol=1e-6)


def test_reset_happens_within_the_step_and_keeps_the_terminal_observation() -> None:
    scenario = Batched(Counter(2, limit=2), 3)
    state, _ = scenario.reset(jax.random.key(0))
    actions = jnp.zeros((3, 2), dtype=jnp.int32)
    state = scenario.step(state, actions, jax.random.key(1)).state
    step = scenario.step(state, actions, jax.random.key(2))
    assert bool(step.ended.all())
    np.testing.assert_array_equal(step.terminal_observation.step_count, [2, 2, 2])
    np.testing.assert_array_equal(step.observation.step_count, [0, 0, 0])
    before, after = step.terminal_observation.features[:, 0, 1], step.observation.features[:, 0, 1]
    assert not np.isclose(before, after).any(), "a new episode draws new numbers"


def test_only_the_ended_environment_is_reset() -> None:
    scenario = neom(2, 4, horizon=4)
    state, _ = scenario.reset(jax.random.key(0))
    step = scenario.step(state, jnp.zeros((4, 2), dtype=jnp.int32), jax.random.key(1))
    np.testing.assert_array_equal(step.observation.step_count, [1, 2, 3, 0])
    np.testing.assert_array_equal(step.terminal_observation.step_count, [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_environment("neon", 4, {}), "scenario is 'neon': it must be one of neom"),
        (lambda: make_environment("neom", 0, {}), "agents is 0: scenario neom takes 1 to"),
        (lambda: make_environment("neom:sine", 4, {}), "task is 'sine': it must be one of simple-sine"),
        (lambda: NeomConfig(reward="team"), "reward is 'team': it must be one of shared, individual"),
        (lambda: NeomConfig(horizon=0), "horizon is 0: it must be a whole number of at least 1"),
    ],
)
def test_bad_options(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_a_task_can_be_named_with_the_scenario() -> None:
    entry, config = scenarios.resolve("neom:quick-flip", {"reward": "individual"})
    assert (entry.name, config.task, config.reward) == ("neom", "quick-flip", "individual")
