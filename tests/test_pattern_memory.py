"""Pattern memory: what is shown and scored when, that no observation but the first gives the cue away, its size."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs import largest_array
from worlds import tiny_policy, tiny_ppo

from sable.training import ppo
from scenarios import make_environment, make_scenario
from scenarios.checks import check
from scenarios.configs import PatternMemoryConfig
from scenarios.pattern_memory import PatternMemory


def episode(environment: PatternMemory, choose: Any) -> tuple[list[Any], list[np.ndarray]]:
    """All observations of one episode, the terminal one included, and all rewards; `choose(state)` acts."""
    state, observation = environment.reset(jax.random.key(0), jnp.zeros(()))
    step, seen, rewards, ended = jax.jit(environment.step), [observation], [], False
    while not ended:
        result = step(state, choose(state), jax.random.key(0))
        state, ended = result.state, bool(result.ended)
        seen.append(result.observation)
        rewards.append(np.asarray(result.reward))
        assert float(result.discount) == (0.0 if ended else 1.0)
    return seen, rewards


def test_the_cue_is_seen_once_and_scored_after_the_delay() -> None:
    environment = PatternMemory(3, PatternMemoryConfig(delay=4))
    seen, rewards = episode(environment, lambda state: jnp.full(3, state.cue).at[2].add(1) % 4)
    cue = int(environment.reset(jax.random.key(0), jnp.zeros(()))[0].cue)
    features = np.stack([observation.features for observation in seen])
    assert features.shape == (6, 3, 6)
    np.testing.assert_array_equal(features[0, :, :4], np.eye(4)[[cue] * 3])
    assert not features[1:, :, :4].any()
    np.testing.assert_array_equal(features[:, 0, 4], [0, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(features[:, 0, 5], np.arange(6) / 5, rtol=1e-6)
    assert [int(observation.step_count) for observation in seen] == list(range(6))
    assert all(observation.action_mask.all() for observation in seen)
    np.testing.assert_array_equal(rewards, [[0, 0, 0]] * 4 + [[1, 1, 0]])


def test_after_the_first_timestep_no_observation_tells_cues_or_actions_apart() -> None:
    environment = PatternMemory(2, PatternMemoryConfig(delay=3))
    step, trails = jax.jit(environment.step), []
    for action in range(4):
        state, _ = environment.reset(jax.random.key(action), jnp.zeros(()))
        state, seen = state._replace(cue=jnp.int32(action)), []
        for _ in range(4):
            result = step(state, jnp.full(2, 3 - action), jax.random.key(0))
            state = result.state
            seen.append(np.asarray(result.observation.features))
        trails.append(np.stack(seen))
    np.testing.assert_array_equal(trails, [trails[0]] * 4)


@pytest.mark.parametrize("symbols", [2, 4, 14])
def test_known_returns(symbols: int) -> None:
    """The cue's number has a return of 1; any fixed answer has 1 / symbols over the cues, which are uniform."""
    environment = PatternMemory(2, PatternMemoryConfig(delay=2, symbols=symbols))
    _, rewards = episode(environment, lambda state: jnp.full(2, state.cue))
    assert np.sum(rewards) == 2.0
    assert environment.space.features == symbols + 2 <= 16
    keys = jax.random.split(jax.random.key(1), 4000)
    cues = jax.vmap(lambda key: environment.reset(key, jnp.zeros(()))[0].cue)(keys)
    share = np.bincount(cues, minlength=symbols) / 4000
    assert len(share) == symbols
    np.testing.assert_allclose(share, 1 / symbols, atol=4 * np.sqrt(1 / symbols / 4000))


def test_shared_reward_is_the_mean() -> None:
    environment = PatternMemory(4, PatternMemoryConfig(delay=1, reward="shared"))
    _, rewards = episode(environment, lambda state: jnp.full(4, state.cue).at[0].add(1) % 4)
    np.testing.assert_array_equal(rewards, [[0] * 4, [0.75] * 4])


def test_nobody_starts_late_and_every_episode_has_a_cue_of_its_own() -> None:
    scenario = make_scenario("pattern-memory", 2, {"delay": 1}, 16)
    state, observation = scenario.reset(jax.random.key(0))
    step, cues = jax.jit(scenario.step), [np.asarray(state.environment.cue)]
    assert not observation.step_count.any()
    for t in range(4):
        result = step(state, jnp.zeros((16, 2), dtype=jnp.int32), jax.random.key(t))
        state = result.state
        assert result.ended.all() == bool(t % 2)
        cues.append(np.asarray(state.environment.cue))
    assert (cues[0] == cues[1]).all()
    assert (cues[2] == cues[3]).all()
    assert len({tuple(cues[t].tolist()) for t in (0, 2, 4)}) == 3
    assert (state.statistics.last_length == 2).all()


def test_sixteen_thousand_agents() -> None:
    few, many = (make_environment("pattern-memory", agents, {}) for agents in (1024, 16_384))
    assert few.space.features == many.space.features == 6
    for environment in (few, many):
        state, _ = jax.eval_shape(environment.reset, jax.random.key(0), jnp.zeros(()))
        actions = jax.ShapeDtypeStruct((environment.space.num_agents,), jnp.int32)
        largest = largest_array(environment.step, state, actions, jax.random.key(0))
        assert largest == 6 * environment.space.num_agents
    assert check(many, 16_384, steps=10) == []


def test_a_tiny_update() -> None:
    scenario = make_scenario("pattern-memory", 3, {"delay": 2}, 4)
    policy, config = tiny_policy("ippo", "", scenario.space), tiny_ppo()
    state = jax.jit(partial(ppo.init_train_state, policy, scenario, config))(jax.random.key(0))
    state, metrics = jax.jit(partial(ppo.update, policy, scenario, config))(state)
    assert np.isfinite(jax.tree.leaves(metrics)).all()
    assert (state.env_state.statistics.episodes == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": 0}, "delay is 0: it must be a whole number of at least 1"),
        ({"symbols": 1}, "symbols is 1: it must be a whole number from 2 to 14"),
        ({"symbols": 15}, "symbols is 15: it must be a whole number from 2 to 14"),
        ({"symbols": 2.5}, r"symbols is 2\.5: it must be a whole number"),
        ({"reward": "team"}, "reward is 'team': it must be one of shared, individual"),
        ({"task": "forget"}, "task is 'forget': it must be one of recall"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatternMemoryConfig(**options)
