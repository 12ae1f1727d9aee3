"""Connector: what agents see and what happens to them is what Jumanji's own says; boards are made as promised."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from growing import check_growth
from jumanji.environments.routing.connector.env import Connector
from jumanji.environments.routing.connector.generator import RandomWalkGenerator
from jumanji.environments.routing.connector.utils import is_path, is_position, is_target

from scenarios import make_environment
from scenarios.configs import CONNECTOR_PUBLISHED, ConnectorConfig
from scenarios.connector import REACH, LinearConnector, NearbyGenerator, board_side, observe
from scenarios.jumanji_adapter import Adapted


def expected_features(grid: Any, agents: Any) -> np.ndarray:
    """Cut out of the library's own board, agent by agent."""
    side, features = len(grid), []
    outside = np.pad(np.zeros_like(grid), 2, constant_values=1)
    padded = np.pad(grid, 2)
    for agent, ((row, column), target) in enumerate(zip(agents.position, agents.target, strict=True)):
        window = (slice(row, row + 5), slice(column, column + 5))
        seen: Any = padded[window].ravel()
        blockers = outside[window].ravel() | is_path(seen) | is_position(seen)
        targets = np.where(seen == 3 * agent + 3, 1, -1 * is_target(seen))
        way = np.array([target[0] - row, target[1] - column])
        features.append(np.concatenate([[row / (side - 1), column / (side - 1)], way / 3, blockers, targets]))
    return np.array(features, dtype=np.float32)


@pytest.mark.parametrize(("agents", "side"), [(1, 4), (16, 13), (16, 7)])
def test_random_play_is_the_librarys(agents: int, side: int) -> None:
    """On the smallest board agents collide at almost every step; illegal actions are among those played."""
    generator = NearbyGenerator(side, agents)
    library, ours = Connector(generator, time_limit=12), Adapted(LinearConnector(generator, time_limit=12), observe)
    step, library_step, reset = jax.jit(ours.step), jax.jit(library.step), jax.jit(ours.reset)
    chooser = np.random.default_rng(0)
    for episode in range(3):
        state, observation = reset(jax.random.key(episode), jnp.zeros(()))
        theirs, ended = state.environment, False
        np.testing.assert_array_equal(observation.action_mask, theirs.action_mask)
        while not ended:
            actions = jnp.asarray(chooser.integers(5, size=agents), dtype=jnp.int32)
            result = step(state, actions, jax.random.key(0))
            theirs, timestep = library_step(theirs, actions)
            state, ended = result.state, bool(result.ended)
            np.testing.assert_array_equal(state.environment.grid, theirs.grid)
            np.testing.assert_array_equal(state.environment.agents.position, theirs.agents.position)
            np.testing.assert_array_equal(result.observation.action_mask, timestep.observation.action_mask)
            np.testing.assert_array_equal(result.reward, timestep.reward)
            expected = expected_features(np.asarray(timestep.observation.grid), jax.device_get(theirs.agents))
            np.testing.assert_allclose(result.observation.features, expected, rtol=1e-6)
            assert ended == bool(timestep.last())
            assert float(result.discount) == (0.0 if ended and not timestep.discount.any() else 1.0)


def test_boards_are_uniform_and_targets_near() -> None:
    side, boards = board_side(16), 400
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), boards))
    state = jax.jit(jax.vmap(NearbyGenerator(side, 16)))(keys)
    start, target = np.asarray(state.agents.start), np.asarray(state.agents.target)
    np.testing.assert_array_equal((state.grid > 0).sum(axis=(1, 2)), np.full(boards, 32))
    np.testing.assert_array_equal(state.grid[0][tuple(start[0].T)], 3 * np.arange(16) + 2)
    np.testing.assert_array_equal(state.grid[0][tuple(target[0].T)], 3 * np.arange(16) + 3)
    distance = np.abs(start - target).max(axis=-1)
    assert (distance.min(), distance.max()) == (1, REACH)
    counts = np.bincount((start[..., 0] * side + start[..., 1]).ravel(), minlength=side * side)
    expected = boards * 16 / side**2
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 240, "169 cells: 168 on average, one in 5000 is above 240"
    ways, times = np.unique((target - start).reshape(-1, 2), axis=0, return_counts=True)
    assert len(ways) == (2 * REACH + 1) ** 2 - 1
    assert times.min() > times.max() / 3, "those that point away from an edge are likelier, none is rare"


def test_a_full_board_is_still_made() -> None:
    """Pairs that find nothing near look further away: every cell is taken in the end."""
    state = jax.jit(NearbyGenerator(12, 72))(jax.random.key_data(jax.random.key(0)))
    assert sorted(np.ravel(state.grid).tolist()) == sorted(np.r_[3 * np.arange(72) + 2, 3 * np.arange(72) + 3].tolist())


@pytest.mark.parametrize(("agents", "side"), [(1, 4), (10, 10), (16, 13), (1024, 102), (4096, 203)])
def test_boards_grow_with_the_team(agents: int, side: int) -> None:
    assert board_side(agents) == side


def test_connecting_all_is_a_termination_and_the_time_limit_is_none() -> None:
    environment = make_environment("connector", 1, {"horizon": 8})
    step = jax.jit(environment.step)
    begun, _ = jax.jit(environment.reset)(jax.random.key(2), jnp.zeros(()))
    state, rewards, ended = begun, [], False
    while not ended:
        down, right = (state.environment.agents.target - state.environment.agents.position)[0].tolist()
        action = (3 if down > 0 else 1) if down else (2 if right > 0 else 4)
        result = step(state, jnp.array([action]), jax.random.key(0))
        state, ended = result.state, bool(result.ended)
        rewards.append(float(result.reward[0]))
    assert float(result.discount) == 0.0
    assert rewards == pytest.approx([-0.03] * (len(rewards) - 1) + [0.97])
    for timestep in range(1, 9):
        result = step(begun, jnp.array([0]), jax.random.key(0))
        begun = result.state
        assert (bool(result.ended), float(result.discount)) == (timestep == 8, 1.0)


def test_shared_reward_is_the_mean() -> None:
    own, shared = (make_environment("connector", 16, {"reward": reward}) for reward in ("individual", "shared"))
    state, _ = jax.jit(own.reset)(jax.random.key(0), jnp.zeros(()))
    towards = jnp.sign(state.environment.agents.target - state.environment.agents.position)
    actions = jnp.where(towards[:, 0] != 0, 2 + towards[:, 0], jnp.where(towards[:, 1] > 0, 2, 4))
    one, other = (jax.jit(world.step)(state, actions, jax.random.key(0)) for world in (own, shared))
    assert len(np.unique(one.reward)) == 2, "some connect at once"
    np.testing.assert_allclose(other.reward, np.full(16, one.reward.mean()), rtol=1e-6)


def test_nothing_grows_faster_than_the_team() -> None:
    """An agent has 54 numbers."""
    check_growth("connector", features=54, factor=4.1, each=60)


@pytest.mark.parametrize("task", CONNECTOR_PUBLISHED)
def test_published_sizes(task: str) -> None:
    """The name says what they are: con-[side]x[side]x[agents]a; an episode has as many timesteps as cells."""
    sizes, (rows, columns, agents) = CONNECTOR_PUBLISHED[task], task.removeprefix("con-").split("x")
    assert rows == columns
    assert (sizes.side, sizes.agents, sizes.horizon) == (int(rows), int(agents[:-1]), int(rows) * int(columns))


def test_published_boards_are_the_librarys() -> None:
    environment: Any = make_environment("connector:con-5x5x3a", 3, {})
    assert (environment.space.features, environment.episode_limit) == (54, 25)
    assert type(environment.environment._generator) is RandomWalkGenerator
    state, observation = jax.jit(environment.reset)(jax.random.key(0), jnp.zeros(()))
    assert state.environment.grid.shape == (5, 5)
    expected = expected_features(np.asarray(state.environment.grid), jax.device_get(state.environment.agents))
    expected[:, 2:4] *= 3 / 4
    np.testing.assert_allclose(observation.features, expected, rtol=1e-6)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="agents is 4: scenario connector:con-5x5x3a takes exactly 3"):
        make_environment("connector:con-5x5x3a", 4, {})
    with pytest.raises(ValueError, match="horizon is 30: task con-7x7x5a is cut off after 49"):
        ConnectorConfig(task="con-7x7x5a", horizon=30)
    with pytest.raises(ValueError, match="agents is 0: scenario connector takes 1 to 16384"):
        make_environment("connector", 0, {})
    with pytest.raises(ValueError, match="reward is 'team': it must be one of shared, individual"):
        ConnectorConfig(reward="team")
    with pytest.raises(ValueError, match="task is 'tiny': it must be one of scaled, con-5x5x3a, "):
        make_environment("connector:tiny", 4, {})
